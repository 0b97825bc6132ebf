import ./socs/tegra234.nix // {
  name = "nvidia-jetson-orin-nano";
  description = "NVIDIA Jetson Orin Nano Developer Kit (8 GB)";
  compatible = [ "nvidia,p3768-0000+p3767-0005" ];
  deviceTrees = [ "nvidia/tegra234-p3768-0000+p3767-0005.dtb" ];
  storage = { default = "nvme"; devices = [ "nvme" "sd" "usb" ]; };
  flash = {
    bspBoard = "jetson-orin-nano-devkit";
    usb = [ { id = "0955:7523"; description = "Jetson Orin Nano 8 GB in recovery mode"; } ];
  };
}
