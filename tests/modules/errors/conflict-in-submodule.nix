{ lib, ... }: {
  options.it = lib.mkOption { type = lib.types.submodule { options.a = lib.mkOption { type = lib.types.bool; }; }; };
  config = lib.mkMerge [
    { it.a = true; }
    { it.a = lib.mkIf true false; }
  ];
}
