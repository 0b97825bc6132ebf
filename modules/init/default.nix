# What PID 1 does. It is busybox's init: small, in the image anyway, and with a table that says all. It runs
#   /etc/init/boot       once: mounts, the data partition, host name; then
#   runsvdir             the services (../runit)
#   /etc/init/console    on the console (../console)
#   /etc/init/shutdown   before the system goes down
{ lib, config, ... }:
let
  inherit (lib) mkOption types;
  script = source: { inherit source; mode = "0755"; };
  homes = lib.filter (user: lib.hasPrefix "/home/" user.home) (lib.attrValues config.users.users);
in
{
  options.boot.postBootCommands = mkOption {
    type = types.lines;
    default = "";
    example = "echo 1 >/sys/class/leds/user/brightness";
    description = "Shell commands that run at boot, when file systems are mounted and before services start.";
  };

  config.environment.etc = {
    "inittab".text = ''
      ::sysinit:/etc/init/boot
      ::respawn:/bin/runsvdir -P /run/service
      ::respawn:/etc/init/console
      ::ctrlaltdel:/bin/reboot
      ::shutdown:/etc/init/shutdown
    '';
    "init/boot" = script ./boot.sh;
    "init/shutdown" = script ./shutdown.sh;
    "init/post-boot" = { text = "#!/bin/sh\n${config.boot.postBootCommands}\n"; mode = "0755"; };
    # Read by the scripts.
    "init/config".text = lib.concatLines (lib.mapAttrsToList (name: value: "${name}=${lib.escapeShellArg value}") {
      NAME = config.system.name;
      VARIANT = config.system.variant;
      ROOT_WRITABLE = if config.fileSystems.root.type == "ext4" then 1 else 0;
    });
    "init/homes".text = lib.concatLines (map
      (user: "${user.name} ${toString user.uid} ${toString config.users.groups.${user.group}.gid or 65534} ${user.home}")
      homes);
    "fstab".text = "# /etc/init/boot mounts what is needed.\n";
  };
}
