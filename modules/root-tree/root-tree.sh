# The tree, with a line in os-release that says what it was built by.
set -eu
export PATH=/usr/bin
: "${contents:?}" "${out:?}" "${manifestPath:?}"
cp -R --no-preserve=ownership "$contents" "$out"
chmod u+w "$out/root/etc" "$out/root/etc/os-release"
cat "$manifestPath" >>"$out/root/etc/os-release"
