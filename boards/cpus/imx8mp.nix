# NXP i.MX 8M Plus: Cortex-A53, Armv8.0-A with CRC and, which GCC must be told, the cryptographic instructions.
{
  soc = "imx8mp";
  name = "Cortex-A53";
  target = "cortex-a53";
  architecture = "armv8-a";
  flags = [ "-mcpu=cortex-a53+crypto" ];
}
