{
  name = "nxp-imx8mp-evk";
  description = "NXP i.MX 8M Plus EVK";
  cpu = import ./cpus/imx8mp.nix;
}
