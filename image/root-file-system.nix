# The root file system: the tree of / and, at /nix/store, the closure of what the tree refers to.
#   name       of the derivation
#   rootTree   $out/root is the tree; $out/permissions has lines `MODE UID GID PATH' for whatever is not root:root with the mode it has
#   type       "squashfs" (read-only, compressed) or "ext4" (writable)
#   sizeMiB    of the partition it must fit into; an ext4 file system fills it
#   option     the option that sets the size: an error names it
#   label, uuid
# $out/root.img is the file system, $out/paths the store paths in it, $out/size how many bytes are used.
{ imageTools }:
{ name, rootTree, type, sizeMiB, option ? "disk.partitions.root.size", label ? "root", uuid }:
if type != "ext4" && type != "squashfs" then
  throw "fileSystems.root.type is `${toString type}'; there are `ext4' and `squashfs'"
else
imageTools.run "${name}-root-${type}"
  {
    inherit type sizeMiB option label uuid;
    root = rootTree;
    exportReferencesGraph = [ "closure" rootTree ];
    ext4 = ./ext4.sh;
    mke2fsConf = ./mke2fs.conf;
  }
  ./root-file-system.sh
