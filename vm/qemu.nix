# QEMU for AArch64 boards, and the UEFI firmware of its machine `virt`. Boards are run without a display and with the
# network devices of the machine, so none of QEMU's modules (displays, sound, USB redirection) and option ROMs are here.
{ bundle }:
{
  qemu = bundle {
    name = "qemu-system-aarch64";
    layer = "qemu";
    programs = [ "usr/bin/qemu-system-aarch64" ];
  };

  # EDK II, for `-bios`.
  firmware = bundle {
    name = "qemu-efi-aarch64";
    layer = "qemu-efi";
    programs = [ ];
    files = [ "usr/share/qemu-efi-aarch64/QEMU_EFI.fd" ];
  };

  # `xbuild test` logs in with it: dbclient, dropbearkey.
  sshClient = bundle {
    name = "ssh-client";
    layer = "ssh-client";
    programs = [ "usr/bin/dbclient" "usr/bin/dropbearkey" ];
  };
}
