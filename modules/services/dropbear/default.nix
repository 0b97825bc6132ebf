# ssh, by dropbear: with keys only. The host keys are made at the first boot and stay on the data partition.
{ lib, config, pkgs, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.services.dropbear;
  users = lib.attrValues config.users.users;
  keysOf = user: user.openssh.authorizedKeys.keys;
in
{
  options.services.dropbear = {
    enable = lib.mkEnableOption "the ssh server dropbear";
    package = mkOption { type = types.package; default = pkgs.dropbear; defaultText = "pkgs.dropbear"; description = "The package."; };
    port = mkOption { type = types.port; default = 22; description = "The TCP port."; };
    permitRootLogin = mkOption {
      type = types.bool;
      default = config.system.variant == "debug";
      defaultText = "whether system.variant is \"debug\"";
      description = "Whether root may log in.";
    };
    passwordAuthentication = mkOption {
      type = types.bool;
      default = false;
      description = "Whether a password (users.users.NAME.hashedPassword) is enough.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.permitRootLogin || lib.any (user: user.uid != 0 && (keysOf user != [ ] || cfg.passwordAuthentication && user.hashedPassword != null)) users;
        message = "services.dropbear is enabled, but nobody could log in: give a user of `users.users` a key (`openssh.authorizedKeys.keys`) and a shell.";
      }
    ] ++ map
      (user: {
        assertion = user.shell != "/bin/nologin";
        message = "users.users.${user.name} has keys for ssh, but no shell to log in to: set `users.users.${user.name}.shell = \"/bin/sh\";`.";
      })
      (lib.filter (user: keysOf user != [ ] && (user.uid != 0 || cfg.permitRootLogin)) users);

    environment.systemPackages = [ cfg.package ];
    environment.etc = lib.mkMerge (
      [ { "ssh/dropbear" = { source = ./dropbear.sh; mode = "0755"; }; } ]
      ++ map
        (user: { "ssh/authorized_keys.d/${user.name}".text = lib.concatLines (keysOf user); })
        (lib.filter (user: keysOf user != [ ]) users)
    );

    runit.services.dropbear = {
      description = "ssh";
      # -w: not as root; -s: not with a password.
      run = lib.concatStringsSep " " (
        [ "exec /etc/ssh/dropbear -p ${toString cfg.port}" ]
        ++ lib.optional (!cfg.permitRootLogin) "-w"
        ++ lib.optional (!cfg.passwordAuthentication) "-s"
      );
      check = "netstat -ltn | grep -q ':${toString cfg.port} '";
    };

    selftest.checks.ssh = ''
      netstat -ltn | grep -q ':${toString cfg.port} ' || { echo "nothing listens on port ${toString cfg.port}"; exit 1; }
      for key in /var/lib/dropbear/*; do
        [ "$(stat -c %a "$key")" = 600 ] || { echo "$key has mode $(stat -c %a "$key")"; exit 1; }
      done
      echo "port ${toString cfg.port}"
    '';
  };
}
