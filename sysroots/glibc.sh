# Splits Debian's C library for arm64 into what runs and what is only compiled against.
. "$unpack"

multiarch=aarch64-linux-gnu
root="$TMPDIR/root"
unpack_debs "$root" $debs
from="$root/usr/lib/$multiarch"

mkdir -p "$out/lib" "$gconv/lib" "$dev/usr/lib/$multiarch"
mv "$from"/*.so.* "$out/lib/"
[ -e "$out/lib/ld-linux-aarch64.so.1" ] || mv "$root/usr/lib/ld-linux-aarch64.so.1" "$out/lib/"
mv "$from/gconv" "$gconv/lib/gconv"

# The sysroot keeps Debian's layout, which GCC, Clang and the linker scripts know.
to="$dev/usr/lib/$multiarch"
for dir in lib lib64; do ln -s usr/lib "$dev/$dir"; done
mv "$root/usr/include" "$dev/usr/include"
mv "$from"/*.o "$from"/*.a "$from"/*.so "$to/"
[ ! -d "$from/pkgconfig" ] || mv "$from/pkgconfig" "$to/pkgconfig"
for library in "$out"/lib/*.so.*; do ln -s "$library" "$to/"; done
ln -s "$out/lib/ld-linux-aarch64.so.1" "$dev/usr/lib/"
find "$to" -type l | while read -r link; do
  [ -e "$link" ] || ln -sfn "$(basename "$(readlink "$link")")" "$link"
  [ -e "$link" ] || fail "$link leads nowhere"
done

for need in libc.so.6 libm.so.6 ld-linux-aarch64.so.1 libgcc_s.so.1; do
  [ -e "$out/lib/$need" ] || fail "the C library lacks $need"
done
for need in crt1.o Scrt1.o rcrt1.o libc.a libc.so libc_nonshared.a; do
  [ -e "$to/$need" ] || fail "the sysroot lacks $need"
done
