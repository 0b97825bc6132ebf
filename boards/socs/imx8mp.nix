# What boards with NXP's i.MX 8M Plus have in common.
{
  soc = "imx8mp";
  cpu = import ../cpus/imx8mp.nix;
  kernel.options = { };
  boot = "extlinux";

  # The boot ROM reads the boot loader at 32 KiB of an SD card or eMMC (i.MX 8M Plus reference manual, "System boot"). It may reach
  # to the first partition.
  disk = {
    firstMiB = 16;
    firmware = { offset = 32768; maxSize = 16744448; };
  };
  flashMethod = "imx";
  flash.usb = [ { id = "1fc9:0146"; description = "i.MX 8M Plus in serial download mode"; } ];

  # The second UART, as on NXP's evaluation kit; TF-A and U-Boot use it too.
  consoles = [ "ttymxc1,115200" ];

  # QEMU's machine of the evaluation kit. It has no ROM that loads a boot loader from the card, so QEMU loads the kernel and the
  # device tree that are in the image. bus 1 is the slot of the SD card (mmcblk1).
  qemu = {
    machine = "imx8mp-evk";
    cpus = 4;
    memory = 3072;
    start = "kernel";
    disk = { interface = "sd"; bus = 1; powerOfTwo = true; };
    network = "onboard";
    serial = 1;
  };
}
