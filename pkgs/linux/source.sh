# Unpacks the kernel's source and prunes it.
set -euo pipefail
export PATH=/usr/bin LC_ALL=C TZ=UTC
umask 022

die() {
  echo "$name: $*" >&2
  exit 1
}

mkdir "$out"
ar p "$debs" data.tar.xz | tar --extract --xz --to-stdout --wildcards './usr/src/*.tar.xz' >source.tar.xz
tar --extract --file source.tar.xz --strip-components 1 -C "$out" --no-same-owner --no-same-permissions
rm source.tar.xz
cd "$out"

# The date that kernels of this source carry, in seconds since 1970: a store keeps no times.
stat -c %Y Makefile >source-date-epoch

# Of arm, the device trees stay: arm64 boards include some.
for tree in arch/*/ arch/arm/*/; do
  case $tree in
    arch/arm64/ | arch/arm/ | arch/arm/boot/) ;;
    *) prune+=" ${tree%/}" ;;
  esac
done
spare=(! -name 'Kconfig*')
for file in $keep; do spare+=(! -path "$file"); done
for tree in $prune; do
  [[ -d $tree ]] || die "source.nix prunes $tree, which this version does not have"
  find "$tree" ! -type d "${spare[@]}" -delete
  find "$tree" -depth -type d -empty -delete
done
for file in $keep; do
  [[ -e $file ]] || die "source.nix keeps $file, which this version does not have"
done
