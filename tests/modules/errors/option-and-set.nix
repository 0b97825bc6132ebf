{ lib, ... }: {
  imports = [ ./parts/declares.nix ];
  options.hostName.enable = lib.mkOption { type = lib.types.str; };
}
