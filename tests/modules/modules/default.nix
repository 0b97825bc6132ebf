{
  imports = [ ./imports.nix (toString ./list.nix) ];
  list = [ "default" ];
}
