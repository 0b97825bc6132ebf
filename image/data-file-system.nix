# The file system of the data partition: ext4, empty, small in the image, and made to be grown on the board to as much as `maxGiB'
# without being unmounted (its group descriptors have room reserved for that; without being mounted it can grow further).
# $out/data.img is the file system, $out/size how many bytes are used.
{ imageTools }:
{ name, sizeMiB, label ? "data", uuid, maxGiB ? 2048, journalMiB ? 16, option ? "disk.partitions.data.size" }:
imageTools.run "${name}-data"
  {
    inherit sizeMiB label uuid journalMiB option;
    maxBlocks = maxGiB * 262144;
    ext4 = ./ext4.sh;
    mke2fsConf = ./mke2fs.conf;
  }
  ./data-file-system.sh
