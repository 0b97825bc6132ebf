{ lib, ... }: {
  options.a.first = lib.mkOption { };
  config = { a.frist = 1; bcd = 2; };
}
