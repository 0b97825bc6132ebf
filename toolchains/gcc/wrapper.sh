# Compiles the wrapper for one target and lays out its prefix.
set -euo pipefail
export PATH=/usr/bin LC_ALL=C

triplet=aarch64-linux-gnu
mkdir -p "$out/bin"

# Each flag becomes one C string in a list that ends with a null pointer.
strings() {
  local word
  for word in "$@"; do printf '"%s", ' "$word"; done
}
cat >config.h <<C
#define REAL_PREFIX "$gcc/bin/$triplet-"
#define SYSROOT "$sysroot"
#define DYNAMIC_LINKER "$libc/lib/ld-linux-aarch64.so.1"
static const char *const cpu_flags[] = { $(strings $cpuFlags) 0 };
static const char *const compile_flags[] = {
  $(strings "-ffile-prefix-map=$sysroot/usr=/usr" "-ffile-prefix-map=$gcc=/usr") 0
};
static const char *const library_flags[] = { $(strings "-L$gccRuntime/lib") 0 };
static const char *const rpath_flags[] = { $(strings "-Wl,-rpath,$libc/lib" "-Wl,-rpath,$gccRuntime/lib") 0 };
C
gcc -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -static -s -I. -o "$out/bin/$triplet-gcc" "$source"
for tool in g++ cpp gcc-12 g++-12 cpp-12 cc c++; do ln -s "$triplet-gcc" "$out/bin/$triplet-$tool"; done

for file in "$gcc/bin/$triplet-"*; do
  [ -e "$out/bin/${file##*/}" ] || ln -s "$file" "$out/bin/"
done

# A program of each kind must compile here, or nothing will elsewhere.
cat >t.c <<'C'
#include <stdio.h>
int main(void) { puts("hello"); return 0; }
C
cat >t.cc <<'C'
#include <iostream>
#include <stdexcept>
int main() { try { throw std::runtime_error("x"); } catch (const std::exception &e) { std::cout << e.what() << '\n'; } }
C
export NIX_BUILD_TOP=$PWD
for flags in "" -static -static-pie -no-pie -shared\ -fPIC; do
  for program in t.c t.cc; do
    case $program in *.c) compiler=gcc ;; *) compiler=g++ ;; esac
    "$out/bin/$triplet-$compiler" -O2 $flags -o t "$program"
    # A program names the loader in the store; a static one, and a library, none. Only a static one has no RPATH.
    headers=$("$out/bin/$triplet-readelf" -ldW t)
    loader=no rpath=no
    [[ $headers != *"interpreter: $libc/lib/ld-linux-aarch64.so.1]"* ]] || loader=yes
    [[ $headers != *"(RPATH)"* ]] || rpath=yes
    case "$flags:$loader:$rpath" in
      -static*:no:no | -shared*:no:yes | :yes:yes | -no-pie:yes:yes) ;;
      *) echo "wrapper: $compiler $flags: names the loader: $loader, has an RPATH: $rpath" >&2; exit 1 ;;
    esac
  done
done
