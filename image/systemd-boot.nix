# systemd-boot for AArch64, as Debian builds it: $out/systemd-bootaa64.efi. It starts Linux on boards with UEFI firmware.
{ toolchains }:
let
  inherit (toolchains) boot lock derivation;
in
derivation {
  name = "systemd-boot-aarch64";
  inherit (toolchains.machine) system;
  builder = "${boot}/usr/bin/busybox";
  args = [ "sh" ./systemd-boot.sh ];
  debs = lock.layer "systemd-boot";
}
