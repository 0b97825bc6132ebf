{
  name = "nvidia-jetson-orin-agx";
  description = "NVIDIA Jetson AGX Orin (32 GB)";
  cpu = import ./cpus/tegra234.nix;
}
