# Copies the files that a firmware starts from; boot-files.nix has the parameters.
. "$common"

while read -r target source; do
  [ -f "$source" ] || fail "$target: $source is no file"
  install -D -m 0444 "$source" "$out/$target"
done <<<"$files"
