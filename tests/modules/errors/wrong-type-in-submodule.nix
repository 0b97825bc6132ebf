{ lib, ... }: {
  options.users = lib.mkOption {
    type = lib.types.attrsOf (lib.types.submodule {
      options.uid = lib.mkOption { type = lib.types.ints.between 0 60000; };
    });
  };
  config.users.ada = {
    uid = "1000";
  };
}
