import ./socs/tegra234.nix // {
  name = "nvidia-jetson-orin-nx";
  description = "NVIDIA Jetson Orin NX (16 GB)";
  compatible = [ "nvidia,p3768-0000+p3767-0000" ];
  deviceTrees = [ "nvidia/tegra234-p3768-0000+p3767-0000.dtb" ];
  storage = { default = "nvme"; devices = [ "nvme" "usb" ]; };
  flash = {
    bspBoard = "jetson-orin-nano-devkit";
    usb = [ { id = "0955:7323"; description = "Jetson Orin NX 16 GB in recovery mode"; } ];
  };
}
