{ stdenv, source }:
stdenv.mkDerivation {
  pname = "e2fsprogs";
  inherit (source "e2fsprogs") version src;
  outputs = [ "out" "dev" "man" ];

  configureFlags = [
    "CFLAGS=-O2"
    "--enable-elf-shlibs"
    "--enable-symlink-install"
    "--enable-relative-symlinks"
    "--disable-nls"
    "--disable-debugfs"
    "--disable-defrag"
    "--disable-e2initrd-helper"
    "--disable-fsck"
    "--disable-fuse2fs"
    "--disable-imager"
    "--disable-uuidd"
    "--without-crond-dir"
    "--with-systemd-unit-dir=no"
    "--with-udev-rules-dir=no"
  ];

  postInstall = ''
    # Tools for who builds with its libraries.
    moveTo "$dev" bin/compile_et bin/mk_cmds share/et share/ss
    # Util-linux's know more.
    rm -f "$out"/sbin/{blkid,findfs} "$man"/share/man/man8/{blkid,findfs}.8
    # Checks of LVM volumes, by cron.
    rm -f "$out"/sbin/e2scrub* "$out"/etc/e2scrub.conf
  '';

  meta = {
    description = "Makes, checks, tunes and grows ext2, ext3 and ext4 file systems";
    homepage = "https://e2fsprogs.sourceforge.net/";
    license = "GPL-2.0-only";
    mainProgram = "e2fsck";
  };
}
