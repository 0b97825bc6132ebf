# For development: root's shell on the console, ssh as root with a key, a writable root file system, tools to look inside.
{ lib, pkgs, ... }:
{
  system.variant = "debug";
  fileSystems.root.type = lib.mkDefault "ext4";
  users.users.root.shell = "/bin/sh";
  services.dropbear.enable = lib.mkDefault true;
  environment.systemPackages = [ pkgs.gdbserver pkgs.strace ];
}
