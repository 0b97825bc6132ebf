{ lib, ... }: {
  imports = [ ./parts/hostname.nix ];
  options.networking.hostName = lib.mkOption { };
  options.system.name = lib.mkOption { };
}
