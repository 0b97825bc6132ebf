# Takes programs and what they need out of .debs.
. "$unpack"

unpack_debs tree $debs
mkdir "$out"

# copy_library NAME: copies a library of the packages, and what it needs.
copy_library() {
  local found
  [ ! -e "$out/lib/$1" ] || return 0
  for found in "tree/usr/lib/$buildTriplet/$1" "tree/usr/lib/$1" "tree/usr/lib64/$1"; do
    [ -e "$found" ] || continue
    cp -L "$found" "$out/lib/$1"
    copy_needed "$out/lib/$1"
    return
  done
  fail "no package of the layer has the library $1"
}

# copy_needed FILE: copies the libraries that an ELF file needs.
copy_needed() {
  local needed
  for needed in $(patchelf --print-needed "$1"); do
    copy_library "$needed"
  done
}

[ -z "$programs" ] || mkdir "$out/bin" "$out/lib"
for program in $programs; do
  copy_library "$loader"
  cp "tree/$program" "$out/bin/"
  copy_needed "tree/$program"
done
[ -z "$files" ] || mkdir "$out/share"
for file in $files; do
  [ -e "tree/$file" ] || fail "no package of the layer has $file"
  cp -RL "tree/$file" "$out/share/"
done

for program in $programs; do
  "$out/lib/$loader" --library-path "$out/lib" --list "$out/bin/${program##*/}" >list ||
    fail "${program##*/} does not start with the libraries that were copied"
  if grep -v -e "$out/lib/" -e linux-vdso -e /lib64/ld-linux list; then
    fail "${program##*/} takes these libraries from elsewhere"
  fi
done
