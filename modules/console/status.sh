#!/bin/sh
# status: the state of the board, in lines `WHAT: VALUE`.
export PATH=/bin
# shellcheck source=/dev/null
. /etc/os-release

line() { printf '%-12s%s\n' "$1:" "$2"; }

line target "$BUILD_TARGET"
[ ! -r /proc/device-tree/model ] || line board "$(tr -d '\0' </proc/device-tree/model)"
line kernel "$(uname -r) $(uname -m)"
line time "$(date '+%Y-%m-%d %H:%M:%S %Z')"
line uptime "$(uptime | sed -e 's/^.* up */up /' -e 's/  */ /g')"
line memory "$(awk '/^MemTotal/ { total = $2 } /^MemAvailable/ { free = $2 } END { printf "%d of %d MiB free", free / 1024, total / 1024 }' /proc/meminfo)"
line data "$(df -m /data | awk 'NR > 1 { used = $(NF - 3); free = $(NF - 2) } END { printf "%d MiB used, %d MiB free", used, free }')"
for zone in /sys/class/thermal/thermal_zone*; do
  [ -r "$zone/temp" ] || continue
  degrees=$(cat "$zone/temp" 2>/dev/null) || continue
  line temperature "$(cat "$zone/type") $((degrees / 1000)) °C"
done
for device in /sys/class/net/*; do
  name=${device##*/}
  [ "$name" != lo ] || continue
  addresses=$(ip -o address show dev "$name" scope global 2>/dev/null | awk '{ printf "%s%s", sep, $4; sep = ", " }')
  line network "$name $(cat "$device/operstate" 2>/dev/null) ${addresses:-no address}"
done
services | while read -r name state _; do line service "$name $state"; done
