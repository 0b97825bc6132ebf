# What is above this line says what is flashed, and is written by the build; what follows is the program.
# After its last line comes the image, compressed; so this file is all that is needed.
#
# First the file looks whether it is whole, and whether the machine has what it needs. This is part of a group that began in the second
# line: a shell reads it to its end before it does anything, so a file that ends here already is an error and not a short program.
# It must be readable by any shell.

EXIT_FAILED=1      # something went wrong while it was done
EXIT_USAGE=2       # the command line is wrong
EXIT_REFUSED=3     # the device is not one to write to
EXIT_NO_DEVICE=4   # there is no device, or no board in recovery mode
EXIT_DECLINED=5    # the user did not confirm
EXIT_VERIFY=6      # the device does not hold what was written
EXIT_DAMAGED=7     # this file is damaged
EXIT_MISSING=8     # a program, the BSP or a right is missing

PROGRAM=flash-$TARGET

say() {
  printf '%s\n' "$*"
}

# fail CODE LINE...: says what is wrong, and what to do, and ends.
fail() {
  local code=$1
  shift
  printf '%s: %s\n' "$PROGRAM" "$1" >&2
  shift
  [ $# -eq 0 ] || printf '  %s\n' "$@" >&2
  exit "$code"
}

need() {
  local tool
  for tool in "$@"; do
    command -v "$tool" >/dev/null || fail "$EXIT_MISSING" "the program \`$tool' is needed and not in PATH"
  done
}

[ -n "${BASH_VERSION-}" ] || fail "$EXIT_USAGE" "this is a program for bash" "Run it with bash: bash $0"
case $BASH_VERSION in
  [0-3].* | 4.[0-3].*) fail "$EXIT_MISSING" "bash is $BASH_VERSION here; 4.4 or newer is needed" ;;
esac
set +o posix
set -euo pipefail
# What fails in $(…) fails there, too.
shopt -s inherit_errexit
export LC_ALL=C

need cat cmp cut dd dirname find gzip head id mktemp readlink rm sed sha256sum sort stat tail tr truncate
dd if=/dev/null of=/dev/null count=0 iflag=fullblock,count_bytes,skip_bytes conv=notrunc,nocreat status=progress 2>/dev/null ||
  fail "$EXIT_MISSING" "the program \`dd' here is not that of GNU coreutils 8.24 or newer"

SELF=${BASH_SOURCE[0]-}
if [ ! -f "$SELF" ] || [ ! -r "$SELF" ]; then
  fail "$EXIT_USAGE" "cannot read itself" "Run it as a file (bash $PROGRAM), not through a pipe."
fi
found=$(stat -L -c %s -- "$SELF")
[ "$found" -eq $((PAYLOAD_OFFSET + COMPRESSED_BYTES)) ] ||
  fail "$EXIT_DAMAGED" "this file is damaged: it has $found bytes and should have $((PAYLOAD_OFFSET + COMPRESSED_BYTES))" \
    "Copy or download it again."
found=$(head -c "$PAYLOAD_OFFSET" -- "$SELF" | sed '/^TEXT_SHA256=/d' | sha256sum)
[ "${found%% *}" = "$TEXT_SHA256" ] ||
  fail "$EXIT_DAMAGED" "this file is damaged: the SHA-256 of the program in it is ${found%% *} and should be $TEXT_SHA256" \
    "Copy or download it again."
unset found
