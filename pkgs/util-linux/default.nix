# What images need of it and busybox does not have or not well: partition tables and block devices.
{ stdenv, source, pkg-config }:
stdenv.mkDerivation {
  pname = "util-linux";
  inherit (source "util-linux") version src;
  outputs = [ "out" "dev" "man" ];

  nativeBuildInputs = [ pkg-config ];
  # cfdisk wants ncurses.
  postPatch = "substituteInPlace configure --replace 'enable_cfdisk=$enable_fdisks' enable_cfdisk=no";
  configureFlags = [
    "CFLAGS=-O2"
    "--disable-all-programs"
    "--enable-libblkid"
    "--enable-libfdisk"
    "--enable-libmount"
    "--enable-libsmartcols"
    "--enable-libuuid"
    "--enable-fdisks"
    "--enable-blkid"
    # Without effect: this version's configure builds lsblk only together with all programs. To be replaced.
    "--enable-lsblk"
    "--enable-partx"
    "--enable-wipefs"
    "--disable-asciidoc"
    "--disable-bash-completion"
    "--disable-nls"
    "--without-ncurses"
    "--without-ncursesw"
    "--without-python"
    "--without-readline"
    "--without-systemd"
    "--without-tinfo"
    "--without-udev"
  ];

  meta = {
    description = "sfdisk, fdisk, partx, blkid and wipefs: partition tables and block devices";
    homepage = "https://www.kernel.org/pub/linux/utils/util-linux/";
    license = "GPL-2.0-or-later";
    mainProgram = "sfdisk";
  };
}
