#!/bin/sh
# Finds the data partition, grows it, and mounts it at /data. Without one, /data is in memory, and /run/data-missing says why.
export PATH=/bin
# shellcheck source=/dev/null
. /etc/init/data.config

# What is left of a disk's end below this many sectors (of 512 bytes) is not worth growing into.
WORTH=16384

say() { echo "data: $*"; }

in_memory() {
  say "$*"
  say "what is written to /data will be lost: it is in memory"
  echo "$*" >/run/data-missing
  mount -t tmpfs -o nosuid,nodev,mode=0755,size=25% tmpfs /data
  exit 1
}

# The partition of that name on the disk that / is on: `disk` and `part` are its directories in /sys.
find_partition() {
  local root entry
  root=$(readlink -f "/sys/dev/block/$(mountpoint -d /)")
  [ -e "$root/partition" ] || in_memory "the root file system is not on a partition, so there is no data partition beside it"
  disk=${root%/*}
  for entry in "$disk"/*/uevent; do
    if grep -qxF "PARTNAME=$PARTITION" "$entry"; then
      part=${entry%/uevent}
      return
    fi
  done
  in_memory "the disk ${disk##*/} has no partition named $PARTITION"
}

# Grows the partition to the end of the disk. The table's copy takes the last 33 sectors.
grow_partition() {
  local start size end entry number
  start=$(cat "$part/start")
  size=$(cat "$part/size")
  end=$((($(cat "$disk/size") - 33) / 2048 * 2048))
  [ $((end - start - size)) -ge $WORTH ] || return 0
  for entry in "$disk"/*/start; do
    if [ "$(cat "$entry")" -gt "$start" ]; then
      say "${part##*/} is not the last partition, so it cannot grow"
      return 0
    fi
  done
  if ! command -v sfdisk >/dev/null; then
    say "there is no sfdisk, so ${part##*/} cannot grow"
    return 0
  fi
  number=$(cat "$part/partition")
  say "growing ${part##*/} to the end of the disk"
  # It tells of the copy of the table that is not at the disk's end, which it mends, and of the kernel, which is told below.
  if ! echo ", $((end - start))" | sfdisk --quiet --no-reread --force --wipe=never -N "$number" "/dev/${disk##*/}" >/run/data-grow 2>&1; then
    cat /run/data-grow
    say "sfdisk could not grow ${part##*/}"
    return 0
  fi
  if [ "$(cat "$part/size")" = "$size" ] && command -v partx >/dev/null; then
    partx --update --nr "$number" "/dev/${disk##*/}"
  fi
  if [ "$(cat "$part/size")" = "$size" ]; then
    say "the kernel still uses the old size of ${part##*/}; the next boot goes on"
  fi
}

# The partition has an ext4 file system, or gets one if it holds nothing at all.
prepare_file_system() {
  local magic code
  magic=$(dd if="$device" bs=1 skip=1080 count=2 2>/dev/null | hexdump -e '1/1 "%02x"')
  if [ "$magic" != 53ef ]; then
    if [ -n "$(dd if="$device" bs=4096 count=16 2>/dev/null | tr -d '\0' | head -c 1 | hexdump -e '1/1 "%02x"')" ]; then
      in_memory "$device holds something that is not ext4; it is left alone"
    fi
    if ! command -v mkfs.ext4 >/dev/null; then in_memory "$device is empty, and there is no mkfs.ext4"; fi
    say "making a file system on $device"
    mkfs.ext4 -q -L data "$device" || in_memory "mkfs.ext4 failed on $device"
    return
  fi
  if command -v e2fsck >/dev/null; then
    e2fsck -p "$device" >/run/data-check 2>&1
    code=$?
    if [ $code -ge 4 ]; then
      cat /run/data-check
      say "repairing $device"
      e2fsck -y "$device"
    fi
  fi
}

find_partition
device=/dev/$(sed -n 's/^DEVNAME=//p' "$part/uevent")
[ "$GROW" != 1 ] || grow_partition
prepare_file_system
mount -t ext4 -o nosuid,nodev,noatime "$device" /data || in_memory "cannot mount $device"
# The file system follows the partition: also if an earlier boot was cut off between the two.
if [ "$GROW" = 1 ] && command -v resize2fs >/dev/null; then
  resize2fs "$device" >/run/data-resize 2>&1 || { cat /run/data-resize; say "resize2fs could not grow $device"; }
fi
exit 0
