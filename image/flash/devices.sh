# Which disks there are, and whether one may be written to. All knowledge is from /sys and /proc.

SYS=/sys PROC=/proc DEV=/dev
STAND_IN=
# Often it is in a directory that is not in the PATH of ordinary users.
BLOCKDEV=$(PATH=$PATH:/usr/sbin:/sbin command -v blockdev || true)

stand_in() {
  STAND_IN=$(readlink -f -- "$1")
  if [ ! -d "$STAND_IN/sys" ] || [ ! -d "$STAND_IN/proc" ] || [ ! -d "$STAND_IN/dev" ]; then
    fail "$EXIT_USAGE" "--stand-in: $1 has no directories sys, proc and dev"
  fi
  SYS=$STAND_IN/sys PROC=$STAND_IN/proc DEV=$STAND_IN/dev
}

# read_line FILE: its first line, or nothing; without blanks around it.
read_line() {
  local line=
  [ ! -r "$1" ] || read -r line <"$1" || true
  printf '%s' "$line"
}

# sysfs_of DEVICE: the directory in /sys of a block device; fails if it is none.
sysfs_of() {
  local numbers link
  if [ -n "$STAND_IN" ]; then
    case $1 in "$DEV"/*) ;; *) return 1 ;; esac
    [ -f "$1" ] || return 1
    link=$SYS/class/block/${1##*/}
  else
    [ -b "$1" ] || return 1
    numbers=$(stat -c '%t %T' -- "$1")
    link=$SYS/dev/block/$((16#${numbers% *})):$((16#${numbers#* }))
  fi
  [ -e "$link" ] || return 1
  readlink -f -- "$link"
}

# family DIR: the disk, its partitions, and whatever is built on them (LVM, RAID, encryption), as directories in /sys.
family() {
  local dir=$1 part holder
  say "$dir"
  for part in "$dir"/*/partition; do
    [ -e "$part" ] || continue
    family_holders "${part%/partition}"
    say "${part%/partition}"
  done
  family_holders "$dir"
}
family_holders() {
  local holder
  for holder in "$1"/holders/*; do
    [ -e "$holder" ] || continue
    family "$(readlink -f -- "$holder")"
  done
}

# known_as DIR: how people call a device: its name, and that of the mapping or array.
known_as() {
  local name=${1##*/} nick
  nick=$(read_line "$1/dm/name")
  printf '%s' "$name${nick:+ ($nick)}"
}

# uses DIR...: one line for each use of the devices: `root', `mount WHERE' or `swap', with the device's name.
uses() {
  local dir name numbers line fields source
  for dir in "$@"; do
    name=${dir##*/}
    numbers=$(read_line "$dir/dev")
    while read -r line; do
      read -ra fields <<<"$line"
      source=${line#* - }
      source=${source#* }
      source=${source%% *}
      case $source in /dev/*) [ -n "$STAND_IN" ] || source=$(readlink -f -- "$source" || true) ;; esac
      if [ "${fields[2]}" = "$numbers" ] || [ "$source" = "/dev/$name" ]; then
        if [ "${fields[4]}" = / ]; then say "root $name"; else say "mount $name ${fields[4]}"; fi
      fi
    done <"$PROC/self/mountinfo"
    while read -r source _; do
      [ -n "$STAND_IN" ] || [ ! -e "$source" ] || source=$(readlink -f -- "$source")
      [ "$source" != "/dev/$name" ] || say "swap $name"
    done <"$PROC/swaps"
  done
}

# transport DIR: how the disk is connected: usb, mmc, nvme or other.
transport() {
  case $1 in */usb[0-9]*) printf usb; return ;; esac
  case ${1##*/} in
    mmcblk*) printf mmc ;;
    nvme*) printf nvme ;;
    *) printf other ;;
  esac
}

bytes_of() {
  local sectors
  sectors=$(read_line "$1/size")
  printf '%s' "$((${sectors:-0} * 512))"
}

# sector_of DIR: the bytes of a sector as the disk counts them; nothing if that cannot be known.
sector_of() {
  local size
  size=$(read_line "$1/queue/logical_block_size")
  [ -n "$size" ] || [ -n "$STAND_IN" ] || [ -z "$BLOCKDEV" ] || size=$("$BLOCKDEV" --getss "$DEV/${1##*/}" 2>/dev/null) || true
  printf '%s' "$size"
}

