# Linux for all boards: one source, one configuration, one kernel; a board's or an image's own options make another.
#
#   linux                    the kernel: `Image` and `config`; its output `dev` has System.map
#   linux.config             the configuration alone, resolved and checked: seconds, where the kernel takes minutes
#   linux.options            it as a value: { NAME = { value; origin; reason; }; }
#   linux.withOptions { NAME = VALUE; … }         the kernel with more options, written as in config/; `force VALUE` wins
#   linux.kernelFor { board; options; }           the kernel of a board, with an image's own options
#   linux.deviceTreesFor { board; }               the device trees of a board
#   linux.source
{ anyStdenv, lock, baseTools, kernel, derivation }:
let
  stdenv = anyStdenv;
  configuration = import ./config;
  source = import ./source.nix { inherit stdenv lock baseTools derivation; };
  inherit (source) version;

  common = {
    inherit stdenv source version;
    compiler = stdenv.cc.unwrapped;
    tools = kernel;
  };

  # The kernel with these definitions beside the common ones.
  make = definitions:
    let
      options = configuration.merge (configuration.common ++ definitions);
      config = import ./config.nix (common // { inherit options; });
      built = import ./kernel.nix (common // { inherit config; });
      extended = more: make (definitions ++ more);
    in
    built // {
      inherit config options source version;
      inherit (configuration) force;
      withOptions = more: extended (configuration.define "linux.withOptions" more);
      kernelFor = { board, options ? { } }: extended (
        configuration.define "the board ${board.name}" (board.kernel.options or { })
        ++ configuration.define "boot.kernel.options" options);
      deviceTreesFor = { board }: import ./device-trees.nix (common // { inherit board; });
    };
in
make [ ]
