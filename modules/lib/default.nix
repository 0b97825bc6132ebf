# The module system: options that modules declare, definitions that modules give them, types, and messages that say which
# option of which file is wrong. Built on the language's builtins alone.
let
  collections = import ./collections.nix;
  definitions = import ./definitions.nix;
  show = import ./show.nix { inherit collections; };
  evaluation = import ./evaluate.nix { inherit lib collections show definitions; };
  types = import ./types.nix { inherit collections show definitions evaluation; };
  options = import ./options.nix { inherit types; };
  documentation = import ./documentation.nix { inherit collections show; };
  assertions = import ./assertions.nix { };

  lib = collections // definitions // options // documentation // assertions // {
    inherit types;
    inherit (evaluation) evalModules;
  };
in
lib
