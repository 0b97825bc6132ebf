# What ../unpack.sh has, for a GCC on AArch64 itself. Debian's native GCC takes assembler and linker from PATH; with links to them where
# a cross GCC has its own, this one finds them in its prefix, too.
sed 's/^unpack_debs()/unpack_plainly()/' "$commonUnpack" >"$TMPDIR/unpack.sh"
. "$TMPDIR/unpack.sh"

unpack_debs() {
  local tools="$1/usr/aarch64-linux-gnu/bin" tool
  unpack_plainly "$@"
  mkdir -p "$tools"
  for tool in "$1/usr/bin/aarch64-linux-gnu-"*; do
    tool=${tool##*/}
    [ -e "$tools/${tool#aarch64-linux-gnu-}" ] || ln -s "../../bin/$tool" "$tools/${tool#aarch64-linux-gnu-}"
  done
}
