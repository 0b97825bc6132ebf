# Takes GCC's shared libraries for the target out of their .debs.
. "$unpack"

root="$TMPDIR/root"
unpack_debs "$root" $debs
mkdir -p "$out/lib"
mv "$root"/usr/lib/aarch64-linux-gnu/*.so.* "$out/lib/"
for library in "$out"/lib/*.so.*; do
  [ -L "$library" ] || patchelf --force-rpath --set-rpath "$out/lib:$glibc/lib" "$library"
done
[ -e "$out/lib/libstdc++.so.6" ] || fail "there is no libstdc++.so.6"
