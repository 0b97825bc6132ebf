{
  imports = [ ./list.nix ./cycle.nix ];
  list = [ "imports" ];
}
