{ lib, ... }: {
  options = {
    assertions = lib.mkOption { type = lib.types.listOf lib.types.raw; };
    warnings = lib.mkOption { type = lib.types.listOf lib.types.str; };
  };
  config.assertions = [
    { assertion = 1 == 2; message = "One is not two."; }
    { assertion = true; message = "never seen"; }
    { assertion = false; message = "Give `users.users.root` a password or a key."; }
  ];
}
