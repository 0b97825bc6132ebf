# Takes the boot loader out of Debian's package, with busybox alone.
set -eu

for deb in $debs; do
  ar p "$deb" data.tar.xz | tar xJf - ./usr/lib/systemd/boot/efi/systemd-bootaa64.efi
done
program=usr/lib/systemd/boot/efi/systemd-bootaa64.efi

# PE: `MZ', and where offset 0x3c points to, `PE\0\0' and the machine 0xaa64.
header=$(od -An -tu4 -j 60 -N 4 "$program" | tr -d ' ')
if [ "$(head -c 2 "$program")" != MZ ] || [ "$(od -An -tx1 -j "$header" -N 6 "$program" | tr -d ' ')" != 5045000064aa ]; then
  echo "systemd-bootaa64.efi of the package is no AArch64 program for UEFI" >&2
  exit 1
fi
mkdir "$out"
cp "$program" "$out/"
