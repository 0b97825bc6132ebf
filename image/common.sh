# Sourced by the builders of images.
set -euo pipefail
umask 022
export PATH=/usr/bin:/usr/sbin

# fail MESSAGE: says what went wrong and ends the build.
fail() {
  echo "$name: $*" >&2
  exit 1
}

# bytes FILE: its size.
bytes() {
  stat -L -c %s "$1"
}

# in_words BYTES: the number as people read it.
in_words() {
  awk -v n="$1" 'BEGIN {
    split("bytes KiB MiB GiB TiB", unit, " ")
    for (u = 1; n >= 1024 && u < 5; u++) n /= 1024
    printf (u == 1 || n == int(n)) ? "%d %s" : "%.2f %s", n, unit[u]
  }'
}
