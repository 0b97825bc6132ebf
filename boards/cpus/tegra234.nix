# NVIDIA Tegra234 (Orin): Cortex-A78AE, Armv8.2-A with LSE, RDM, half precision, dot product, RCpc.
{
  soc = "tegra234";
  name = "Cortex-A78AE";
  target = "cortex-a78ae";
  architecture = "armv8.2-a";
  flags = [ "-mcpu=cortex-a78ae" ];
}
