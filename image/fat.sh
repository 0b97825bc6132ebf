# Makes a FAT file system; fat.nix has the parameters.
. "$common"

mkdir "$out"
image=$out/$fileName
truncate -s "${sizeMiB}M" "$image"
mkfs.vfat -F 32 -i "$volumeId" -n "$label" --invariant "$image" >mkfs.log || fail "mkfs.vfat failed: $(cat mkfs.log)"

# One file after another, sorted: the order in which mcopy itself finds files is the directory's. mtools takes the time from
# SOURCE_DATE_EPOCH.
export MTOOLS_SKIP_CHECK=1
total=0
declare -A made=()
make_directory() {
  [ "$1" != . ] && [ -z "${made[$1]-}" ] || return 0
  make_directory "$(dirname "$1")"
  mmd -i "$image" "::$1"
  made[$1]=1
}

# The lines of `files', with texts written to files.
while read -r target source; do
  case $source in
    text*)
      printf %s "${!source}" >"$source"
      source=$PWD/$source
      ;;
  esac
  echo "$target $source"
done <<<"$files" >list

while read -r target source; do
  [ -f "$source" ] || fail "$target: $source is no file"
  total=$((total + $(bytes "$source")))
  make_directory "$(dirname "$target")"
  mcopy -i "$image" "$source" "::$target" 2>mcopy.log || {
    ! grep -q 'Disk full' mcopy.log ||
      fail "the files do not fit: at $target they are $(in_words "$total"), the partition is $sizeMiB MiB; raise $option"
    cat mcopy.log >&2
    fail "mcopy failed at $target"
  }
done <list

# What was written is read back, by another program where there is one.
fsck.vfat -n "$image" >check.log 2>&1 || {
  cat check.log >&2
  fail "fsck.vfat finds faults in the file system"
}
while read -r target source; do
  mcopy -n -i "$image" "::$target" - | cmp - "$source" || fail "$target does not read back as it was written"
done <list
echo "$total" >"$out/size"
echo "$fileName: $(in_words "$total") used of $sizeMiB MiB"