# identity DIR: what is different when another disk has got the same name.
identity() {
  local fact
  stat -c '%n %i' -- "$1"
  for fact in dev size diskseq device/vendor device/model device/name device/serial device/cid device/wwid; do
    say "$fact $(read_line "$1/$fact")"
  done
}

model_of() {
  local dir=$1 vendor model
  vendor=$(read_line "$dir/device/vendor")
  model=$(read_line "$dir/device/model")
  [ -n "$model" ] || model=$(read_line "$dir/device/name")
  case $vendor in 0x*) vendor= ;; esac
  vendor=${vendor:+$vendor }${model:-unknown model}
  # What a device says of itself goes to a terminal.
  printf '%s' "${vendor//[^[:print:]]/?}"
}

# objection DIR: why the disk must not be written to; nothing if it may.
objection() {
  local dir=$1 name=${1##*/} all use parent sector holders=()
  if [ -e "$dir/partition" ]; then
    parent=$(dirname "$dir")
    say "is a partition of $DEV/${parent##*/}; the image is for a whole disk"
    return
  fi
  case $name in
    mmcblk*boot* | mmcblk*rpmb*) say "is a boot or replay-protected area of an eMMC, not its disk"; return ;;
    sr[0-9]* | fd[0-9]* | ram[0-9]* | zram[0-9]*) say "is no disk"; return ;;
  esac
  if [ -d "$dir/dm" ] || [ -d "$dir/md" ]; then
    say "is made of other devices, no disk itself"
    return
  fi
  mapfile -t all < <(family "$dir")
  use=$(uses "${all[@]}" | sort -u)
  case $'\n'$use in
    *$'\n'root\ *) say "carries the system that is running (/)"; return ;;
    *$'\n'mount\ *)
      use=$(say "$use" | sed -n 's/^mount //p')
      use=${use%%$'\n'*}
      say "is mounted: $DEV/${use%% *} at ${use#* } (umount it first)"
      return
      ;;
    *$'\n'swap\ *)
      use=$(say "$use" | sed -n 's/^swap //p')
      use=${use%%$'\n'*}
      say "is in use as swap: $DEV/$use (swapoff it first)"
      return
      ;;
  esac
  for use in "${all[@]}"; do
    case $use in "$dir" | "$dir"/*) ;; *) holders+=("$(known_as "$use")") ;; esac
  done
  if [ ${#holders[@]} -gt 0 ]; then
    say "is part of ${holders[*]} (stop that first: LVM, RAID, encryption …)"
  elif [ "$(read_line "$dir/ro")" = 1 ]; then
    say "is read-only (an SD card's lock?)"
  elif [ "$(bytes_of "$dir")" -eq 0 ]; then
    say "has no medium in it"
  elif [ "$(bytes_of "$dir")" -lt "$IMAGE_BYTES" ]; then
    say "has $(in_words "$(bytes_of "$dir")"), the image needs $(in_words "$IMAGE_BYTES")"
  else
    sector=$(sector_of "$dir")
    [ "${sector:-512}" = 512 ] || say "has sectors of $sector bytes; the image's partition table is for sectors of 512"
  fi
}

# offered DIR: whether a disk is of the kind that is taken without having been named: removable, USB, or an SD card. (The kernel calls
# no card removable; an eMMC differs from an SD card in its type.)
offered() {
  case $(transport "$1") in
    usb) return 0 ;;
    mmc) case $(read_line "$1/device/type") in SD*) return 0 ;; esac ;;
  esac
  [ "$(read_line "$1/removable")" = 1 ]
}

# disks: the directories in /sys of what may be called a disk.
disks() {
  local entry name
  for entry in "$SYS"/block/*; do
    name=${entry##*/}
    case $name in
      loop* | ram* | zram* | dm-* | md* | sr* | fd* | nbd* | zd* | mtdblock* | mmcblk*boot* | mmcblk*rpmb* | '*') continue ;;
    esac
    readlink -f -- "$entry"
  done
}

