{
  name = "nvidia-jetson-orin-agx64";
  description = "NVIDIA Jetson AGX Orin (64 GB)";
  cpu = import ./cpus/tegra234.nix;
}
