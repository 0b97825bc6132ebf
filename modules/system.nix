# What the image is called, and what is built for it.
{ lib, ... }:
let
  inherit (lib) mkOption types;
in
{
  options.system = {
    name = mkOption {
      type = types.strMatching "[A-Za-z0-9][A-Za-z0-9._+-]*";
      description = "The name of the target; the ready mark on the console and /etc/os-release show it.";
      example = "nxp-imx8mp-evk-debug-from-x86_64";
    };
    variant = mkOption {
      type = types.enum [ "debug" "release" ];
      default = "release";
      description = ''
        What the image is for. debug: root's shell on the console, ssh, a writable root file system. release: no login for root,
        a console that shows the state, a read-only root file system. The profiles of the same names set the details.
      '';
    };
    crossTarget = mkOption {
      type = types.nullOr types.str;
      default = null;
      description = "For an image that is built on AArch64: the name of the target that is the same, built on x86_64.";
    };
    build = mkOption {
      type = types.lazyAttrsOf types.raw;
      default = { };
      description = "The derivations of which the image consists, by name.";
    };
  };
}
