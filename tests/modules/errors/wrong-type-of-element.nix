{ lib, ... }: {
  options.nameservers = lib.mkOption { type = lib.types.attrsOf (lib.types.listOf lib.types.str); };
  config.nameservers."eth0.1" = [ "192.0.2.1" 8 ];
}
