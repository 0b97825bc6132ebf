# Conditions that a configuration must meet, and warnings.
{ lib, ... }:
let
  inherit (lib) mkOption types;
in
{
  options = {
    assertions = mkOption {
      type = types.listOf (types.submodule {
        options = {
          assertion = mkOption { type = types.bool; description = "What must hold."; };
          message = mkOption { type = types.str; description = "What to say if it does not."; };
        };
      });
      default = [ ];
      description = "Conditions without which the image is not evaluated.";
    };
    warnings = mkOption {
      type = types.listOf types.str;
      default = [ ];
      description = "Texts that are printed when the image is evaluated.";
    };
  };
}
