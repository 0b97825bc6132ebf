# Writing the image to a disk, and reading it back.

# probe_direct: DIRECT becomes `direct' if the device can be read and written past the kernel's cache, so that progress is real and what is read back
# comes from the device.
DIRECT=
probe_direct() {
  DIRECT=
  if [ -n "$DISK" ] && dd if="$DEVICE" of=/dev/null bs=4096 count=1 iflag=direct status=none 2>/dev/null; then DIRECT=direct; fi
}

show_plan() {
  say "image   $TARGET"
  say "        $(in_words "$IMAGE_BYTES"), SHA-256 $IMAGE_SHA256"
  if [ -n "$DISK" ]; then
    say "device  $(describe "$DISK")"
  else
    say "device  $DEVICE (a plain file)"
  fi
  say
  show_layout
  method_plan
  say
  say "Everything that is on $DEVICE now will be lost."
}
# write_image: from this file to the device.
write_image() {
  local flags=()
  probe_direct
  [ -z "$DIRECT" ] || flags=(oflag=direct)
  say "writing $(in_words "$IMAGE_BYTES") to $DEVICE"
  payload | gzip -dc | dd of="$DEVICE" bs=4M iflag=fullblock conv=notrunc,fsync,nocreat "${flags[@]}" "status=$PROGRESS" ||
    fail "$EXIT_FAILED" "writing to $DEVICE failed; it holds a part of the image and does not start a board" "Is it still connected, and whole?"
  # A partition table that the disk had before has a copy in its last sectors; it must not be taken for that of the new one.
  local size sectors
  if [ -n "$DISK" ]; then size=$(bytes_of "$DISK"); else size=$(stat -c %s -- "$DEVICE"); fi
  sectors=$((size / 512))
  if [ $((size - IMAGE_BYTES)) -ge $((33 * 512)) ]; then
    dd if=/dev/zero of="$DEVICE" bs=512 seek=$((sectors - 33)) count=33 conv=notrunc,fsync,nocreat status=none ||
      fail "$EXIT_FAILED" "writing to the end of $DEVICE failed" "Is it as large as it says?"
  fi
}

# read_back: what the device holds where the image was written.
read_back() {
  dd if="$DEVICE" bs=4M count="$IMAGE_BYTES" iflag="fullblock,count_bytes${DIRECT:+,direct}" "status=$1"
}

# partition_at BYTE: the name of the partition it lies in.
partition_at() {
  local name start size _
  while read -r name start size _; do
    if [ "$1" -ge "$start" ] && [ "$1" -lt $((start + size)) ]; then
      printf 'partition %s' "$name"
      return
    fi
  done <<<"$PARTITIONS"
  printf 'the partition table or the boot loader'
}

verify_image() {
  local sum place
  say "reading back"
  [ -n "$DIRECT" ] || ! command -v blockdev >/dev/null || [ -n "$STAND_IN" ] || [ -z "$DISK" ] ||
    blockdev --flushbufs "$DEVICE" 2>/dev/null || true
  sum=$(read_back "$PROGRESS" | sha256sum) || fail "$EXIT_VERIFY" "$DEVICE cannot be read back" "Is it still connected, and whole?"
  [ "${sum%% *}" != "$IMAGE_SHA256" ] || return 0
  place=$(cmp <(payload | gzip -dc) <(read_back none 2>/dev/null) 2>&1 | sed -nE 's/.*(byte|char|after byte) ([0-9]+).*/\2/p' | head -n 1) || true
  fail "$EXIT_VERIFY" "$DEVICE does not hold what was written: its SHA-256 is ${sum%% *} and should be $IMAGE_SHA256" \
    "${place:+The first difference is at byte $place, in $(partition_at "$((place - 1))").}" "The medium is probably worn out or not as large as it says. Do not use it."
}

# The kernel's partition table of the disk becomes the new one; if that does not work, it will at the next connection.
announce() {
  [ -n "$DISK" ] && [ -z "$STAND_IN" ] && command -v blockdev >/dev/null || return 0
  blockdev --rereadpt "$DEVICE" 2>/dev/null || true
}

# still_free: a moment before it is written to, the kernel is asked whether somebody uses the disk in a way that /sys does not show.
still_free() {
  [ -n "$DISK" ] || return 0
  local why
  why=$(objection "$DISK")
  [ -z "$why" ] || fail "$EXIT_REFUSED" "$DEVICE $why"
  if [ -z "$STAND_IN" ] && command -v blockdev >/dev/null; then
    why=$(LC_ALL=C blockdev --rereadpt "$DEVICE" 2>&1) || case $why in
      *[Bb]usy*) fail "$EXIT_REFUSED" "$DEVICE is in use, says the kernel" ;;
    esac
  fi
}

# flash_disk: the whole road for a disk that is connected to this machine.
flash_disk() {
  if [ -n "$DEVICE" ]; then
    check_device
  else
    [ -z "$YES" ] || fail "$EXIT_USAGE" "--yes needs --device: nobody is asked whether it is the right one"
    find_disk
  fi
  check_payload
  show_plan
  if [ -n "$DRY_RUN" ]; then
    say "Nothing was written (--dry-run)."
    return
  fi
  check_permission
  confirm "${DEVICE##*/}"
  still_free
  write_image
  verify_image
  method_after_image
  announce
  say "$DEVICE holds the image, as read back from it."
}
