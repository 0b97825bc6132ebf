{ lib, config, ... }: {
  options.system.name = lib.mkOption {
    type = lib.types.nonEmptyStr;
  };
  options.greeting = lib.mkOption { type = lib.types.str; };
  config.greeting = "I am ${config.system.name}";
}
