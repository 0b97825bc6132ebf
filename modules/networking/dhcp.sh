#!/bin/sh
# What udhcpc calls when something changes: $1 is deconfig, bound, renew, nak or leasefail; the lease is in variables.
export PATH=/bin
# udhcpc sets these.
: "${interface:?}" "${ip:=}" "${mask:=}" "${router:=}" "${dns:=}" "${domain:=}"

case $1 in
  deconfig)
    ip -4 address flush dev "$interface" scope global
    ip link set "$interface" up
    ;;
  bound | renew)
    ip address replace "$ip/${mask:-24}" dev "$interface"
    for gateway in $router; do
      ip route replace default via "$gateway" dev "$interface"
      break
    done
    if ! grep -q '^nameserver' /etc/network/resolv.conf; then
      {
        if [ -n "$domain" ]; then echo "search $domain"; else cat /etc/network/resolv.conf; fi
        for server in $dns; do echo "nameserver $server"; done
      } >/run/resolv.conf.new
      mv /run/resolv.conf.new /run/resolv.conf
    fi
    echo "$interface has the address $ip${router:+, gateway ${router%% *}}"
    ;;
esac
exit 0
