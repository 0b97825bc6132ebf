# The boards by name: facts only.
{
  nvidia-jetson-orin-agx = import ./nvidia-jetson-orin-agx.nix;
  nvidia-jetson-orin-agx64 = import ./nvidia-jetson-orin-agx64.nix;
  nvidia-jetson-orin-nx = import ./nvidia-jetson-orin-nx.nix;
  nxp-imx8mp-evk = import ./nxp-imx8mp-evk.nix;
}
