{ lib, ... }: {
  environment.etc = {
    "a".text = "";
    "a/b".text = "";
    "c".text = "";
    "d" = { text = ""; target = "c"; };
    "passwd".text = "eve";
    # The whole file is the user's.
    "group".text = lib.mkForce "root:x:0:\n";
  };
  environment.variables."A B" = 1;
  runit.services.camera = { run = "exec camera"; environment."1A" = 1; };
}
