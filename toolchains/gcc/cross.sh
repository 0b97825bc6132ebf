# Makes the cross compiler's prefix out of .debs.
. "$unpack"

triplet=aarch64-linux-gnu
unpack_debs "$out" $debs
rm "$out/bin" "$out/sbin" "$out/lib" "$out/lib64"
mv "$out/usr/"* "$out/"
rmdir "$out/usr" "$out/sbin" "$out/lib64" 2>/dev/null || true

# The unversioned names are links that other Debian packages would bring.
for tool in gcc g++ cpp gcc-ar gcc-nm gcc-ranlib gcov gcov-dump gcov-tool lto-dump; do
  [ ! -e "$out/bin/$triplet-$tool-12" ] || [ -e "$out/bin/$triplet-$tool" ] || ln -s "$triplet-$tool-12" "$out/bin/$triplet-$tool"
done

# Links to shared libraries of the target lead to the ones that programs will run with; the others (sanitizers) go.
internal="$out/$gccInternal/$triplet/12"
for link in "$internal"/*.so; do
  [ -L "$link" ] || continue
  name=$(basename "$(readlink "$link")")
  if [ -e "$gccRuntime/lib/$name" ]; then ln -sfn "$gccRuntime/lib/$name" "$link"; else rm "$link"; fi
done

# A library with a RUNPATH of its own would ignore the program's RPATH, so shared objects get one as well.
native="$boot/usr/lib/$buildTriplet"
for directory in bin "$triplet/bin" "$gccInternal" "lib/$buildTriplet"; do
  [ ! -d "$out/$directory" ] || find "$out/$directory" -type f
done | while read -r file; do
  is_elf "$file" || continue
  case $file in *.o | *.a) continue ;; esac
  # Files for the target are left alone: e_machine is at offset 18.
  [ "$(od -An -tu1 -j18 -N1 "$file" | tr -d ' ')" = "$elfMachine" ] || continue
  case $file in
    *.so | *.so.*) patchelf --force-rpath --set-rpath "$out/lib/$buildTriplet:$native" "$file" ;;
    *) patchelf --set-interpreter "$native/$loader" --force-rpath --set-rpath "$out/lib/$buildTriplet:$native" "$file" ;;
  esac
done

# It must start here and now, and find its own assembler and linker.
for tool in as ld; do
  found=$("$out/bin/$triplet-gcc" -print-prog-name=$tool)
  case $found in "$out"/*) ;; *) fail "gcc would run $found as its $tool" ;; esac
done
echo 'int one(void) { return 1; }' | "$out/bin/$triplet-gcc" -O2 -c -x c -o "$TMPDIR/one.o" -
[ "$(od -An -tu1 -j18 -N1 "$TMPDIR/one.o" | tr -d ' ')" = 183 ] || fail "gcc did not make an AArch64 object"
