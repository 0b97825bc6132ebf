{ lib, boards, ... }: {
  options.a = lib.mkOption { default = boards; };
}
