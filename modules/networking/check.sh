# Every Ethernet interface with a link has an address. Without a network there is nothing to check.
ip address show dev lo | grep -q 'inet 127\.0\.0\.1' || { echo "lo has no address"; exit 1; }
found="no link"
for device in /sys/class/net/*; do
  name=${device##*/}
  if [ ! -e "$device/device" ] || [ "$(cat "$device/type")" != 1 ]; then continue; fi
  [ "$(cat "$device/carrier" 2>/dev/null)" = 1 ] || continue
  address=
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
    address=$(ip -o -4 address show dev "$name" scope global | awk '{ print $4; exit }')
    [ -z "$address" ] || break
    sleep 1
  done
  [ -n "$address" ] || { echo "$name has a link and no address"; exit 1; }
  found="$name $address"
done
echo "$found"
