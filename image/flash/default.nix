# The flash script of an image: one file, $out/bin/flash-NAME, that holds the program and behind it the image. It needs nothing from
# the machine it runs on but a Linux with bash (4.4), GNU coreutils (8.24), diffutils, findutils, gzip, sed, and util-linux for disks (and
# python3 and NVIDIA's BSP, or NXP's uuu, where those are asked for).
{ imageTools }:
{ name, layout, board, image, bsp ? { }, crossTarget ? null }:
let
  # A word of a shell script.
  quote = text: "'${builtins.replaceStrings [ "'" ] [ "'\\''" ] (toString text)}'";

  flash = board.flash or { };
  method = board.flashMethod or "disk";
  methods = {
    disk = [ ./disk.sh ];
    imx = [ ./imx.sh ];
    jetson = [ ./jetson.sh ];
  };
  # The BSP's tools reach the board's own storage only.
  storages = builtins.filter (storage: board.bsp.layouts ? ${storage}) board.storage.devices;
  hex = hash:
    if hash == null then ""
    else builtins.convertHash { inherit hash; hashAlgo = "sha256"; toHashFormat = "base16"; };

  variables = {
    TARGET = name;
    BOARD = board.name;
    BOARD_DESCRIPTION = board.description;
    USB_IDS = builtins.concatStringsSep "\n" (map ({ id, description }: "${id} ${description}") (flash.usb or [ ]));
  } // (if method != "imx" then { } else {
    FIRMWARE_OFFSET = if layout.firmware == null then 0 else layout.firmware.offset;
    FIRMWARE_MAX_SIZE = if layout.firmware == null then 0 else layout.firmware.maxSize;
    STORAGE_DEFAULT = board.storage.default;
  }) // (if method != "jetson" then { } else {
    BSP_PATH = if bsp.path or null == null then "" else bsp.path;
    BSP_ARCHIVE_HASH = hex (bsp.archiveHash or null);
    BSP_SCRIPT_HASH = hex (bsp.scriptHash or null);
    BSP_BRANCH = board.bsp.branch;
    BSP_BOARD = flash.bspBoard;
    BSP_EMMC_LAYOUT = board.bsp.layouts.emmc or "";
    BSP_NVME_LAYOUT = board.bsp.layouts.nvme or "";
    BSP_QSPI_LAYOUT = board.bsp.layouts.qspi;
    BSP_STORAGES = builtins.concatStringsSep " " storages;
    BSP_STORAGE_DEFAULT = board.storage.default;
    BSP_FILE_PREFIX = "xbuild-";
  });
in
if !(methods ? ${method}) then
  throw "board ${board.name}: flashMethod is `${method}'; there are ${builtins.concatStringsSep ", " (builtins.attrNames methods)}"
else
imageTools.run "flash-${name}"
  ({
    target = name;
    inherit image method;
    variables = builtins.concatStringsSep "\n"
      (builtins.attrValues (builtins.mapAttrs (variable: value: "${variable}=${quote value}") variables));
    start = ./start.sh;
    parts = [ ./head.sh ./image.sh ./devices.sh ./write.sh ] ++ methods.${method} ++ [ ./main.sh ];
    layoutProgram = if method == "jetson" then ./layout.py else "";
  } // (if crossTarget == null then { } else { inherit crossTarget; }))
  ./assemble.sh
