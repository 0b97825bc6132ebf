# i.MX: the image goes to an SD card or eMMC that is connected to this machine, or through NXP's program uuu over USB to the board itself.

UUU='' UUU_PROGRAM='' MEDIUM=$STORAGE_DEFAULT BOOT_LOADER=''

method_usage() {
  cat <<USAGE

The boot loader (NXP's flash.bin: SPL, DDR firmware, TF-A, U-Boot) has its place on the disk at 32 KiB:
      --boot-loader FILE  write FILE there, too; with --uuu it is also what the board starts to receive the image

Over USB, with NXP's program uuu (mfgtools) and the board in serial download mode:
      --uuu               write through uuu in place of to a disk of this machine
      --uuu-program FILE  where uuu is, if it is not in PATH
      --medium MEDIUM     emmc or sd: what of the board is written to (default: $STORAGE_DEFAULT)
USAGE
}

method_option() {
  case $1 in
    --uuu)
      UUU=yes
      CONSUMED=1
      ;;
    --uuu-program | --medium | --boot-loader)
      need_argument "$@"
      case $1 in
        --uuu-program) UUU=yes UUU_PROGRAM=$2 ;;
        --medium) MEDIUM=$2 ;;
        --boot-loader) BOOT_LOADER=$2 ;;
      esac
      CONSUMED=2
      ;;
    *) return 1 ;;
  esac
  case $MEDIUM in emmc | sd) ;; *) fail "$EXIT_USAGE" "--medium is $MEDIUM; there are emmc and sd" ;; esac
}

check_boot_loader() {
  local size
  [ -n "$BOOT_LOADER" ] || return 0
  if [ ! -f "$BOOT_LOADER" ] || [ ! -r "$BOOT_LOADER" ]; then fail "$EXIT_USAGE" "--boot-loader: cannot read $BOOT_LOADER"; fi
  size=$(stat -L -c %s -- "$BOOT_LOADER")
  if [ "$size" -eq 0 ] || [ "$size" -gt "$FIRMWARE_MAX_SIZE" ]; then
    fail "$EXIT_USAGE" "--boot-loader: $BOOT_LOADER has $size bytes; its place has $FIRMWARE_MAX_SIZE"
  fi
}

method_plan() {
  say
  if [ -n "$BOOT_LOADER" ]; then
    say "boot loader  $BOOT_LOADER, at $(in_words "$FIRMWARE_OFFSET")"
  elif [ "$FIRMWARE_SIZE" -gt 0 ]; then
    say "boot loader  the one in the image, at $(in_words "$FIRMWARE_OFFSET")"
  else
    say "boot loader  none: the board must have one elsewhere (in the eMMC's boot partition), or give one with --boot-loader"
  fi
}

method_check() {
  [ -z "$UUU" ] || [ "$ACTION" != extract ] || fail "$EXIT_USAGE" "--extract writes a file: --uuu does not go with it"
  check_boot_loader
}

method_run() {
  if [ -z "$UUU" ]; then flash_disk; else flash_uuu; fi
}

# The boot loader goes over the verified image, and is read back itself.
method_after_image() {
  local target=$1 size
  [ -n "$BOOT_LOADER" ] || return 0
  size=$(stat -L -c %s -- "$BOOT_LOADER")
  say "writing the boot loader to $target, at $(in_words "$FIRMWARE_OFFSET")"
  UNFINISHED="$target holds the image, but not all of the boot loader"
  dd if="$BOOT_LOADER" of="$target" bs=1K seek=$((FIRMWARE_OFFSET / 1024)) conv=notrunc,fsync,nocreat status=none ||
    fail "$EXIT_FAILED" "writing the boot loader to $target failed"
  dd if="$target" bs=64K skip="$FIRMWARE_OFFSET" count="$size" iflag=skip_bytes,count_bytes,fullblock status=none | cmp -s - "$BOOT_LOADER" ||
    fail "$EXIT_VERIFY" "$target does not hold the boot loader as it was written"
}

flash_uuu() {
  local loader=$BOOT_LOADER program=${UUU_PROGRAM:-uuu}
  [ -z "$DEVICE" ] || fail "$EXIT_USAGE" "--uuu writes to a board, not to a disk of this machine: --device does not go with it"
  program=$(command -v -- "$program") ||
    fail "$EXIT_MISSING" "there is no program \`${UUU_PROGRAM:-uuu}'" \
      "It is NXP's Universal Update Utility: package \`uuu' of some distributions, or a release of github.com/nxp-imx/mfgtools." \
      "Put it into PATH, or name it with --uuu-program FILE."
  [ -n "$loader" ] || [ "$FIRMWARE_SIZE" -gt 0 ] ||
    fail "$EXIT_MISSING" "--uuu needs a boot loader: the board has to start it to receive the image" \
      "Give NXP's flash.bin for the board with --boot-loader FILE, or set boot.loader.firmware for the image."
  find_board "serial download"
  check_payload
  say "image   $TARGET"
  say "        $(in_words "$IMAGE_BYTES"), SHA-256 $IMAGE_SHA256"
  say "board   ${BOARD_FOUND:-none in serial download mode on USB}"
  say "medium  the board's $MEDIUM; all that is on it will be lost"
  say "by      $program -b ${MEDIUM}_all ${loader:-(the boot loader in the image)} (the image)"
  say
  show_layout
  [ -n "$BOARD_FOUND" ] || [ -n "$DRY_RUN" ] ||
    fail "$EXIT_NO_DEVICE" "there is no board in serial download mode on USB" \
      "Set its boot switches to serial download, connect its USB port for downloads, and switch it on."
  if [ -n "$DRY_RUN" ]; then
    say "Nothing was written (--dry-run)."
    return
  fi
  confirm "$BOARD"
  work_directory
  extract "$WORK/disk.img" || fail "$EXIT_FAILED" "cannot unpack the image to $WORK" "Set TMPDIR to a directory with $(in_words "$IMAGE_BYTES") of space."
  if [ -z "$loader" ]; then
    loader=$WORK/flash.bin
    dd if="$WORK/disk.img" of="$loader" bs=64K skip="$FIRMWARE_OFFSET" count="$FIRMWARE_SIZE" iflag=skip_bytes,count_bytes,fullblock status=none
  fi
  UNFINISHED="the board's $MEDIUM may hold a part of the image"
  "$program" -b "${MEDIUM}_all" "$loader" "$WORK/disk.img" || fail "$EXIT_FAILED" "uuu failed; $UNFINISHED"
  say "uuu has written the image to the board's $MEDIUM."
}
