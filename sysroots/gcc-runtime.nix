# GCC's libraries for programs of the target: libstdc++, libgomp, libatomic. (libgcc_s comes with glibc.) They carry the
# RPATH of their C library, so that they load on their own merits wherever a program comes from.
{ lock, machine, boot, glibc, derivation }:
derivation {
  name = "gcc-runtime-aarch64-linux-${lock.version "libstdc++6:arm64"}";
  inherit (machine) system loader;
  buildTriplet = machine.triplet;
  builder = "${boot}/usr/bin/busybox";
  args = [ "sh" ./gcc-runtime.sh ];
  unpack = ../toolchains/unpack.sh;
  inherit boot glibc;
  debs = lock.layer "gcc-runtime";
}
