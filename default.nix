# What can be built, by name:
#   BOARD-VARIANT-from-x86_64 …  board images and their flash scripts: targets.nix has the names
#   hello, zlib, …               packages for any AArch64 Linux
#   BOARD.hello, BOARD.zlib, …   the same, compiled for the board's CPU; boards with the same CPU share them
#   native.hello, …              the packages for any AArch64, built on AArch64: on x86_64, in an emulator
#   toolchains.…                 what they are built with
#   targets                      data about the images, for `xbuild targets`
#   lib.image                    makes an image of your own: { name, board, modules }
# Everything is instantiable by stock Nix as well, with the same derivations.
# It is a set, and a function to another such set: with { contentAddressed = true; }, outputs are named by their contents.
let
packageSet = { contentAddressed ? false }:
let
  boards = import ./boards;

  toolchainsFor = {
    x86_64-linux = import ./toolchains { inherit contentAddressed; };
    aarch64-linux = import ./toolchains { system = "aarch64-linux"; inherit contentAddressed; };
  };

  # Any AArch64: no flags for a CPU.
  anyTarget = { name = "aarch64-linux"; cpuFlags = [ ]; };

  packagesFor = toolchains: target: import ./pkgs {
    stdenv = toolchains.stdenvFor target;
    anyStdenv = toolchains.stdenvFor anyTarget;
    inherit (toolchains) lock layerTools baseTools derivation;
  } // { inherit toolchains; };

  # system -> the packages for any AArch64
  generic = builtins.mapAttrs (_: toolchains: packagesFor toolchains anyTarget) toolchainsFor;

  # system -> CPU -> the packages for it
  compiledFor = cpu: toolchains: packagesFor toolchains { name = cpu.target; cpuFlags = cpu.flags; };
  cpus = builtins.listToAttrs (map ({ cpu, ... }: { name = cpu.target; value = cpu; }) (builtins.attrValues boards));
  known = builtins.mapAttrs (_: toolchains: builtins.mapAttrs (_: cpu: compiledFor cpu toolchains) cpus) toolchainsFor;
  packagesForBoard = system: { cpu, ... }:
    if cpus.${cpu.target} or null == cpu then known.${system}.${cpu.target} else compiledFor cpu toolchainsFor.${system};

  # A board's packages, with what is the board's own.
  forBoard = board: packages: packages // {
    inherit board;
    linux = packages.linux.kernelFor { inherit board; };
    deviceTrees = packages.linux.deviceTreesFor { inherit board; };
  };

  # name: the image's; board: the name of a board, or a set of facts like those in boards/; modules: what the image is made of
  image = { name, board, modules ? [ ], system ? "x86_64-linux", crossTarget ? null }:
    let
      facts =
        if builtins.isAttrs board then import ./boards/check.nix "the `board' of the image ${name}" board
        else boards.${board} or (throw "there is no board `${board}'; there are: ${builtins.concatStringsSep ", " (builtins.attrNames boards)}");
      evaluated = import ./modules {
        inherit name modules crossTarget;
        board = facts;
        pkgs = packagesForBoard system facts;
      };
      inherit (evaluated) config;
    in
    config.system.build.image // {
      inherit (evaluated) config options;
      inherit (config.system.build) vm rootTree flashScript;
      kernel = config.boot.kernelPackage;
      layout = config.disk.layout;
    };

  targets = import ./targets.nix { inherit boards image; };
in
generic.x86_64-linux
// builtins.mapAttrs (_: board: forBoard board (packagesForBoard "x86_64-linux" board)) boards
// targets.attributes
// {
  native = generic.aarch64-linux;
  toolchains = toolchainsFor.x86_64-linux;
  targets = targets.list;
  lib = { inherit image; };
};
in
packageSet { } // { __functor = _: packageSet; }
