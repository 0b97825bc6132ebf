let
  all = import ../../..;
in
{
  environment.systemPackages = [ all.nvidia-jetson-orin-nx.htop all.nano all.nxp-imx8mp-evk.lua ];
  services.dropbear = { enable = true; package = all.nvidia-jetson-orin-nx.dropbear; permitRootLogin = true; };
  # One that does not say what it is for is looked at when it is built.
  boot.data.packages = [ (derivation { name = "tools"; system = "x86_64-linux"; builder = "/bin/sh"; }) ];
}
