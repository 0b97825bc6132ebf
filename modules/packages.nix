# Packages must be for the board's CPU, or for any AArch64. A package says what it is for in `xbuildTarget`, as those of pkgs/ do;
# of one that does not, the validator looks at the files.
{ lib, config, board, ... }:
let
  targets = lib.unique [ board.cpu.target "aarch64-linux" ];
  given = {
    "environment.systemPackages" = config.environment.systemPackages;
    "boot.kernelPackage" = [ config.boot.kernelPackage ];
    "boot.deviceTrees" = [ config.boot.deviceTrees ];
    "boot.initrd" = lib.optional (config.boot.initrd != null) config.boot.initrd;
  };
in
{
  # Services' packages are among the system's.
  assertions = lib.concatLists (lib.mapAttrsToList
    (option: packages: map
      (package: {
        assertion = lib.elem package.xbuildTarget targets;
        message = "${option}: ${package.name or "a package"} is for ${package.xbuildTarget}, but ${board.name} runs what is for ${lib.concatStringsSep " or " targets}: take it from `pkgs`.";
      })
      (lib.filter (package: package ? xbuildTarget) packages))
    given);
}
