{ lib, ... }: {
  imports = [ ./parts/declares.nix ];
  options.hostName = lib.mkOption { type = lib.types.str; };
}
