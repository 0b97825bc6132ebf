import ./socs/tegra234.nix // {
  name = "nvidia-jetson-orin-agx";
  description = "NVIDIA Jetson AGX Orin (32 GB)";
  compatible = [ "nvidia,p3737-0000+p3701-0000" ];
  deviceTrees = [ "nvidia/tegra234-p3737-0000+p3701-0000.dtb" ];
  storage = { default = "emmc"; devices = [ "emmc" "nvme" "usb" "sd" ]; };
  flash = {
    bspBoard = "jetson-agx-orin-devkit";
    usb = [
      { id = "0955:7023"; description = "Jetson AGX Orin in recovery mode"; }
      { id = "0955:7223"; description = "Jetson AGX Orin 32 GB module (P3701-0004) in recovery mode"; }
    ];
  };
}
