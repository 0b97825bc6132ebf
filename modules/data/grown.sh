# No room is left behind the data partition, and its file system fills it.
device=$(awk '$2 == "/data" { print $1 }' /proc/mounts)
[ ! -e /run/data-missing ] || { echo "there is no data partition"; exit 1; }
part=$(readlink -f "/sys/class/block/${device##*/}")
disk=${part%/*}
left=$(($(cat "$disk/size") - $(cat "$part/start") - $(cat "$part/size")))
if [ "$left" -ge 32768 ]; then
  echo "$((left / 2048)) MiB behind $device are unused"
  exit 1
fi
# f_blocks leaves out the file system's own structures.
size=$(($(cat "$part/size") / 2048))
blocks=$(stat -f -c '%b %S' /data)
filled=$((${blocks% *} * ${blocks#* } / 1048576))
if [ "$filled" -lt $((size * 3 / 4 - 64)) ]; then
  echo "the file system has $filled MiB of the partition's $size"
  exit 1
fi
echo "$filled MiB"
