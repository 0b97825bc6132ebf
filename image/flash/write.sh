# Writing the image to a disk, and reading it back.

# probe_direct: DIRECT becomes `direct' if the device can be read and written past the kernel's cache, so that progress is real and what is read back
# comes from the device.
DIRECT=
probe_direct() {
  DIRECT=
  if [ -n "$DISK" ] && dd if="$DEVICE" of=/dev/null bs=4096 count=1 iflag=direct status=none 2>/dev/null; then DIRECT=direct; fi
}

show_plan() {
  local size
  say "image   $TARGET"
  say "        $(in_words "$IMAGE_BYTES"), SHA-256 $IMAGE_SHA256"
  if [ -n "$DISK" ]; then
    say "device  $(describe "$DISK")"
  else
    say "device  $DEVICE (a plain file)"
    size=$(stat -c %s -- "$DEVICE")
    [ "$size" -ge "$IMAGE_BYTES" ] || say "        It has $(in_words "$size"), and grows to $(in_words "$IMAGE_BYTES")."
  fi
  say
  show_layout
  method_plan
  say
  say "Everything that is on $DEVICE now will be lost."
}

# write_image: from this file to the device. It is written in the background: so a signal can end it in the middle.
write_image() {
  local flags=() hint="Is it still connected, and whole?"
  [ -n "$DISK" ] || hint="Is there space for $(in_words "$IMAGE_BYTES")?"
  probe_direct
  [ -z "$DIRECT" ] || flags=(oflag=direct)
  say "writing $(in_words "$IMAGE_BYTES") to $DEVICE"
  UNFINISHED="$DEVICE holds a part of the image and does not start a board"
  payload | gzip -dc | dd of="$DEVICE" bs=4M iflag=fullblock conv=notrunc,fsync,nocreat "${flags[@]}" "status=$PROGRESS" &
  WRITER=$!
  wait "$WRITER" || fail "$EXIT_FAILED" "writing to $DEVICE failed; it holds a part of the image and does not start a board" "$hint"
  WRITER=
  # A partition table that the disk had before has a copy in its last sectors; it must not be taken for that of the new one.
  local size sectors old
  if [ -n "$DISK" ]; then size=$(bytes_of "$DISK"); else size=$(stat -c %s -- "$DEVICE"); fi
  sectors=$((size / 512))
  old=$((sectors - IMAGE_BYTES / 512))
  [ "$old" -le 33 ] || old=33
  if [ "$old" -gt 0 ]; then
    dd if=/dev/zero of="$DEVICE" bs=512 seek=$((sectors - old)) count="$old" conv=notrunc,fsync,nocreat status=none ||
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
  UNFINISHED="$DEVICE was written, but not read back"
  say "reading back"
  [ -n "$DIRECT" ] || [ -n "$STAND_IN" ] || [ -z "$DISK" ] ||
    "$BLOCKDEV" --flushbufs "$DEVICE" 2>/dev/null || true
  sum=$(read_back "$PROGRESS" | sha256sum) || fail "$EXIT_VERIFY" "$DEVICE cannot be read back" "Is it still connected, and whole?"
  [ "${sum%% *}" != "$IMAGE_SHA256" ] || return 0
  place=$(cmp <(payload | gzip -dc) <(read_back none 2>/dev/null) 2>&1 | sed -nE 's/.*(byte|char|after byte) ([0-9]+).*/\2/p' | head -n 1) || true
  fail "$EXIT_VERIFY" "$DEVICE does not hold what was written: its SHA-256 is ${sum%% *} and should be $IMAGE_SHA256" \
    "${place:+The first difference is at byte $place, in $(partition_at "$((place - 1))").}" "The medium is probably worn out or not as large as it says. Do not use it."
}

# lock_device: the disk is opened, and stays so until all is done: while it is open, its name cannot become that of another disk. And it is
# locked: that keeps udev, and whoever mounts what udev tells of, away from it (systemd: docs/BLOCK_DEVICE_LOCKING.md).
LOCK=
lock_device() {
  [ -n "$DISK" ] || return 0
  need flock
  [ -n "$STAND_IN" ] || [ -n "$BLOCKDEV" ] || fail "$EXIT_MISSING" "the program \`blockdev' (util-linux) is needed and not in PATH"
  { exec {LOCK}<"$DEVICE"; } 2>/dev/null || fail "$EXIT_REFUSED" "$DEVICE cannot be opened"
  flock -w 5 "$LOCK" || fail "$EXIT_REFUSED" "$DEVICE is in use: another program has locked it"
}

# The lock ends, and the kernel's partition table of the disk becomes the new one; if that does not work, it will at the next connection.
announce() {
  [ -n "$DISK" ] || return 0
  exec {LOCK}<&-
  [ -n "$STAND_IN" ] || "$BLOCKDEV" --rereadpt "$DEVICE" 2>/dev/null || true
}

# still_free: a moment before it is written to: whether it is the disk that was shown, and nobody uses it; the kernel is asked as well,
# for what /sys does not show.
still_free() {
  [ -n "$DISK" ] || return 0
  local dir why
  if ! dir=$(sysfs_of "$DEVICE") || [ "$dir" != "$DISK" ] || ! why=$(identity "$dir") || [ "$why" != "$IDENTITY" ] ||
    [ ! "$DEVICE" -ef "/proc/$$/fd/$LOCK" ]; then
    fail "$EXIT_REFUSED" "$DEVICE is not the disk any more that was shown; nothing was written"
  fi
  why=$(objection "$DISK")
  [ -z "$why" ] || fail "$EXIT_REFUSED" "$DEVICE $why"
  [ -z "$STAND_IN" ] || return 0
  why=$("$BLOCKDEV" --rereadpt "$DEVICE" 2>&1) || case $why in
    *[Bb]usy*) fail "$EXIT_REFUSED" "$DEVICE is in use, says the kernel" ;;
  esac
}

# flash_disk: the whole road for a disk that is connected to this machine.
IDENTITY=
flash_disk() {
  if [ -n "$DEVICE" ]; then
    check_device
  else
    [ -z "$YES" ] || fail "$EXIT_USAGE" "--yes needs --device: nobody is asked whether it is the right one"
    find_disk
  fi
  [ -z "$DISK" ] || IDENTITY=$(identity "$DISK")
  check_payload
  show_plan
  if [ -n "$DRY_RUN" ]; then
    say "Nothing was written (--dry-run)."
    return
  fi
  check_permission
  lock_device
  confirm "${DEVICE##*/}"
  still_free
  write_image
  verify_image
  method_after_image "$DEVICE"
  UNFINISHED=
  announce
  say "$DEVICE holds the image, as read back from it."
}
