# A tree of build tools: the packages of some layers, merged. A derivation that names it as `sandboxRoot` sees it as /usr
# (with /bin, /sbin, /lib, /lib64), where Debian's programs work as they are.
{ lock, machine, boot, derivation }:
layers:
derivation {
  name = "build-tools-" + builtins.concatStringsSep "-" layers;
  inherit (machine) system;
  builder = "${boot}/usr/bin/busybox";
  args = [ "sh" ./tree.sh ];
  unpack = ../unpack.sh;
  inherit boot;
  debs = lock.layers layers;
}
