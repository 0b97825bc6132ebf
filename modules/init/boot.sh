#!/bin/sh
# Runs once, before anything else. A step that fails says so on the console and the boot goes on: a board that can still be
# reached is worth more than one that stands still.
export PATH=/bin
umask 022
cd /
# shellcheck source=/dev/null
. /etc/init/config

say() { echo "boot: $*"; }

# mount_once DIRECTORY TYPE OPTIONS: unless something is mounted there.
mount_once() {
  mountpoint -q "$1" || mount -t "$2" -o "$3" "$2" "$1" || say "cannot mount $2 on $1"
}

mount_once /proc proc nosuid,nodev,noexec
mount_once /sys sysfs nosuid,nodev,noexec
mount_once /dev devtmpfs nosuid,mode=0755
mkdir -p /dev/pts /dev/shm
mount_once /dev/pts devpts nosuid,noexec,gid=5,mode=0620,ptmxmode=0666
mount_once /dev/shm tmpfs nosuid,nodev,mode=1777
mount_once /run tmpfs nosuid,nodev,mode=0755
mount_once /tmp tmpfs nosuid,nodev,mode=1777
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
[ -e /dev/stdin ] || ln -s fd/0 /dev/stdin
[ -e /dev/stdout ] || ln -s fd/1 /dev/stdout
[ -e /dev/stderr ] || ln -s fd/2 /dev/stderr

if [ "$ROOT_WRITABLE" = 1 ]; then
  mount -o remount,rw / || say "cannot make the root file system writable"
fi

/etc/init/data

# What /var and /home hold; both are links into /data.
mkdir -p /data/var/lib /data/var/log /data/var/spool /data/var/empty /data/home
chmod 0755 /data /data/var /data/var/lib /data/var/log /data/var/spool /data/var/empty /data/home
while read -r user uid gid home; do
  if [ ! -d "$home" ]; then mkdir -p "$home" && chmod 0750 "$home" && chown "$uid:$gid" "$home"; fi
  keys=/etc/ssh/authorized_keys.d/$user
  # The image decides which keys there are. A link in the user's directory is not followed.
  if [ -e "$keys" ] && [ ! -L "$home/.ssh" ]; then
    mkdir -p "$home/.ssh"
    rm -rf "$home/.ssh/authorized_keys"
    cp "$keys" "$home/.ssh/authorized_keys"
    chmod 0700 "$home/.ssh"
    chmod 0600 "$home/.ssh/authorized_keys"
    chown "$uid:$gid" "$home/.ssh" "$home/.ssh/authorized_keys"
  fi
done </etc/init/homes

# Boards without a battery start in 1970: time goes on where the last shutdown left it.
if [ -s /var/lib/clock ]; then
  last=$(cat /var/lib/clock)
  case $last in
    '' | *[!0-9]*) say "/var/lib/clock is not a time" ;;
    *) if [ "$(date +%s)" -lt "$last" ]; then date -s "@$last" >/dev/null; fi ;;
  esac
fi
# What one run knew of randomness helps the next; it is used once.
if [ -s /var/lib/random-seed ]; then cat /var/lib/random-seed >/dev/urandom; fi
(umask 077 && dd if=/dev/urandom of=/var/lib/random-seed bs=512 count=1 2>/dev/null)

hostname -F /etc/hostname
ip link set lo up
sysctl -q -p /etc/sysctl.conf >/dev/null || say "cannot set all of /etc/sysctl.conf"

# runsv keeps its state beside the services' scripts.
mkdir -p /run/service
cp -R /etc/service/. /run/service/

/etc/init/post-boot || say "boot.postBootCommands ended with code $?"
exit 0
