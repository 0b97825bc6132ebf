#!/bin/sh
# Becomes dropbear, with host keys of this board. Arguments are dropbear's.
umask 077
keys=/var/lib/dropbear
mkdir -p "$keys"
chmod 0700 "$keys"
# A key is made beside its place: power may fail at any time.
for type in ed25519 ecdsa; do
  if [ ! -s "$keys/$type" ]; then
    rm -f "$keys/$type.new"
    dropbearkey -t "$type" -f "$keys/$type.new" >/dev/null 2>&1 && sync && mv "$keys/$type.new" "$keys/$type"
  fi
done
umask 022
exec dropbear -F -E -r "$keys/ed25519" -r "$keys/ecdsa" "$@"
