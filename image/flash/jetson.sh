# Jetson: the image goes to a disk that is connected to this machine (the board has its firmware already), or, with NVIDIA's BSP, over
# USB to a board in recovery mode: firmware into its QSPI flash and the image's partitions into its eMMC or NVMe disk.

BSP='' STORAGE=$BSP_STORAGE_DEFAULT

method_usage() {
  cat <<USAGE

Over USB, with NVIDIA's BSP (Jetson Linux) and the board in recovery mode, its firmware too:
      --bsp PATH         the BSP: its directory Linux_for_Tegra, or the archive it comes in${BSP_PATH:+; default: $BSP_PATH}
      --full             do this with the default BSP
      --storage STORAGE  where the image goes: one of $BSP_STORAGES (default: $BSP_STORAGE_DEFAULT)
USAGE
}

method_option() {
  case $1 in
    --full)
      BSP=${BSP:-$BSP_PATH}
      [ -n "$BSP" ] || bsp_missing "no BSP is set for this image"
      CONSUMED=1
      ;;
    --bsp | --storage)
      need_argument "$@"
      case $1 in
        --bsp) BSP=$2 ;;
        --storage) STORAGE=$2 ;;
      esac
      CONSUMED=2
      ;;
    *) return 1 ;;
  esac
  case " $BSP_STORAGES " in *" $STORAGE "*) ;; *) fail "$EXIT_USAGE" "--storage is $STORAGE; this board has: $BSP_STORAGES" ;; esac
}

# The boot loader is in QSPI flash, not on the disk.
method_plan() { :; }
method_after_image() { :; }

method_check() {
  [ -z "$BSP" ] || [ "$ACTION" != extract ] || fail "$EXIT_USAGE" "--extract writes a file: --bsp does not go with it"
}

method_run() {
  if [ -z "$BSP" ]; then flash_disk; else flash_bsp; fi
}

# bsp_missing WHY: what is needed and where it comes from.
bsp_missing() {
  fail "$EXIT_MISSING" "$1" \
    "NVIDIA's BSP writes the firmware of the board; it may not be passed on, so everyone gets it from NVIDIA:" \
    "  what   Jetson Linux R$BSP_BRANCH, \"Driver Package (BSP)\": Jetson_Linux_R$BSP_BRANCH.…_aarch64.tbz2" \
    "  where  developer.nvidia.com/embedded/jetson-linux-archive" \
    "  then   $PROGRAM --bsp Jetson_Linux_R$BSP_BRANCH.…_aarch64.tbz2" \
    "         or unpack it (tar xf) and: $PROGRAM --bsp Linux_for_Tegra" \
    "The image's option flash.bsp.path makes a place the default." \
    "A board that has its firmware already needs none: $PROGRAM --device DISK"
}

# check_hash FILE EXPECTED OPTION
check_hash() {
  local sum
  say "checking $1"
  sum=$(sha256sum <"$1")
  [ "${sum%% *}" = "$2" ] || fail "$EXIT_MISSING" "$1 is not the expected file: its SHA-256 is ${sum%% *}; $3 says $2"
}

