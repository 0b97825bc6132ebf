{ lib, ... }: {
  options.a = lib.mkOption { default = 1; };
  config.a = lib.mkIf "yes" 2;
}
