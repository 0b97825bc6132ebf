#!/bin/sh
# The network service: keeps every interface of /etc/network/interfaces configured. Lines there:
#   address NAME ADDRESS/LENGTH   a fixed address
#   fixed NAME                    it has no more than these
#   dhcp NAME                     it gets one by DHCP
#   gateway ADDRESS               the default route
#   others                        every other Ethernet interface gets an address by DHCP
export PATH=/bin
LIST=/etc/network/interfaces

mkdir -p /run/network
cp /etc/network/resolv.conf /run/resolv.conf
clients=
trap 'kill $clients 2>/dev/null; exit 0' TERM INT

# DHCP starts again whenever the client ends; it tries for ever by itself.
client() { udhcpc -f -i "$1" -s /etc/network/dhcp -x "hostname:$(hostname)" -t 5 -T 2 -A 5 & }

start() { # NAME: once for each time the interface appears
  local kind name value
  ip link set "$1" up || return
  while read -r kind name value; do
    case $kind:$name in
      "address:$1") ip address add "$value" dev "$1" ;;
      "gateway:"*) ip route replace default via "$name" 2>/dev/null ;;
      "dhcp:$1") client "$1"; clients="$clients $!" ;;
    esac
  done <"$LIST"
  if ! grep -qE "^(dhcp|fixed) $1\$" "$LIST" && grep -qx others "$LIST"; then
    client "$1"
    clients="$clients $!"
  fi
}

is_ethernet() { [ "$(cat "$1/type")" = 1 ] && [ -e "$1/device" ]; }

# Interfaces come and go: USB, drivers that start late.
while :; do
  for mark in /run/network/*; do
    [ -e "/sys/class/net/${mark##*/}" ] || rm -f "$mark"
  done
  for device in /sys/class/net/*; do
    name=${device##*/}
    [ ! -e "/run/network/$name" ] || continue
    if grep -qE "^(dhcp|fixed) $name\$" "$LIST" || { is_ethernet "$device" && grep -qx others "$LIST"; }; then
      touch "/run/network/$name"
      start "$name"
    fi
  done
  # In the background, so that a signal is answered at once.
  sleep 3 &
  wait $!
done
