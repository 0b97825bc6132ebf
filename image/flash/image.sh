# The image that is appended to this file.

# payload: the compressed image.
payload() {
  tail -c "+$((PAYLOAD_OFFSET + 1))" -- "$SELF"
}

# check_payload: fails unless the image in this file is whole; before anything is written. (The program was checked at the start.)
check_payload() {
  local sum
  sum=$(payload | sha256sum)
  [ "${sum%% *}" = "$COMPRESSED_SHA256" ] ||
    fail "$EXIT_DAMAGED" "this file is damaged: the SHA-256 of the image in it is ${sum%% *} and should be $COMPRESSED_SHA256" \
      "Copy or download it again."
}

# extract FILE: the image, unpacked; zeros become holes.
extract() {
  payload | gzip -dc | dd of="$1" bs=1M iflag=fullblock conv=sparse,notrunc status=none &&
    truncate -s "$IMAGE_BYTES" -- "$1"
}

run_extract() {
  local file=$1
  [ ! -e "$file" ] || fail "$EXIT_USAGE" "$file exists already; --extract writes to a new file"
  check_payload
  if [ -n "$DRY_RUN" ]; then
    say "Nothing was written (--dry-run)."
    return
  fi
  (set -C && : >"$file") 2>/dev/null || fail "$EXIT_FAILED" "cannot create $file"
  extract "$file" || fail "$EXIT_FAILED" "cannot write $file" "Is there space for $(in_words "$IMAGE_BYTES")?"
  local sum
  sum=$(sha256sum <"$file")
  [ "${sum%% *}" = "$IMAGE_SHA256" ] || fail "$EXIT_VERIFY" "$file does not hold what was written to it"
  say "$file: $(in_words "$IMAGE_BYTES"), SHA-256 $IMAGE_SHA256"
  method_after_image "$file"
}