# describe DIR: one line about a disk.
describe() {
  printf '%-14s %-10s %-5s %s' "$DEV/${1##*/}" "$(in_words "$(bytes_of "$1")")" "$(transport "$1")" "$(model_of "$1")"
}

# boards_in_recovery: `VENDOR:PRODUCT TEXT' for each board of this kind that waits for firmware over USB.
boards_in_recovery() {
  local device id line
  for device in "$SYS"/bus/usb/devices/*; do
    id=$(read_line "$device/idVendor"):$(read_line "$device/idProduct")
    while read -r line; do
      [ -z "$line" ] || [ "${line%% *}" != "$id" ] || say "$line"
    done <<<"$USB_IDS"
  done
}

# find_board KIND: the only board that waits goes into BOARD_FOUND; it stays empty if there is none.
BOARD_FOUND=
find_board() {
  local boards
  mapfile -t boards < <(boards_in_recovery)
  [ ${#boards[@]} -le 1 ] ||
    fail "$EXIT_NO_DEVICE" "there is more than one board in $1 mode on USB; disconnect all but one" "${boards[@]}"
  BOARD_FOUND=${boards[0]-}
}

run_list() {
  local dir why found=
  while read -r dir; do
    found=yes
    why=$(objection "$dir")
    if [ -z "$why" ] && ! offered "$dir"; then why="is built in; taken only with --device"; fi
    printf '%s%s\n' "$(describe "$dir")" "${why:+
               $why}"
  done < <(disks)
  [ -n "$found" ] || say "There is no disk."
  while read -r dir; do
    [ -z "$dir" ] || say "In recovery mode on USB: $dir"
  done <<<"$(boards_in_recovery)"
}

# find_disk: the only disk that is offered and without objection goes into DISK.
DISK=
find_disk() {
  local dir found=() lines=() why
  while read -r dir; do
    offered "$dir" || continue
    why=$(objection "$dir")
    if [ -z "$why" ]; then
      found+=("$dir")
    else
      lines+=("not $DEV/${dir##*/}: it $why")
    fi
  done < <(disks)
  if [ ${#found[@]} -eq 0 ]; then
    fail "$EXIT_NO_DEVICE" "there is no SD card or USB disk to write to" ${lines[@]+"${lines[@]}"} \
      "Connect one, or name a disk with --device; --list shows them."
  fi
  if [ ${#found[@]} -gt 1 ]; then
    lines=()
    for dir in "${found[@]}"; do lines+=("$(describe "$dir")"); done
    fail "$EXIT_NO_DEVICE" "there is more than one disk that could be meant; name it with --device" "${lines[@]}"
  fi
  DISK=${found[0]}
  DEVICE=$DEV/${DISK##*/}
}

# check_device: whether DEVICE may be written to; its directory in /sys goes into DISK (empty: a plain file).
check_device() {
  local given=$DEVICE why
  [ -e "$DEVICE" ] || fail "$EXIT_NO_DEVICE" "$given does not exist"
  DEVICE=$(readlink -f -- "$DEVICE")
  if DISK=$(sysfs_of "$DEVICE"); then
    why=$(objection "$DISK")
    [ -z "$why" ] || fail "$EXIT_REFUSED" "$DEVICE $why"
    return
  fi
  DISK=
  if [ -n "$STAND_IN" ]; then
    fail "$EXIT_REFUSED" "with --stand-in, only devices in $DEV are written to"
  elif [ ! -f "$DEVICE" ]; then
    fail "$EXIT_REFUSED" "$given is no block device"
  elif [ -z "$FILE_OK" ]; then
    fail "$EXIT_REFUSED" "$given is a plain file, no block device" "With --file-ok it is overwritten; --extract makes a new file."
  elif [ -n "$(find "$DEVICE" -prune -links +1)" ]; then
    fail "$EXIT_REFUSED" "$given has several names (hard links); it may be part of a store"
  fi
}

# check_permission: whether the device can be opened for writing; opening writes nothing.
check_permission() {
  if [ -r "$DEVICE" ] && [ -w "$DEVICE" ]; then return; fi
  fail "$EXIT_MISSING" "no permission to write to $DEVICE" "Try: sudo $SELF --device $DEVICE"
}
