# The boards by name: each `.nix` file beside this one is a board, facts only; check.nix looks at their form.
#
#   name, description       the name is that of the file
#   soc, cpu                boards/socs/, boards/cpus/
#   compatible              the root `compatible` of its device tree contains one of these; the first is the board's own
#   deviceTrees             below arch/arm64/boot/dts of the kernel; the first is the default
#   kernel.options          beyond the common configuration: { REASON = { OPTION = VALUE; … }; … }, see pkgs/linux/config
#   consoles                for the kernel's `console=`, in this order
#   boot                    "systemd-boot" or "extlinux"
#   storage                 what an image is written to; `default` is one of `devices`
#   disk                    firstMiB: where partitions begin; firmware: { offset; maxSize; } of the boot loader's place in bytes, if it has one
#   flashMethod, flash      what flash scripts can do beyond writing a disk: "jetson" or "imx"; USB ids in recovery mode
#   bsp                     Jetson: what is in NVIDIA's BSP
#   qemu                    how QEMU stands in for the board: docs/formats.md
let
  files = builtins.attrNames (builtins.readDir ./.);
  check = import ./check.nix;
  boardOf = file: if file == "check.nix" then null else builtins.match "(.*)\\.nix" file;
  names = builtins.concatMap (file: if file == "default.nix" || boardOf file == null then [ ] else boardOf file) files;
  load = name:
    let board = check "boards/${name}.nix" (import (./. + "/${name}.nix"));
    in if board.name == name then board
    else throw "boards/${name}.nix is the board `${board.name}': the file and the name must be the same";
in
builtins.listToAttrs (map (name: { inherit name; value = load name; }) names)
