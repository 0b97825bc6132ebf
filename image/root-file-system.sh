# Makes the root file system; root-file-system.nix has the parameters. One tar archive holds the whole tree with owners and modes; from it
# both kinds of file system are made, so they hold the same. No step needs root.
. "$common"
. "$ext4"

# The closure, in the format of exportReferencesGraph: path, deriver, number of references, references.
paths=()
while read -r path; do
  read -r _
  read -r references
  for ((; references > 0; references--)); do
    read -r reference
    if [ "$path" = "$root" ] && [ "$reference" = "$root" ]; then
      fail "the root tree $root refers to itself by its store path; the root file system does not have it there: use the path as it will be on the board"
    fi
  done
  [ "$path" = "$root" ] || paths+=("$path")
done <closure

[ -d "$root/root" ] || fail "$root has no directory root/"
[ ! -e "$root/root/nix/store" ] || fail "the root tree has a nix/store of its own"

# Files of the tree are as in a store (0444, 0555); on the board their owner, root, may write. Time stamps are all the same, hard
# links (which a store makes when it is optimised) are no links: the archive depends on names, contents and permissions only.
archive=$PWD/root.tar
append() { # DIR LIST OPTION...: adds the files that LIST names, relative to DIR
  local dir=$1 list=$2
  shift 2
  tar -r -f "$archive" --format=gnu --numeric-owner --hard-dereference --no-recursion --mtime="@$SOURCE_DATE_EPOCH" \
    -C "$dir" --null --no-unquote --verbatim-files-from "$@" -T "$list"
}

# Byte order puts a directory before what is in it.
(cd "$root/root" && find . -print0) | sort -z >all
declare -A tree=() options=()
while IFS= read -r -d '' path; do tree[$path]=1; done <all

if [ -e "$root/permissions" ]; then
  number=0
  while read -r mode uid gid path; do
    number=$((number + 1))
    case $mode in '' | '#'*) continue ;; esac
    where="$root/permissions, line $number"
    [[ $mode =~ ^[0-7]{3,4}$ && $uid =~ ^[0-9]+$ && $gid =~ ^[0-9]+$ && -n $path ]] ||
      fail "$where: not of the form \`MODE UID GID PATH'"
    path=./${path#/}
    [ -n "${tree[$path]-}" ] || fail "$where: the tree has no \`${path#./}'"
    [ -z "${options[$path]-}" ] || fail "$where: \`${path#./}' is named twice"
    options[$path]="--mode=$mode --owner=:$uid --group=:$gid"
  done <"$root/permissions"
fi

# Neighbours with the same options go into the archive together.
plain="--mode=u+w --owner=:0 --group=:0"
current=$plain
: >run
add_run() {
  local words
  read -ra words <<<"$current"
  [ ! -s run ] || append "$root/root" run "${words[@]}"
  : >run
}
while IFS= read -r -d '' path; do
  wanted=${options[$path]-$plain}
  if [ "$wanted" != "$current" ]; then
    add_run
    current=$wanted
  fi
  printf '%s\0' "$path" >>run
done <all
add_run

# The store, with the modes it has here.
mkdir -p top/nix/store
: >store.directories
for path in ./nix ./nix/store; do
  [ -n "${tree[$path]-}" ] || printf '%s\0' "$path" >>store.directories
done
append top store.directories --owner=:0 --group=:0 --mode=0755
if [ ${#paths[@]} -gt 0 ]; then
  (cd / && find "${paths[@]/#\//./}" -print0) | sort -z >store.files
  append / store.files --owner=:0 --group=:0
fi

mkdir "$out"
image=$out/root.img
limit=$((sizeMiB * 1048576))
content=$(bytes "$archive")
raise="raise $option, or put less into the image"

case $type in
  squashfs)
    # zstd: unpacks fast, and the kernel's configuration has it. Times are set by SOURCE_DATE_EPOCH; bytes do not depend on the number
    # of processors. Owners come from definitions of every file; from an archive mksquashfs 4.5 takes them too, but not the root's.
    mkdir tree
    # No sandbox lets a file get setuid; special permissions come from the definitions.
    tar -x --no-same-permissions --no-same-owner -C tree -f "$archive"
    for path in "${!options[@]}"; do
      [[ ${options[$path]} =~ ^--mode=(.*)\ --owner=:(.*)\ --group=:(.*)$ ]]
      printf '%s\0%s\0' "${path#./}" "${BASH_REMATCH[1]} ${BASH_REMATCH[2]} ${BASH_REMATCH[3]}"
    done >special
    (cd tree && find . -mindepth 1 -printf '%P\0%m 0 0\0') >plain
    gawk 'BEGIN { RS = "\0" }
      NR % 2 { path = $0; next }
      FILENAME == "special" { special[path] = $0; next }
      {
        permissions = (path in special) ? special[path] : $0
        gsub(/[\\"]/, "\\\\&", path)
        printf "\"%s\" m %s\n", path, permissions
      }' special plain | sort >definitions
    # What its owner may not read, its owner must read now.
    chmod -R u+rX tree
    mksquashfs tree "$image" -quiet -no-progress -exit-on-error -reproducible -no-xattrs -comp zstd -Xcompression-level 19 -b 256K \
      -root-mode 0755 -root-uid 0 -root-gid 0 -pf definitions >mksquashfs.log 2>&1 || {
      tail -n 5 mksquashfs.log >&2
      fail "mksquashfs failed"
    }
    used=$(bytes "$image")
    [ "$used" -le "$limit" ] ||
      fail "the root file system is $(in_words "$used"), its partition only $sizeMiB MiB; $raise"
    ;;
  ext4)
    if ! extended='' make_ext4 "$image" "$sizeMiB" "$label" "$uuid" -m 0 -d "$archive" >mke2fs.log 2>&1; then
      if grep -qE 'Could not allocate|No free space|allocate inode' mke2fs.log; then
        fail "the files of the root file system ($(in_words "$content") as an archive) do not fit into its partition of $sizeMiB MiB; $raise"
      fi
      cat mke2fs.log >&2
      fail "mke2fs failed"
    fi
    check_ext4 "$image"
    used=$(dumpe2fs -h "$image" 2>/dev/null | awk -F: '
      { gsub(/ /, "", $2) }
      $1 == "Block count" { all = $2 } $1 == "Free blocks" { free = $2 } $1 == "Block size" { size = $2 }
      END { print (all - free) * size }')
    ;;
esac

printf '%s\n' "${paths[@]}" | sort >"$out/paths"
echo "$used" >"$out/size"
echo "root file system ($type): $(in_words "$used") used of $sizeMiB MiB, ${#paths[@]} store paths"
