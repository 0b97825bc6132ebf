{
  users.users.ada = { uid = 1000; group = "cameras"; };
  users.users.bob = { uid = 1000; openssh.authorizedKeys.keys = [ "ssh-ed25519 AAAA bob" ]; };
  runit.services.camera = { run = "exec camera"; user = "eve"; };
  services.dropbear.enable = true;
  environment.etc."nothing" = { };
}
