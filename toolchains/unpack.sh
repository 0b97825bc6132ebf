# Functions for the derivations that are made from Debian packages by the boot layer's busybox alone.
# Sourced by ash; `debs` and `boot` come from the derivation.

set -eu
umask 022
export LC_ALL=C TZ=UTC

# message TEXT: says what went wrong and ends the build.
fail() {
  echo "$0: $*" >&2
  exit 1
}

# unpack_debs DIR DEB...: unpacks packages into one usr-merged tree, without what no build reads.
unpack_debs() {
  local dir="$1" deb link sub
  shift
  mkdir -p "$dir/usr/bin" "$dir/usr/sbin" "$dir/usr/lib" "$dir/usr/lib64"
  # The links come first, so that a package's /lib/x lands in usr/lib/x.
  for link in bin sbin lib lib64; do ln -s "usr/$link" "$dir/$link"; done
  for deb in "$@"; do
    ar p "$deb" data.tar.xz | tar xJof - -C "$dir" || fail "cannot unpack $deb"
  done
  for link in bin sbin lib lib64; do
    [ -L "$dir/$link" ] || fail "a package replaced the link /$link"
  done
  rm -rf "$dir/etc" "$dir/var" "$dir/usr/games"
  for sub in doc doc-base man info locale lintian bug menu applications bash-completion zsh emacs vim icons gdb gcc; do
    rm -rf "$dir/usr/share/$sub"
  done
  # Setuid bits have no place in a store.
  find "$dir/usr" -type f -perm /6000 -exec chmod a-s {} +
  relative_links "$dir"
}

# relative_links DIR: makes absolute symlinks below DIR relative to the root DIR.
relative_links() {
  local dir="$1" link target up
  find "$dir/usr" -type l | while read -r link; do
    target=$(readlink "$link")
    case $target in
      /*)
        up=${link#"$dir"/}
        up=$(dirname "$up" | sed 's,[^/]*,..,g')
        ln -sfn "$up$target" "$link"
        ;;
    esac
  done
}

# is_elf FILE
is_elf() {
  [ "$(head -c 4 "$1" | tr -d '\177')" = ELF ]
}

# patchelf ARG...: the boot layer's patchelf, through the boot layer's loader. Needs `buildTriplet` and `loader`.
patchelf() {
  local lib="$boot/usr/lib/$buildTriplet"
  "$lib/$loader" --library-path "$lib" "$boot/usr/bin/patchelf" "$@"
}
