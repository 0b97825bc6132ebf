# The GNU C library of the target.
#   out    what a program needs at run time: the loader, libc and its companions, libgcc_s (which libc loads by name to
#          cancel and end threads), libcrypt
#   gconv  the character set converters of iconv (found through GCONV_PATH)
#   dev    the sysroot a compiler is pointed at: headers, start files, static libraries, and links to `out`
{ lock, machine, boot, derivation }:
derivation {
  name = "glibc-aarch64-linux-${lock.version "libc6:arm64"}";
  inherit (machine) system;
  builder = "${boot}/usr/bin/busybox";
  args = [ "sh" ./glibc.sh ];
  outputs = [ "out" "dev" "gconv" ];
  unpack = ../toolchains/unpack.sh;
  inherit boot;
  debs = lock.layer "glibc";
}
