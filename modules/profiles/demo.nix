# Applications that show what the board can do, and a web page with its state.
{ lib, pkgs, ... }:
{
  environment.systemPackages = [
    pkgs.curl
    pkgs.ethtool
    pkgs.htop
    pkgs.i2c-tools
    pkgs.iperf
    pkgs.lua
    pkgs.memtester
    pkgs.nano
    pkgs.sqlite
    pkgs.stress
    pkgs.tmux
  ];
  # tmux insists on UTF-8; htop and nano show it.
  environment.variables = {
    LANG = lib.mkDefault "C.UTF-8";
    LOCPATH = lib.mkDefault "${pkgs.locale-c-utf8}/lib/locale";
  };
  services.board-status.enable = lib.mkDefault true;
}
