{ lib, ... }: {
  options.a = lib.mkOption { };
  a = 1;
}
