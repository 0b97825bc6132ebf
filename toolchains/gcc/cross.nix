# GCC 12 for AArch64 with its binutils, as one prefix that works where it lies: interpreter and RPATH of its programs point
# into the store, and GCC finds its own parts relative to its driver. It has no libc; see sysroots/ and wrapper.nix.
{ lock, machine, boot, gccRuntime, derivation }:
let
  unpacking =
    if machine.triplet == "aarch64-linux-gnu" then { unpack = ./native-unpack.sh; commonUnpack = ../unpack.sh; }
    else { unpack = ../unpack.sh; };
in
derivation (unpacking // {
  name = "gcc-aarch64-linux-gnu-${lock.version machine.targetGccPackage}";
  inherit (machine) system loader elfMachine gccInternal;
  buildTriplet = machine.triplet;
  builder = "${boot}/usr/bin/busybox";
  args = [ "sh" ./cross.sh ];
  inherit boot gccRuntime;
  debs = lock.layer machine.targetGcc;
})
