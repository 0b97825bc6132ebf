{ lib, ... }: {
  options.it = lib.mkOption { type = lib.types.nullOr (lib.types.oneOf [ lib.types.bool lib.types.port (lib.types.listOf lib.types.package) ]); };
  config.it = { a = 1; b = 2; };
}
