{
  name = "nvidia-jetson-orin-nx";
  description = "NVIDIA Jetson Orin NX (16 GB)";
  cpu = import ./cpus/tegra234.nix;
}
