# QEMU's user-mode emulator for AArch64: a static program for x86_64, which xbuild registers for the builds of aarch64-linux.
# crates/realise/src/emulator.rs makes the same derivation; a test compares them.
{ lock }:
derivation {
  name = "qemu-aarch64";
  system = "x86_64-linux";
  builder = "builtin:unpack-debs";
  debs = lock.layer "qemu-user";
  only = [ "usr/bin/qemu-aarch64-static" ];
}
