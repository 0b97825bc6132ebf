# What all parts use.

# in_words BYTES: as people read it.
in_words() {
  local n=$1 unit
  for unit in bytes KiB MiB GiB; do
    if [ "$n" -lt 10240 ]; then
      printf '%s %s' "$n" "$unit"
      return
    fi
    n=$((n / 1024))
  done
  printf '%s TiB' "$n"
}

# need_argument OPTION [ARGUMENT…]
need_argument() {
  [ -n "${2-}" ] || fail "$EXIT_USAGE" "$1 needs an argument"
}

usage() {
  cat <<USAGE
$PROGRAM: writes the image $TARGET
to a disk for the board: $BOARD_DESCRIPTION

  $PROGRAM [--device DEVICE] [OPTION...]

Without --device, it takes the SD card or USB disk that is there, if there is just one. Before anything is written it
shows what it will do and asks. You need write permission for the device: usually that means sudo.

  -d, --device DEVICE  the disk to write to, such as /dev/sdb; all that is on it is lost
  -l, --list           show the disks of this machine, and boards in recovery mode
  -n, --dry-run        show what would be done; write nothing
  -y, --yes            do not ask
      --file-ok        DEVICE may be a plain file that exists; it is overwritten
      --extract FILE   write the image to a new file, do nothing else
      --layout         show the layout of the image
  -h, --help           show this text
USAGE
  method_usage
  cat <<'USAGE'

For tests of this program:
      --stand-in DIR   take DIR/sys, DIR/proc and DIR/dev for /sys, /proc and /dev. Devices are then plain files in
                       DIR/dev: with this option, nothing is ever written to a real device.

Exit codes: 0 done, 1 something failed, 2 wrong command line, 3 the device is refused, 4 no device found, 5 not confirmed,
6 the device does not hold what was written, 7 this file is damaged, 8 a program, the BSP or a right is missing.
USAGE
}

WORK=
CLEANUP=()
WRITER=      # the process that writes, while it does
UNFINISHED=  # what a user has to know who ends it now
cleanup() {
  local file
  if [ -n "$WRITER" ]; then
    trap '' INT TERM
    kill "$WRITER" 2>/dev/null || true
    wait "$WRITER" 2>/dev/null || true
    WRITER=
  fi
  for file in ${CLEANUP[@]+"${CLEANUP[@]}"}; do rm -f -- "$file"; done
  [ -z "$WORK" ] || rm -rf -- "$WORK"
  CLEANUP=() WORK=
}

# work_directory: makes a directory for big files, once; it is removed in the end.
work_directory() {
  [ -n "$WORK" ] || WORK=$(mktemp -d "${TMPDIR:-/tmp}/$PROGRAM.XXXXXX") ||
    fail "$EXIT_FAILED" "cannot make a directory in ${TMPDIR:-/tmp}" "Set TMPDIR to a directory with $(in_words "$IMAGE_BYTES") of space."
}

# confirm WORD: has the user type WORD.
confirm() {
  local answer=
  [ -z "$YES" ] || return 0
  say
  printf 'Type "%s" to go on: ' "$1"
  read -r answer || true
  [ -t 0 ] || say
  [ "$answer" = "$1" ] || fail "$EXIT_DECLINED" "not confirmed; nothing was written"
}
