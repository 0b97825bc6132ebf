# The virtual machine that stands in for the board: `xbuild boot` and `xbuild test`. docs/formats.md describes vm.json.
{ lib, config, pkgs, board, ... }:
let
  inherit (lib) mkOption types;
  inherit (config.system) name crossTarget;
  cfg = config.virtualisation;
  host = import ./.;

  qemu = board.qemu or (throw "board ${board.name}: there is no `qemu' in its file, which says how QEMU stands in for the board");
  directly = {
    kernel = true;
    uefi = false;
  }.${qemu.start} or (throw "board ${board.name}: qemu.start is `${toString qemu.start}'; there are `kernel' and `uefi'");

  description = {
    version = 1;
    inherit name;
    board = board.name;
    qemu = "${host.qemu}";
    sshClient = "${host.sshClient}";
    inherit (qemu) machine;
    cpu = qemu.cpu or null;
    cpus = cfg.cores;
    memory = cfg.memorySize;
    firmware = if directly then null else "${host.firmware}/share/QEMU_EFI.fd";
    kernel = if !directly then null else {
      image = "${config.boot.kernelPackage}/Image";
      deviceTree = "${config.boot.deviceTrees}/${baseNameOf (builtins.head board.deviceTrees)}";
      append = builtins.concatStringsSep " " config.boot.kernelParams;
    };
    image = "${config.system.build.image}/disk.img.gz";
    disk = qemu.disk // { grow = cfg.diskGrowth; };
    network = qemu.network or null;
    console = {
      serial = qemu.serial or 0;
      dialect = if config.services.console.shell then "shell" else "status";
      ready = "xbuild-ready: ${name}";
      bootMenu = qemu.bootMenu or null;
    };
    timeouts = {
      ready = cfg.bootTimeout;
      selftest = 300;
      ssh = 180;
      powerOff = 180;
    };
  };
in
{
  options.virtualisation = {
    memorySize = mkOption {
      type = types.ints.positive;
      default = qemu.memory;
      defaultText = "what the board's file says";
      description = "The memory of the virtual machine, in MiB.";
    };
    cores = mkOption {
      type = types.ints.positive;
      default = qemu.cpus;
      defaultText = "what the board's file says";
      description = "The number of the virtual machine's CPUs.";
    };
    diskGrowth = mkOption {
      type = types.ints.positive;
      default = 1024;
      description = "How many MiB the virtual machine's disk is larger than the image, at the least: a board's storage is larger, too.";
    };
    bootTimeout = mkOption {
      type = types.ints.positive;
      default = 600;
      description = "How many seconds `xbuild test` waits until the machine is up. It is emulated, often on a busy machine.";
    };
  };

  config.system.build.vm = pkgs.toolchains.derivation ({
    name = "${name}-vm";
    inherit (pkgs.toolchains.machine) system;
    builder = "${host.boot}/usr/bin/busybox";
    args = [ "sh" "-c" ''mkdir "$out" && printf '%s\n' "$description" >"$out/vm.json"'' ];
    description = builtins.toJSON description;
  } // (if crossTarget == null then { } else { inherit crossTarget; }));
}
