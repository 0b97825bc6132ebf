# What boards with NVIDIA's Tegra234 (Orin) have in common.
{
  soc = "tegra234";
  cpu = import ../cpus/tegra234.nix;
  kernel.options = { };
  boot = "systemd-boot";

  # The firmware is in QSPI flash and written by NVIDIA's BSP: image/flash/jetson.sh. The layouts are the BSP's names for partition
  # layouts: of QSPI flash and eMMC, of an external disk, and of QSPI flash alone.
  flashMethod = "jetson";
  bsp = {
    branch = "36";
    layouts = {
      emmc = "flash_t234_qspi_sdmmc.xml";
      nvme = "flash_l4t_t234_nvme.xml";
      qspi = "flash_t234_qspi.xml";
    };
  };

  # All get the kernel's messages. /dev/console is the last of them that the machine has (Linux: Documentation/admin-guide/
  # serial-console.rst): on a board that is ttyTCU0, the console that Tegra's processors share, on the debug connector; ttyAMA0 is
  # there as well (serial@31d0000 of the device trees), so it must not be the last. qemu's `virt` has only ttyAMA0.
  consoles = [ "ttyAMA0,115200" "ttyTCU0,115200" ];

  # QEMU has no machine with a Tegra; `virt` starts by UEFI as well, and from NVMe, so that the image's own boot chain runs. Its
  # device tree comes from the firmware: the entry of the boot menu that leaves the board's out is the second.
  qemu = {
    machine = "virt,acpi=off";
    cpu = "cortex-a76";
    cpus = 4;
    memory = 2048;
    start = "uefi";
    disk.interface = "nvme";
    network = "virtio";
    bootMenu = { mark = "Boot in "; keys = "2\r"; };
  };
}
