# Programs for the machine that xbuild itself runs on, with the libraries they need and nothing else: made from a layer of
# the lock. `xbuild boot` starts them outside of any sandbox, where /nix/store is not: through the loader that lies beside
# their libraries, `lib/ld-linux-x86-64.so.2 --library-path lib bin/PROGRAM`.
#   name, layer   of the derivation; of the lock
#   programs      paths in the packages' tree; they come to bin/
#   files         paths in the packages' tree that are kept as they are, below share/; default none
{ lock, boot, machine }:
{ name, layer, programs, files ? [ ] }:
derivation {
  inherit name programs files boot;
  inherit (machine) system loader;
  buildTriplet = machine.triplet;
  builder = "${boot}/usr/bin/busybox";
  args = [ "sh" ./bundle.sh ];
  unpack = ../toolchains/unpack.sh;
  debs = lock.layer layer;
}
