# GCC 12 for AArch64 with its binutils, as one prefix that works where it lies: interpreter and RPATH of its programs point
# into the store, and GCC finds its own parts relative to its driver. It has no libc; see sysroots/ and wrapper.nix.
{ lock, boot, gccRuntime }:
derivation {
  name = "gcc-aarch64-linux-gnu-${lock.version "gcc-12-aarch64-linux-gnu:amd64"}";
  system = "x86_64-linux";
  builder = "${boot}/usr/bin/busybox";
  args = [ "sh" ./cross.sh ];
  unpack = ../unpack.sh;
  inherit boot gccRuntime;
  debs = lock.layer "cross-gcc";
}