# open_bsp: BSP becomes the directory Linux_for_Tegra, of an accepted version and with the expected hash.
open_bsp() {
  local version='' line
  [ -e "$BSP" ] || bsp_missing "there is no BSP at $BSP"
  BSP=$(readlink -f -- "$BSP")
  if [ -f "$BSP" ]; then
    [ -z "$BSP_SCRIPT_HASH" ] ||
      fail "$EXIT_MISSING" "flash.bsp.scriptHash is set, which is checked in an unpacked BSP; $BSP is an archive"
    [ -z "$BSP_ARCHIVE_HASH" ] || check_hash "$BSP" "$BSP_ARCHIVE_HASH" flash.bsp.archiveHash
    need tar bzip2
    work_directory
    say "unpacking $BSP"
    tar -x -C "$WORK" -f "$BSP" || fail "$EXIT_FAILED" "cannot unpack $BSP" "Is it the BSP's archive, and is there space in $WORK?"
    BSP=$WORK/Linux_for_Tegra
  elif [ -n "$BSP_ARCHIVE_HASH" ]; then
    fail "$EXIT_MISSING" "flash.bsp.archiveHash is set, so --bsp takes the archive and checks it; $BSP is a directory"
  fi
  [ -f "$BSP/flash.sh" ] || [ ! -f "$BSP/Linux_for_Tegra/flash.sh" ] || BSP=$BSP/Linux_for_Tegra
  [ -f "$BSP/flash.sh" ] || bsp_missing "$BSP is not the directory Linux_for_Tegra of a BSP: it has no flash.sh"
  [ -f "$BSP/tools/kernel_flash/l4t_initrd_flash.sh" ] ||
    bsp_missing "the BSP in $BSP is incomplete: it has no tools/kernel_flash/l4t_initrd_flash.sh"
  [ -z "$BSP_SCRIPT_HASH" ] || check_hash "$BSP/flash.sh" "$BSP_SCRIPT_HASH" flash.bsp.scriptHash

  # nv_tegra/bsp_version has lines NAME=VALUE; where there is a root file system, its etc/nv_tegra_release begins
  # `# R36 (release), REVISION: 4.3,'.
  if [ -f "$BSP/nv_tegra/bsp_version" ]; then
    version=$(sed -nE 's/^BSP_BRANCH="?([0-9]+)"?[[:space:]]*$/\1/p' "$BSP/nv_tegra/bsp_version")
    version=${version%%$'\n'*}
    line=$(sed -nE 's/^BSP_M(AJOR|INOR)="?([0-9]+)"?[[:space:]]*$/.\2/p' "$BSP/nv_tegra/bsp_version" | tr -d '\n')
    version=$version$line
  elif [ -f "$BSP/rootfs/etc/nv_tegra_release" ]; then
    version=$(sed -nE '1s/^# R([0-9]+) \(release\), REVISION: ([0-9.]+),.*/\1.\2/p' "$BSP/rootfs/etc/nv_tegra_release")
  fi
  [ -n "$version" ] || bsp_missing "the BSP in $BSP does not say its version (nv_tegra/bsp_version)"
  case $version in
    "$BSP_BRANCH" | "$BSP_BRANCH".*) BSP_VERSION=$version ;;
    *) bsp_missing "the BSP in $BSP is R$version; the firmware for this image is R$BSP_BRANCH" ;;
  esac
}

# partition_layout TEMPLATE DEVICE-TYPE OUTPUT ROOT-NAME: NVIDIA's layout with the image's partitions in place of its own.
partition_layout() {
  local name start size type uuid content number=0
  while read -r name start size type uuid content; do
    number=$((number + 1))
    printf '%s\n' "$number $name $size $type $uuid $content"
  done <<<"$PARTITIONS" | python3 -c "$(layout_program)" "$1" "$2" "$3" "$4" "$BSP_FILE_PREFIX" ||
    fail "$EXIT_MISSING" "cannot make a partition layout out of $1"
}

# place_partitions: the contents of the partitions become files in the BSP's directory bootloader, where its tools look for them.
place_partitions() {
  local name start size content file
  work_directory
  extract "$WORK/disk.img" || fail "$EXIT_FAILED" "cannot unpack the image to $WORK" "Set TMPDIR to a directory with $(in_words "$IMAGE_BYTES") of space."
  while read -r name start size _ _ content; do
    [ "$content" -gt 0 ] || continue
    file=$BSP/bootloader/$BSP_FILE_PREFIX$name.img
    CLEANUP+=("$file")
    dd if="$WORK/disk.img" of="$file" bs=1M skip="$start" count="$content" iflag=skip_bytes,count_bytes,fullblock conv=sparse status=none ||
      fail "$EXIT_FAILED" "cannot write $file"
    truncate -s "$content" -- "$file"
  done <<<"$PARTITIONS"
  rm -f -- "$WORK/disk.img"
}

run_bsp() {
  say "+ $*"
  [ -n "$DRY_RUN" ] || UNFINISHED="the board may hold a part of the image and of its firmware"
  [ -n "$DRY_RUN" ] || (cd "$BSP" && "$@") ||
    fail "$EXIT_FAILED" "the BSP's ${1##*/} failed; see its messages above" "Put the board into recovery mode again before the next try."
}

