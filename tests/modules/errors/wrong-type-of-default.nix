{ lib, ... }: {
  options.level = lib.mkOption {
    type = lib.types.enum [ "low" "high" "none" ];
    default = "medium";
  };
}
