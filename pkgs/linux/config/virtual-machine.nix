# qemu's machine `virt`, which stands in for Jetson. The devices cost little, and so the tested kernel is the flashed one.
{
  "its bus" = { PCI_HOST_GENERIC = "y"; };
  "its disks and network" = { VIRTIO_MENU = "y"; VIRTIO_PCI = "y"; VIRTIO_MMIO = "y"; VIRTIO_BLK = "y"; VIRTIO_NET = "y"; };
  "its random numbers" = { HW_RANDOM_VIRTIO = "y"; };
  "its power button" = { GPIO_PL061 = "y"; };
  "its clock" = { RTC_DRV_PL031 = "y"; };
}
