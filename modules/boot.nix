# The kernel, its command line and device trees.
{ lib, config, pkgs, board, ... }:
let
  inherit (lib) mkOption types;

  # As pkgs/linux/config takes them.
  isForced = value: value._type or null == "forced kernel option";
  kernelValue = {
    name = "kernelValue";
    one = "\"y\", \"n\", a number, or a text that is not empty";
    many = "values of kernel options (\"y\", \"n\", numbers, texts)";
    check = value: lib.isInt value || lib.isString value && value != "" || lib.isAttrs value && isForced value;
    inherit (types.anything) merge;
  };
  kernelOptions = types.attrsOf (types.withPriority kernelValue);
in
{
  options.boot = {
    kernel.options = mkOption {
      type = types.attrsOf (types.withPriority (types.either kernelValue kernelOptions));
      default = { };
      example = { "measuring instruments on USB" = { USB_TMC = "y"; }; };
      description = ''
        Options of the kernel's configuration, beyond the common ones and the board's, as sets with the reason for them as the name.
        `lib.mkForce VALUE` wins over a value of theirs.
      '';
    };
    kernelPackage = mkOption {
      type = types.package;
      default = pkgs.linux.kernelFor { inherit board; inherit (config.boot.kernel) options; };
      defaultText = "the kernel of pkgs/linux with the board's options and boot.kernel.options";
      description = "The kernel: `Image` and `config` in its output.";
    };
    deviceTrees = mkOption {
      type = types.package;
      default = pkgs.linux.deviceTreesFor { inherit board; };
      defaultText = "the board's device trees";
      description = "The device trees: BASENAME.dtb in its output.";
    };
    initrd = mkOption {
      type = types.nullOr types.package;
      default = null;
      description = "An initial RAM disk: `initrd` in its output. Without one, the kernel mounts the root file system itself.";
    };
    kernel.sysctl = mkOption {
      type = types.attrsOf (types.oneOf [ types.int types.str ]);
      default = { };
      example = { "vm.swappiness" = 10; };
      description = "Parameters of the running kernel (sysctl.conf(5)), set at boot.";
    };
    consoleLogLevel = mkOption {
      type = types.ints.between 0 15;
      default = 4;
      description = "Kernel messages of a level below this number also appear on the console.";
    };
    kernelParams = mkOption {
      type = types.listOf (types.addCheck types.nonEmptyStr "and in one line" (text: lib.match "[^\n\r]*" text != null));
      default = [ ];
      example = [ "quiet" "cma=256M" ];
      description = "Words of the kernel's command line, behind the board's consoles.";
    };
  };

  config = {
    boot.kernelParams = lib.mkMerge [
      (lib.mkBefore (map (console: "console=${console}") board.consoles))
      [ "loglevel=${toString config.boot.consoleLogLevel}" ]
    ];
    # A board that nobody watches starts again.
    boot.kernel.sysctl."kernel.panic" = lib.mkDefault 10;
    environment.etc."sysctl.conf".text =
      lib.concatLines (lib.mapAttrsToList (name: value: "${name} = ${toString value}") config.boot.kernel.sysctl);
  };
}
