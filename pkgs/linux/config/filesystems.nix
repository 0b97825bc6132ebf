# File systems and block devices.
{
  "block devices and their partition tables" = { BLOCK = "y"; PARTITION_ADVANCED = "y"; EFI_PARTITION = "y"; MSDOS_PARTITION = "y"; BLK_DEV = "y"; };
  "a mounted file system can be checked and grown" = { BLK_DEV_WRITE_MOUNTED = "y"; };
  "the writable root, and the data partition" = { EXT4_FS = "y"; EXT4_FS_POSIX_ACL = "y"; EXT4_FS_SECURITY = "y"; };
  "the release root" = { MISC_FILESYSTEMS = "y"; SQUASHFS = "y"; SQUASHFS_ZSTD = "y"; SQUASHFS_XATTR = "y"; SQUASHFS_FILE_DIRECT = "y"; };
  "all cores decompress" = { SQUASHFS_COMPILE_DECOMP_MULTI_PERCPU = "y"; };
  "changes above a read-only tree" = { OVERLAY_FS = "y"; };
  "the EFI system partition, and memory sticks" = { VFAT_FS = "y"; NLS_CODEPAGE_437 = "y"; NLS_ISO8859_1 = "y"; NLS_UTF8 = "y"; FAT_DEFAULT_UTF8 = "y"; };
  "the kernel's own trees" = { PROC_FS = "y"; PROC_SYSCTL = "y"; SYSFS = "y"; DEVTMPFS = "y"; DEVTMPFS_MOUNT = "y"; };
  "files in memory" = { TMPFS = "y"; TMPFS_POSIX_ACL = "y"; TMPFS_XATTR = "y"; };
  "programs that wait for files to change" = { DNOTIFY = "n"; INOTIFY_USER = "y"; FANOTIFY = "y"; };
  "image files as disks" = { BLK_DEV_LOOP = "y"; };
  "NVMe: Jetson's disk, and qemu's" = { PCI = "y"; PCI_MSI = "y"; PCIEPORTBUS = "y"; BLK_DEV_NVME = "y"; NVME_HWMON = "y"; };
  "eMMC and SD cards" = { MMC = "y"; MMC_BLOCK = "y"; MMC_SDHCI = "y"; MMC_SDHCI_PLTFM = "y"; };
  "USB disks are SCSI disks" = { SCSI = "y"; BLK_DEV_SD = "y"; };
  "fair shares of a slow disk" = { IOSCHED_BFQ = "n"; MQ_IOSCHED_DEADLINE = "y"; MQ_IOSCHED_KYBER = "n"; };
}
