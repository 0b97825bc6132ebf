# Small images for tests: the real tools, layouts and flash scripts, with stand-ins for kernel and root tree.
let
  inherit (import ./.) toolchains;
  boards = import ./boards;
  image = import ./image { inherit toolchains; };

  shell = name: script: derivation {
    inherit name;
    system = "x86_64-linux";
    builder = "${toolchains.boot}/usr/bin/busybox";
    args = [ "sh" "-euc" script ];
  };

  # A path the tree refers to, so that there is a closure.
  greeting = shell "greeting" "mkdir $out; echo hello >$out/hello; chmod 0555 $out/hello";
  rootTree = shell "root-tree" ''
    mkdir -p $out/root/etc "$out/root/with blank" $out/root/tmp $out/root/sbin
    ln -s ${greeting}/hello $out/root/sbin/init
    echo secret >$out/root/etc/shadow
    echo text >"$out/root/with blank/file"
    printf '%s\n' '# a comment' '0600 0 0 etc/shadow' '1777 0 0 tmp' '0750 1000 100 with blank' '4711 7 8 /with blank/file' >$out/permissions
  '';
  kernel = shell "kernel" ''
    mkdir $out
    yes kernel | head -c 1000000 >$out/Image
    for dtb in imx8mp-evk tegra234-p3737-0000+p3701-0000 tegra234-p3768-0000+p3767-0000; do echo $dtb >$out/$dtb.dtb; done
  '';
  bootLoader = shell "boot-loader" "yes 'boot loader' | head -c 100000 >$out";

  # `validated`: whether the boot files must be the board's, as in every image that modules make; the stand-ins are not.
  make = boardName: { firmware ? null, bsp ? { }, rootType ? "squashfs", rootMiB ? 8, tree ? rootTree, validated ? false }:
    let
      board = boards.${boardName};
      name = "small-${boardName}";
      boot = if board.boot == "extlinux" then "boot" else "esp";
      layout = image.layout {
        inherit name;
        firstMiB = board.disk.firstMiB or 16;
        firmware = board.disk.firmware or null;
        partitions = [
          { name = boot; size = 34; type = if boot == "esp" then "esp" else "basic-data"; bootable = boot == "boot"; content = "FAT32"; }
          { name = "root"; size = rootMiB; type = "linux-root-arm64"; content = rootType; }
          { name = "data"; size = 48; content = "ext4"; }
        ];
      };
      arguments = {
        inherit name kernel;
        title = "a title";
        deviceTrees = kernel;
        deviceTreeNames = map baseNameOf board.deviceTrees;
        # Words may name store paths.
        params = [ "root=PARTUUID=${layout.byName.root.uuid}" "init=${greeting}/hello" ];
        timeout = 3;
        sizeMiB = 34;
        option = "disk.partitions.${boot}.size";
      } // (if validated then { inherit (board.cpu) target; inherit (board) compatible; } else { });
      parts = {
        ${boot} = if boot == "esp" then image.esp (arguments // { editor = false; }) else image.bootPartition arguments;
        root = image.rootFileSystem { inherit name; rootTree = tree; type = rootType; sizeMiB = rootMiB; inherit (layout.byName.root) uuid; };
        data = image.dataFileSystem { inherit name; sizeMiB = 48; inherit (layout.byName.data) uuid; };
      };
      disk = image.disk {
        inherit name layout firmware;
        contents = builtins.mapAttrs
          (part: package: { file = "${package}/${part}.img"; used = "${package}/size"; option = "disk.partitions.${part}.size"; })
          parts;
      };
    in
    parts // {
      inherit layout disk;
      script = image.flashScript { inherit name layout board bsp; image = disk; };
    };

  self = {
    agx = make "nvidia-jetson-orin-agx" { };
    # Its BSP is pinned: the archive, or the script.
    agxArchive = hash: make "nvidia-jetson-orin-agx" { bsp.archiveHash = hash; };
    agxScript = hash: make "nvidia-jetson-orin-agx" { bsp.scriptHash = hash; };
    nx = make "nvidia-jetson-orin-nx" { rootType = "ext4"; };
    imx = make "nxp-imx8mp-evk" { };
    imxWithBootLoader = make "nxp-imx8mp-evk" {
      firmware = { file = bootLoader; hash = "10a40c57b545fd2bf15d275d34454952d4dc4ffb17fcceabb2c9d1f33f990074"; };
    };
    imxWithWrongBootLoader = make "nxp-imx8mp-evk" {
      firmware = { file = bootLoader; hash = "0000000000000000000000000000000000000000000000000000000000000000"; };
    };

    # What the file systems hold, as their own tools see it.
    listing = image.run "listing"
      { squashfs = self.agx.root; ext4 = self.nx.root; inherit (self.agx) esp; inherit (self.imx) boot data; }
      (builtins.toFile "listing.sh" ''
        . "$common"
        mkdir $out
        unsquashfs -q -lln $squashfs/root.img | sed -E 's/ +/ /g; s/ 1980-01-01 00:00//' >$out/squashfs
        for directory in / /etc '/with blank' /sbin; do
          debugfs -R "ls -l \"$directory\"" $ext4/root.img 2>/dev/null | sed -E 's/ +/ /g; s/^ [0-9]+ //; / \.\.?$/d; /^$/d'
        done >$out/ext4
        dumpe2fs -h $data/data.img 2>/dev/null | sed -nE 's/^(Filesystem volume name|Filesystem UUID|Reserved GDT blocks|Block size|Total journal size): +/\1: /p' >$out/data
        export MTOOLS_SKIP_CHECK=1
        for part in $esp/esp.img $boot/boot.img; do mdir -/ -b -i $part ::; done >$out/fat
        for file in loader.conf entries/small-nvidia-jetson-orin-agx.conf entries/small-nvidia-jetson-orin-agx-firmware-dt.conf; do
          mtype -i $esp/esp.img ::loader/$file
        done >$out/entries
        mtype -i $boot/boot.img ::extlinux/extlinux.conf >$out/extlinux
      '');

    # What must fail.
    noise = shell "noise-tree" "mkdir -p $out/root; dd if=/dev/urandom of=$out/root/noise bs=1M count=9";
    tooSmallSquashfs = make "nvidia-jetson-orin-nx" { tree = self.noise; };
    tooSmallExt4 = make "nvidia-jetson-orin-nx" { tree = self.noise; rootType = "ext4"; };
    selfReference = make "nvidia-jetson-orin-nx" { tree = shell "self" "mkdir -p $out/root; ln -s $out/root/x $out/root/y"; };
    wrongPermissions = make "nvidia-jetson-orin-nx" { tree = shell "wrong" "mkdir -p $out/root; echo '0600 0 0 etc/none' >$out/permissions"; };
    notTheBoards = make "nxp-imx8mp-evk" { validated = true; };
    notTheBoardsEsp = make "nvidia-jetson-orin-nx" { validated = true; };
    layout = image.layout;
  };
in
self
