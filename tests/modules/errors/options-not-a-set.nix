{ lib, ... }: {
  options.a = lib.types.bool;
  options.b = 1;
}
