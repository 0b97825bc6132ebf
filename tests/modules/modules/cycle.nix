# Imports who imports it.
{
  imports = [ ./imports.nix ];
  list = [ "cycle" ];
}
