# A FAT file system with the given files: the EFI system partition, or the boot partition that U-Boot reads.
#   files   [ { target = "EFI/BOOT/BOOTAA64.EFI"; source = FILE; } | { target; text = "…"; } ]
#   option  the option that sets the size: an error names it
# $out/FILENAME is the file system, $out/size how many bytes are used.
{ imageTools }:
{ name, fileName, label, files, sizeMiB, option }:
let
  targets = map (file: file.target) files;
  wrong = builtins.filter
    (target: builtins.any (part: builtins.match "[A-Za-z0-9_+-][A-Za-z0-9._+-]*" part == null) (builtins.filter builtins.isString (builtins.split "/" target)))
    targets;
  sorted = builtins.sort (a: b: a.target < b.target) files;
  numbered = builtins.genList (i: { number = toString i; file = builtins.elemAt sorted i; }) (builtins.length sorted);
  # Texts are variables of the build: they may name store paths, which `builtins.toFile' does not take.
  texts = builtins.filter ({ file, ... }: !(file ? source)) numbered;
  lines = map ({ number, file }: "${file.target} ${file.source or "text${number}"}") numbered;
in
# Partitions of this size are FAT32 for everybody; below it, some firmware reads the number of clusters and sees FAT16.
if sizeMiB < 33 then throw "${option} is ${toString sizeMiB} MiB; a FAT32 file system needs 33"
else if wrong != [ ] then throw "${name}: `${builtins.head wrong}' is no name for a file of a FAT file system here; allowed are letters, digits and ._+-"
else
imageTools.run name
  (builtins.listToAttrs (map ({ number, file }: { name = "text${number}"; value = file.text; }) texts) // {
    inherit fileName label sizeMiB option;
    files = builtins.concatStringsSep "\n" lines;
    volumeId = builtins.substring 0 8 (builtins.hashString "sha256" "xbuild FAT volume ${name}");
  })
  ./fat.sh
