# What can be built, by name:
#   hello, zlib, …               packages for any AArch64 Linux
#   BOARD.hello, BOARD.zlib, …   the same for a board: compiled for its CPU, validated against it
#   toolchains.…                 what they are built with
# Everything is instantiable by stock Nix as well, with the same derivations.
let
  toolchains = import ./toolchains;

  packagesFor = target: import ./pkgs {
    stdenv = toolchains.stdenvFor target;
    inherit (toolchains) lock layerTools;
  };

  generic = packagesFor { name = "aarch64-linux"; cpuFlags = [ ]; };

  boards = builtins.mapAttrs
    (name: board: packagesFor { inherit name; cpuFlags = board.cpu.flags; } // { inherit board; })
    (import ./boards);
in
generic // boards // { inherit toolchains; }
