{ lib, ... }: {
  imports = [ ./parts/hostname.nix ];
  options.hostName = lib.mkOption { type = lib.types.str; };
  config.hostName = "two";
}
