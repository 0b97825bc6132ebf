{ lib, ... }: {
  imports = [ ./parts/hostname.nix ];
  options.hostName = lib.mkOption { type = lib.types.listOf lib.types.str; };
}
