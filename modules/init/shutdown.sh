#!/bin/sh
# Runs before the system goes down: stops services, ends everything else, and leaves the data partition clean.
export PATH=/bin
cd /

echo "shutdown: stopping services"
killall -TERM runsvdir 2>/dev/null
services=
for service in /run/service/*; do
  case ${service##*/} in syslogd) ;; *) services="$services $service" ;; esac
done
# shellcheck disable=SC2086 # words on purpose: names of services have no blanks
sv -w 10 force-shutdown $services >/dev/null 2>&1

date +%s >/var/lib/clock
(umask 077 && dd if=/dev/urandom of=/var/lib/random-seed bs=512 count=1 2>/dev/null)

[ ! -d /run/service/syslogd ] || sv -w 3 force-shutdown /run/service/syslogd >/dev/null 2>&1
killall5 -TERM -o $$
sleep 1
killall5 -KILL -o $$
sync

echo "shutdown: unmounting"
if mountpoint -q /data; then
  umount /data || { sleep 1; umount /data; } || mount -o remount,ro /data || echo "shutdown: /data stays mounted"
fi
mount -o remount,ro / 2>/dev/null
sync
