# The targets: which images there are, by the names that users type.
#
#   BOARD-VARIANT[-nodemoapps]-from-x86_64                 built on x86_64
#   BOARD-VARIANT[-nodemoapps]                             the same image, built on AArch64
#   …-flash-script                                         what writes it to the board
#
# { boards, image } -> { attributes; list }: derivations by name, and plain data about each image (`xbuild targets`).
{ boards, image }:
let
  variants = {
    debug = ./modules/profiles/debug.nix;
    release = ./modules/profiles/release.nix;
  };
  demoApps = {
    "" = [ ./modules/profiles/demo.nix ];
    "-nodemoapps" = [ ];
  };
  systems = {
    "-from-x86_64" = "x86_64-linux";
    "" = "aarch64-linux";
  };

  # Every combination of attribute names, in order.
  targets = builtins.concatMap (board:
    builtins.concatMap (variant:
      builtins.concatMap (demo:
        map (suffix: target board variant demo suffix) (builtins.attrNames systems))
        (builtins.attrNames demoApps))
      (builtins.attrNames variants))
    (builtins.attrNames boards);

  target = boardName: variant: demo: suffix: rec {
    name = "${boardName}-${variant}${demo}${suffix}";
    board = boards.${boardName};
    system = systems.${suffix};
    inherit variant;
    hasDemoApps = demo == "";
    crossTarget = "${boardName}-${variant}${demo}-from-x86_64";
    built = image {
      inherit name board system;
      # The name of what builds without an emulator.
      crossTarget = if suffix == "" then crossTarget else null;
      modules = [ variants.${variant} ] ++ demoApps.${demo};
    };
  };

  attributesOf = { name, built, ... }: [
    { inherit name; value = built; }
    { name = "${name}-flash-script"; value = built.flashScript; }
  ];

  # Not `outPath`: a set that has one is that path, as JSON.
  pathsOf = package: { inherit (package) drvPath; outputPath = package.outPath; };

  dataOf = { name, board, system, variant, hasDemoApps, crossTarget, built }: {
    inherit name;
    value = {
      inherit name system variant;
      board = board.name;
      inherit (board) description soc;
      cpu = board.cpu.name;
      bootChain = board.boot;
      demoApps = hasDemoApps;
      flashScript = "${name}-flash-script";
      image = pathsOf built;
      kernel = pathsOf built.kernel;
    } // (if name == crossTarget then { } else { inherit crossTarget; });
  };
in
{
  attributes = builtins.listToAttrs (builtins.concatMap attributesOf targets);
  list = builtins.listToAttrs (map dataOf targets);
}
