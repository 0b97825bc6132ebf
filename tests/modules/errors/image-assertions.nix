{
  users.users.ada = { uid = 1000; group = "cameras"; };
  users.users.bob = { uid = 1000; openssh.authorizedKeys.keys = [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDi1TIiYLbxhnak471js3MCa48970Zalr2qCs3XW3yYU bob" ]; };
  runit.services.camera = { run = "exec camera"; user = "eve"; };
  services.dropbear.enable = true;
  environment.etc."nothing" = { };
}
