# An image of your own. In this directory: xbuild realise ., xbuild boot ., xbuild test .
(import ../..).lib.image {
  name = "camera";
  board = "nxp-imx8mp-evk";
  modules = [
    ../../modules/profiles/debug.nix
    ({ pkgs, ... }: {
      networking.hostName = "camera";
      users.users.root.openssh.authorizedKeys.keys = [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDi1TIiYLbxhnak471js3MCa48970Zalr2qCs3XW3yYU you@example" ];
      environment.systemPackages = [ pkgs.htop pkgs.sqlite ];
      environment.etc."motd".text = "The camera at the gate\n";
      runit.services.heartbeat.run = "while sleep 60; do echo still here; done";
    })
  ];
}
