# Makes the data file system; data-file-system.nix has the parameters.
. "$common"
. "$ext4"

[ "$sizeMiB" -ge $((journalMiB * 3)) ] ||
  fail "a data file system of $sizeMiB MiB is too small for its journal of $journalMiB MiB; raise $option"

# The journal does not grow with the file system, so it has the size that a larger one wants.
mkdir "$out"
extended="resize=$maxBlocks" make_ext4 "$out/data.img" "$sizeMiB" "$label" "$uuid" -m 1 -J "size=$journalMiB"
check_ext4 "$out/data.img"
dumpe2fs -h "$out/data.img" 2>/dev/null | awk -F: '
  { gsub(/ /, "", $2) }
  $1 == "Block count" { all = $2 } $1 == "Free blocks" { free = $2 } $1 == "Block size" { size = $2 }
  END { print (all - free) * size }' >"$out/size"