flash_bsp() {
  local layout_dir='' candidate template device_type qspi ours=xbuild-$TARGET.xml
  [ -z "$DEVICE" ] || fail "$EXIT_USAGE" "--bsp writes to a board in recovery mode, not to a disk of this machine: --device does not go with it"
  need python3
  check_payload
  open_bsp
  for candidate in bootloader/generic/cfg bootloader/t186ref/cfg; do
    [ ! -d "$BSP/$candidate" ] || layout_dir=$candidate
  done
  [ -n "$layout_dir" ] || bsp_missing "the BSP in $BSP is incomplete: it has no bootloader/generic/cfg"
  case $STORAGE in
    emmc)
      template=$layout_dir/$BSP_EMMC_LAYOUT
      device_type=sdmmc_user
      qspi=
      ours=$layout_dir/$ours
      ;;
    nvme)
      template=tools/kernel_flash/$BSP_NVME_LAYOUT
      device_type=external
      qspi=$layout_dir/$BSP_QSPI_LAYOUT
      ours=tools/kernel_flash/$ours
      [ -f "$BSP/$qspi" ] || bsp_missing "the BSP in $BSP is incomplete: it has no $qspi"
      ;;
  esac
  [ -f "$BSP/$template" ] || bsp_missing "the BSP in $BSP is incomplete: it has no $template"

  find_board recovery
  say "image    $TARGET"
  say "         $(in_words "$IMAGE_BYTES"), SHA-256 $IMAGE_SHA256"
  say "board    ${BOARD_FOUND:-none in recovery mode on USB}"
  say "BSP      R$BSP_VERSION in $BSP, board $BSP_BOARD"
  say "layout   $template, with the partitions of the image"
  say "storage  $STORAGE; all that is on it, and the firmware in the QSPI flash, will be replaced"
  say
  show_layout
  say
  [ -n "$BOARD_FOUND" ] || [ -n "$DRY_RUN" ] ||
    fail "$EXIT_NO_DEVICE" "there is no board of this kind in recovery mode on USB" \
      "Connect its USB-C port, hold the button (or short the pins) for force recovery, and press reset or switch it on." \
      "It then shows as one of: $(say "$USB_IDS" | cut -d ' ' -f 1 | tr '\n' ' ')"
  if [ -z "$DRY_RUN" ]; then
    [ -n "$STAND_IN" ] || [ "$(id -u)" = 0 ] ||
      fail "$EXIT_MISSING" "NVIDIA's tools need root" "Try: sudo $SELF --bsp $BSP"
    confirm "$BOARD"
    CLEANUP+=("$BSP/$ours")
    place_partitions
    partition_layout "$BSP/$template" "$device_type" "$BSP/$ours" "$([ "$STORAGE" = emmc ] && echo APP || echo root)"
  fi
  case $STORAGE in
    emmc)
      # flash.sh reaches QSPI flash and eMMC by itself, in one go.
      run_bsp ./flash.sh --no-systemimg -c "$ours" "$BSP_BOARD" internal
      ;;
    nvme)
      # An NVMe disk is reached only from a Linux that the BSP starts on the board. Its README_initrd_flash.txt has these three steps:
      # files for the QSPI flash, files for the disk, flash both.
      run_bsp ./tools/kernel_flash/l4t_initrd_flash.sh --showlogs --no-flash --network usb0 \
        -p "-c $qspi --no-systemimg" "$BSP_BOARD" internal
      run_bsp ./tools/kernel_flash/l4t_initrd_flash.sh --showlogs --no-flash --network usb0 --external-device nvme0n1 \
        -c "$ours" -p "--no-systemimg" --external-only --append "$BSP_BOARD" external
      run_bsp ./tools/kernel_flash/l4t_initrd_flash.sh --showlogs --flash-only --network usb0 "$BSP_BOARD" external
      ;;
  esac
  if [ -n "$DRY_RUN" ]; then
    say "Nothing was written (--dry-run)."
  else
    say "The BSP's tools have written firmware and image to the board."
  fi
}
