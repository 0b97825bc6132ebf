# Sourced by the builders that make an ext4 file system.

# make_ext4 FILE MIB LABEL UUID OPTION...: an ext4 file system of the given size in a new, sparse file.
# The hash seed is the UUID, so that nothing in it is random; the time is SOURCE_DATE_EPOCH (e2fsprogs from 1.47.1 on).
make_ext4() {
  local file=$1 mib=$2 label=$3 uuid=$4
  shift 4
  truncate -s "${mib}M" "$file"
  MKE2FS_CONFIG=$mke2fsConf mke2fs -q -F -t ext4 -L "$label" -U "$uuid" \
    -E "hash_seed=$uuid,root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0,nodiscard${extended:+,$extended}" "$@" "$file"
}

# check_ext4 FILE: fails unless the file system is sound; e2fsck changes nothing.
check_ext4() {
  e2fsck -fn "$1" >check.log 2>&1 || {
    cat check.log >&2
    fail "e2fsck finds faults in the file system it was given"
  }
}
