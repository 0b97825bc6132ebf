# For the field: nobody logs in as root, the root file system is read-only, the console only shows the state.
{ lib, ... }:
{
  system.variant = "release";
  fileSystems.root.type = lib.mkDefault "squashfs";
  boot.kernel.sysctl = lib.mapAttrs (_: lib.mkDefault) {
    "kernel.dmesg_restrict" = 1;
    "kernel.kptr_restrict" = 2;
    "kernel.sysrq" = 0;
    "fs.protected_symlinks" = 1;
    "fs.protected_hardlinks" = 1;
  };
}
