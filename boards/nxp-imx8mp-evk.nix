import ./socs/imx8mp.nix // {
  name = "nxp-imx8mp-evk";
  description = "NXP i.MX 8M Plus EVK";
  compatible = [ "fsl,imx8mp-evk" ];
  deviceTrees = [ "freescale/imx8mp-evk.dtb" ];
  storage = { default = "sd"; devices = [ "sd" "emmc" ]; };
}
