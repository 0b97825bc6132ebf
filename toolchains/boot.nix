# The boot layer: a static busybox, patchelf, and the C and C++ run time of the build machine. It is made by xbuild itself
# (`builtin:unpack-debs`), for there is no program yet that could. Every other derivation starts from it.
{ lock, machine, derivation }:
derivation {
  name = "toolchain-boot";
  inherit (machine) system;
  builder = "builtin:unpack-debs";
  debs = lock.layer "boot";
}
