# The disk image: the layout (layout.nix) as a partition table, with the file systems at their places.
#   contents  partition -> { file; used: a file with the number of bytes in use; option: what sets the partition's size }; a partition
#             that is not named stays empty
#   firmware  null, or { file; hash } of the boot loader for layout.firmware's place
#   crossTarget  null, or the name of the target that is the same and built on x86_64: a message names it
# $out/disk.img.gz   the image
# $out/layout.json   the layout with sizes in bytes and SHA-256 sums, of the parts and of the unpacked image
# $out/layout.txt    the same for people
{ imageTools }:
{ name, layout, contents, firmware ? null, crossTarget ? null }:
let
  MiB = 1048576;
  unknown = builtins.filter (part: !(layout.byName ? ${part})) (builtins.attrNames contents);
  line = { number, name, start, size, type, uuid, bootable, content, ... }:
    let given = contents.${name} or { file = "-"; used = "-"; option = "-"; };
    in builtins.concatStringsSep " " [
      (toString number)
      name
      (toString (start * MiB))
      (toString (size * MiB))
      type
      uuid
      (if bootable then "yes" else "no")
      "${given.file}"
      "${given.used}"
      given.option
      (builtins.toJSON content)
    ];
in
if unknown != [ ] then throw "disk of ${name}: there is a content for `${builtins.head unknown}', but no such partition"
else if firmware != null && layout.firmware == null then
  throw "${name}: boot.loader.firmware is set, but the board's disk has no place for a boot loader"
else
imageTools.run "${name}-image"
  ({
    target = name;
    diskUuid = layout.uuid;
    diskBytes = layout.bytes;
    partitions = builtins.concatStringsSep "\n" (map line layout.partitions);
    firmwareOffset = if layout.firmware == null then "" else toString layout.firmware.offset;
    firmwareMaxSize = if layout.firmware == null then "" else toString layout.firmware.maxSize;
    firmware = if firmware == null then "" else "${firmware.file}";
    firmwareHash =
      if firmware == null then ""
      else if firmware.hash or null == null then
        throw "boot.loader.firmware.hash is not set; it is the SHA-256 of the boot loader, as `sha256sum' prints it or as `sha256-…'"
      else builtins.convertHash { inherit (firmware) hash; hashAlgo = "sha256"; toHashFormat = "base16"; };
  } // (if crossTarget == null then { } else { inherit crossTarget; }))
  ./disk.sh
