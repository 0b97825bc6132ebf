{ lib, ... }: {
  imports = [ ./parts/hostname.nix ];
  options.hostName = lib.mkOption { type = lib.types.str; readOnly = true; };
  config.hostName = lib.mkForce "two";
}
