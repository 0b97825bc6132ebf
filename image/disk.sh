# Makes the disk image; disk.nix has the parameters. It is a sparse file, so what takes time is what is in it.
. "$common"

name=$target
mkdir "$out"
disk=$PWD/disk.img
truncate -s "$diskBytes" "$disk"

# The table.
{
  printf '%s\n' 'label: gpt' "label-id: $diskUuid" 'unit: sectors' 'sector-size: 512'
  while read -r number part start size type uuid bootable _; do
    attrs=
    [ "$bootable" = no ] || attrs=', attrs="LegacyBIOSBootable"'
    echo "$number : start=$((start / 512)), size=$((size / 512)), type=$type, uuid=$uuid, name=\"$part\"$attrs"
  done <<<"$partitions"
} >table
sfdisk -q --no-reread --no-tell-kernel --wipe never --wipe-partitions never "$disk" <table >sfdisk.log 2>&1 || {
  cat table sfdisk.log >&2
  fail "sfdisk does not take the partition table"
}
sfdisk -q --verify "$disk" >verify.log 2>&1 || {
  cat verify.log >&2
  fail "sfdisk finds faults in the partition table"
}

# put FILE OFFSET: copies, leaving holes as they are.
put() {
  dd if="$1" of="$disk" bs=64K seek="$2" oflag=seek_bytes conv=notrunc,sparse status=none
}

sha256() {
  sha256sum "$1" | cut -d ' ' -f 1
}

rows=()
json=()
while read -r number part start size type uuid bootable file used option content; do
  if [ "$file" = - ]; then
    used_bytes=0 sum=null shown=-
  else
    length=$(bytes "$file")
    [ "$length" -le "$size" ] ||
      fail "the content of partition \`$part' is $(in_words "$length"), the partition $(in_words "$size"); raise $option"
    put "$file" "$start"
    if [ "$used" = - ]; then used_bytes=$length; else used_bytes=$(cat "$used"); fi
    shown=$(sha256 "$file")
    sum="\"$shown\""
  fi
  rows+=("$number|$part|$start|$size|$(in_words "$size")|$(in_words "$used_bytes")|$type|$uuid|$content|$shown")
  json+=("{\"number\":$number,\"name\":\"$part\",\"offset\":$start,\"size\":$size,\"used\":$used_bytes,\"type\":\"$type\",\"uuid\":\"$uuid\",\"bootable\":$([ "$bootable" = yes ] && echo true || echo false),\"content\":$content,\"contentSize\":${length:-0},\"sha256\":$sum}")
  length=
done <<<"$partitions"

firmware_json=null
if [ -n "$firmwareOffset" ]; then
  firmware_sum=null firmware_size=0
  if [ -n "$firmware" ]; then
    [ -f "$firmware" ] || fail "boot.loader.firmware.file: $firmware is no file"
    firmware_sum=$(sha256 "$firmware")
    [ "$firmware_sum" = "$firmwareHash" ] ||
      fail "the boot loader $firmware has the SHA-256 $firmware_sum; boot.loader.firmware.hash says $firmwareHash. Is it the right file?"
    firmware_size=$(bytes "$firmware")
    [ "$firmware_size" -le "$firmwareMaxSize" ] ||
      fail "the boot loader is $(in_words "$firmware_size"), its place $(in_words "$firmwareMaxSize"); raise disk.firstMiB"
    put "$firmware" "$firmwareOffset"
    firmware_sum="\"$firmware_sum\""
  fi
  firmware_json="{\"offset\":$firmwareOffset,\"maxSize\":$firmwareMaxSize,\"size\":$firmware_size,\"sha256\":$firmware_sum}"
fi

[ "$(bytes "$disk")" = "$diskBytes" ] || fail "the image became $(bytes "$disk") bytes, and should be $diskBytes"
sum=$(sha256 "$disk")

# pigz makes the same bytes with any number of threads from two on.
threads=${NIX_BUILD_CORES:-2}
[ "$threads" -ge 2 ] || threads=2
pigz -n -6 -p "$threads" -c "$disk" >"$out/disk.img.gz"
compressed=$(bytes "$out/disk.img.gz")

(
  IFS=,
  echo "{\"name\":\"$target\",\"table\":\"gpt\",\"uuid\":\"$diskUuid\",\"size\":$diskBytes,\"sha256\":\"$sum\",\"compressedSize\":$compressed,\"firmware\":$firmware_json,\"partitions\":[${json[*]}]}"
) >"$out/layout.json"

{
  echo "$target"
  echo
  echo "disk      $(in_words "$diskBytes") ($diskBytes bytes), GPT $diskUuid"
  echo "SHA-256   $sum"
  echo
  # Columns as wide as what is in them.
  {
    echo 'no|name|offset|size|used|content'
    for row in "${rows[@]}"; do
      IFS='|' read -r number part start _ size used _ _ content _ <<<"$row"
      content=${content#\"}
      echo "$number|$part|$(in_words "$start")|$size|$used|${content%\"}"
    done
  } | awk -F'|' '
    { for (i = 1; i <= NF; i++) { cell[NR, i] = $i; if (length($i) > width[i]) width[i] = length($i) } columns = NF }
    END {
      for (r = 1; r <= NR; r++) {
        for (i = 1; i < columns; i++) printf "%-" width[i] "s  ", cell[r, i]
        print cell[r, columns]
      }
    }'
  echo
  for row in "${rows[@]}"; do
    IFS='|' read -r _ part start size _ _ type uuid _ shown <<<"$row"
    echo "$part"
    echo "  bytes     $start to $((start + size))"
    echo "  type      $type"
    echo "  PARTUUID  $uuid"
    echo "  SHA-256   $shown"
  done
  if [ -n "$firmwareOffset" ]; then
    echo
    if [ -n "$firmware" ]; then
      echo "boot loader: $(in_words "$firmware_size") at $(in_words "$firmwareOffset"), SHA-256 $firmwareHash"
    else
      echo "boot loader: none. Its place, $(in_words "$firmwareMaxSize") at $(in_words "$firmwareOffset"), is free, and the board does not start from this"
      echo "disk alone, unless it has a boot loader elsewhere (an eMMC boot partition, QSPI flash). To put one in, set"
      echo "  boot.loader.firmware = { file = ./flash.bin; hash = \"sha256-…\"; };"
      echo "or write it to the disk after the image:"
      echo "  dd if=flash.bin of=DEVICE bs=1K seek=$((firmwareOffset / 1024)) conv=notrunc,fsync"
    fi
  fi
} >"$out/layout.txt"
cat "$out/layout.txt"
