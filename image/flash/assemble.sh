# Makes a flash script; default.nix has the parameters.
. "$common"

# heredoc FUNCTION FILE: a function that prints the file.
heredoc() {
  ! grep -qx END_OF_TEXT "$2" || fail "$2 has a line END_OF_TEXT"
  printf '%s() {\n  cat <<'\''END_OF_TEXT'\''\n' "$1"
  cat "$2"
  printf 'END_OF_TEXT\n}\n'
}

payload=$image/disk.img.gz
# name offset size type uuid contentSize
sed 's/.*"partitions":\[//; s/},{/},\n{/g' "$image/layout.json" |
  sed -nE 's/.*"name":"([^"]+)","offset":([0-9]+),"size":([0-9]+),.*"type":"([^"]+)","uuid":"([^"]+)",.*"contentSize":([0-9]+),.*/\1 \2 \3 \4 \5 \6/p' >partitions
[ "$(grep -o '"number":' "$image/layout.json" | wc -l)" = "$(wc -l <partitions)" ] || fail "cannot read the partitions of $image/layout.json"
# The table of layout.txt: the second paragraph that follows the name.
awk -v RS= 'NR == 3' "$image/layout.txt" >table
[ -s table ] || fail "cannot read the table of $image/layout.txt"
sum=$(sed -nE 's/.*"size":[0-9]+,"sha256":"([0-9a-f]{64})","compressedSize".*/\1/p' "$image/layout.json")
size=$(sed -nE 's/.*"uuid":"[^"]*","size":([0-9]+),"sha256":"[0-9a-f]+","compressedSize".*/\1/p' "$image/layout.json")
firmware_size=$(sed -nE 's/.*"firmware":\{"offset":[0-9]+,"maxSize":[0-9]+,"size":([0-9]+),.*/\1/p' "$image/layout.json")
[ -n "$sum" ] && [ -n "$size" ] || fail "cannot read $image/layout.json"

text() { # OFFSET SHA-256: the script; the sum is that of the script without the line that says it
  # The group that begins here ends behind the first part: see start.sh.
  echo '#!/usr/bin/env bash'
  echo '{'
  echo "# Writes the image $target to a disk or a board; --help says how. Made by xbuild."
  echo
  printf '%s\n' "$variables"
  printf "IMAGE_BYTES=%s\nIMAGE_SHA256=%s\n" "$size" "$sum"
  printf "COMPRESSED_BYTES=%s\nCOMPRESSED_SHA256=%s\n" "$compressed_size" "$compressed_sum"
  [ "$method" != imx ] || printf "FIRMWARE_SIZE=%s\n" "${firmware_size:-0}"
  printf "PARTITIONS='%s'\n" "$(cat partitions)"
  printf "PAYLOAD_OFFSET=%s\nTEXT_SHA256=%s\n" "$1" "$2"
  cat "$start"
  echo '}'
  heredoc show_layout table
  [ -z "$layoutProgram" ] || heredoc layout_program "$layoutProgram"
  local part
  for part in $parts; do
    echo
    cat "$part"
  done
}

compressed_size=$(bytes "$payload")
compressed_sum=$(sha256sum "$payload" | cut -d ' ' -f 1)
zeros=$(printf %064d 0)
# The offset is part of what it counts.
offset=0 counted=
while [ "$offset" != "$counted" ]; do
  counted=$offset
  offset=$(text "$offset" "$zeros" | wc -c)
done
text_sum=$(text "$offset" "$zeros" | sed '/^TEXT_SHA256=/d' | sha256sum | cut -d ' ' -f 1)
script=$out/bin/flash-$target
mkdir -p "$out/bin"
{
  text "$offset" "$text_sum"
  cat "$payload"
} >"$script"
chmod +x "$script"
bash -n <(head -c "$offset" "$script") || fail "the script is no bash"
[ "$(tail -c "+$((offset + 1))" "$script" | sha256sum)" = "$(sha256sum <"$payload")" ] || fail "the image is not where the script looks for it"
