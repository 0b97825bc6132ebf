# The disk of an image: partitions, file systems, boot loader, and what writes it to a board.
{ lib, config, pkgs, board, ... }:
let
  inherit (lib) mkOption mkDefault types;
  inherit (config.system) name;
  cfg = config.disk;
  image = import ./. { inherit (pkgs) toolchains; };

  sizeOption = partition: "disk.partitions.${partition}.size";
  sizeOf = partition: layout.byName.${partition}.size;
  uuidOf = partition: layout.byName.${partition}.uuid;
  has = partition: layout.byName ? ${partition};

  # The partition that the firmware starts from, by boot method.
  starting = {
    systemd-boot = "esp";
    extlinux = "boot";
  }.${board.boot} or (throw "board ${board.name}: boot is `${toString board.boot}'; there are `systemd-boot' and `extlinux'");

  inOrder = builtins.sort
    (a: b: if a.order == b.order then a.name < b.name else a.order < b.order)
    (builtins.attrValues (builtins.mapAttrs (name: partition: partition // { inherit name; }) cfg.partitions));

  layout = image.layout {
    inherit name;
    inherit (cfg) uuid firstMiB firmware;
    sizeMiB = cfg.size;
    partitions = map (partition: builtins.removeAttrs partition [ "order" "image" ]) inOrder;
  };

  deviceTreeNames = map baseNameOf board.deviceTrees;
  bootArguments = {
    inherit name deviceTreeNames;
    inherit (board.cpu) target;
    inherit (board) compatible;
    title = "${board.description}, ${config.system.variant} (${name})";
    kernel = config.boot.kernelPackage;
    inherit (config.boot) deviceTrees initrd;
    params = config.boot.kernelParams;
    inherit (config.boot.loader) timeout;
    sizeMiB = sizeOf starting;
    option = sizeOption starting;
  };
  bootFileSystem = {
    esp = image.esp (bootArguments // { inherit (config.boot.loader) editor; });
    boot = image.bootPartition bootArguments;
  }.${starting};

  rootFileSystem = image.rootFileSystem {
    inherit name;
    inherit (config.system.build) rootTree;
    inherit (config.fileSystems.root) type;
    sizeMiB = sizeOf "root";
    option = sizeOption "root";
    uuid = uuidOf "root";
  };
  dataFileSystem = image.dataFileSystem {
    inherit name;
    sizeMiB = sizeOf "data";
    option = sizeOption "data";
    uuid = uuidOf "data";
  };

  contentOf = partition: file: package: {
    name = partition;
    value = { file = "${package}/${file}"; used = "${package}/size"; option = sizeOption partition; };
  };
  given = builtins.filter ({ image, ... }: image != null) inOrder;
  contents = builtins.listToAttrs ([
    (contentOf starting "${starting}.img" bootFileSystem)
    (contentOf "root" "root.img" rootFileSystem)
  ]
  ++ (if has "data" then [ (contentOf "data" "data.img" dataFileSystem) ] else [ ])
  ++ map ({ name, image, ... }: { inherit name; value = { file = "${image}"; used = "-"; option = sizeOption name; }; }) given);

  partitionOptions = {
    options = {
      order = mkOption {
        type = types.int;
        default = 500;
        description = "The place among the partitions: smaller numbers come first. The board's boot partition has 100, root 200, data 900.";
      };
      start = mkOption {
        type = types.nullOr types.ints.positive;
        default = null;
        description = "Where it begins, in MiB. By default it follows the one before.";
      };
      size = mkOption {
        type = types.ints.positive;
        description = "Its size in MiB.";
      };
      type = mkOption {
        type = types.str;
        default = "linux";
        example = "0fc63daf-8483-4772-8e79-3d69d8477de4";
        description = "Its GPT type: `esp`, `basic-data`, `linux`, `linux-root-arm64`, or a GUID.";
      };
      uuid = mkOption {
        type = types.nullOr types.str;
        default = null;
        description = "Its PARTUUID. By default it is made from the names of the target and the partition.";
      };
      bootable = mkOption {
        type = types.bool;
        default = false;
        description = "Whether it has the legacy boot flag, by which U-Boot finds its boot partition.";
      };
      content = mkOption {
        type = types.str;
        default = "";
        description = "What is in it, in words.";
      };
      image = mkOption {
        type = types.nullOr types.path;
        default = null;
        description = "A file with its content, for a partition that is not made by the image itself.";
      };
    };
  };
in
{
  options = {
    disk = {
      table = mkOption {
        type = types.enum [ "gpt" ];
        default = "gpt";
        description = "The kind of partition table.";
      };
      uuid = mkOption {
        type = types.nullOr types.str;
        default = null;
        description = "The disk's GUID. By default it is made from the target's name.";
      };
      firstMiB = mkOption {
        type = types.ints.positive;
        default = board.disk.firstMiB or 16;
        description = "Where the first partition begins, in MiB. What is before it is for the partition table and the board's boot loader.";
      };
      size = mkOption {
        type = types.nullOr types.ints.positive;
        default = null;
        description = "The size of the whole image in MiB. By default it is as small as the partitions allow; the data partition grows on the board.";
      };
      firmware = mkOption {
        type = types.nullOr (types.lazyAttrsOf types.ints.unsigned);
        default = board.disk.firmware or null;
        description = "The place of the board's boot loader on the disk: `offset` and `maxSize` in bytes; null if the board keeps it elsewhere.";
      };
      partitions = mkOption {
        type = types.attrsOf (types.submodule partitionOptions);
        description = "The partitions by name.";
      };
      layout = mkOption {
        type = types.raw;
        readOnly = true;
        description = "The finished layout: `bytes`, and `partitions` (also `byName`) with start, size, type and PARTUUID.";
      };
    };

    fileSystems.root.type = mkOption {
      type = types.enum [ "ext4" "squashfs" ];
      default = if config.system.variant == "debug" then "ext4" else "squashfs";
      defaultText = "ext4 for debug images, squashfs for release images";
      description = "The root file system: `squashfs`, compressed and read-only, or `ext4`, writable.";
    };

    boot.loader = {
      timeout = mkOption {
        type = types.ints.between 1 600;
        default = 3;
        description = "How many seconds the boot menu waits.";
      };
      editor = mkOption {
        type = types.bool;
        default = config.system.variant == "debug";
        defaultText = "whether it is a debug image";
        description = "Whether the kernel's command line can be edited in the menu of systemd-boot.";
      };
      firmware = mkOption {
        type = types.nullOr (types.submodule {
          options = {
            file = mkOption {
              type = types.path;
              description = "The boot loader: on i.MX the file that NXP's tools call flash.bin.";
            };
            hash = mkOption {
              type = types.nonEmptyStr;
              description = "Its SHA-256, as `sha256sum` prints it or as `sha256-…`. A file with another one is refused.";
            };
          };
        });
        default = null;
        description = "A boot loader that goes into its place on the disk (i.MX: 32 KiB). Without one, the place stays empty and layout.txt says so.";
      };
    };

    flash.bsp = {
      path = mkOption {
        type = types.nullOr types.str;
        default = null;
        example = "/opt/nvidia/Linux_for_Tegra";
        description = "Where NVIDIA's BSP is on the machine that flashes (its directory Linux_for_Tegra, or the archive), if `--bsp` does not say.";
      };
      archiveHash = mkOption {
        type = types.nullOr types.nonEmptyStr;
        default = null;
        description = "The SHA-256 of the BSP's archive. With it, the flash script takes the archive only, and only that one.";
      };
      scriptHash = mkOption {
        type = types.nullOr types.nonEmptyStr;
        default = null;
        description = "The SHA-256 of the BSP's flash.sh. With it, the flash script takes only a directory with that one.";
      };
    };
  };

  config = {
    disk.partitions = builtins.mapAttrs (_: builtins.mapAttrs (_: mkDefault)) ({
      ${starting} =
        if starting == "esp" then {
          order = 100;
          size = 96;
          type = "esp";
          content = "FAT32: systemd-boot, kernel, device trees";
        } else {
          order = 100;
          size = 96;
          type = "basic-data";
          bootable = true;
          content = "FAT32: kernel, device trees, extlinux.conf";
        };
      root = {
        order = 200;
        size = 256;
        type = "linux-root-arm64";
        content = if config.fileSystems.root.type == "squashfs" then "squashfs, read-only" else "ext4";
      };
      data = {
        order = 900;
        size = 64;
        type = "linux";
        content = "ext4, grown on the board";
      };
    });
    disk.layout = layout;

    boot.kernelParams = [
      "root=PARTUUID=${uuidOf "root"}"
      "rootfstype=${config.fileSystems.root.type}"
      "rootwait"
      (if config.fileSystems.root.type == "squashfs" then "ro" else "rw")
    ];

    system.build = {
      inherit rootFileSystem bootFileSystem;
      image = image.disk {
        inherit name layout contents;
        inherit (config.boot.loader) firmware;
        inherit (config.system) crossTarget;
      };
      flashScript = image.flashScript {
        inherit name layout board;
        inherit (config.flash) bsp;
        inherit (config.system) crossTarget;
        inherit (config.system.build) image;
      };
    };
  };
}
