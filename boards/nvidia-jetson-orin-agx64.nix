# The module p3701-0005 differs from p3701-0000 in its memory, which the firmware tells the kernel; Linux has one device tree
# for both.
import ./socs/tegra234.nix // {
  name = "nvidia-jetson-orin-agx64";
  description = "NVIDIA Jetson AGX Orin (64 GB)";
  compatible = [ "nvidia,p3737-0000+p3701-0000" ];
  deviceTrees = [ "nvidia/tegra234-p3737-0000+p3701-0000.dtb" ];
  storage = { default = "emmc"; devices = [ "emmc" "nvme" "usb" "sd" ]; };
  flash = {
    bspBoard = "jetson-agx-orin-devkit";
    usb = [
      { id = "0955:7023"; description = "Jetson AGX Orin in recovery mode"; }
    ];
  };
}
