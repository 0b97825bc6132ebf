# UEFI: Jetson's firmware, and qemu's `virt`.
{
  "the kernel image is an EFI program" = { EFI = "y"; EFI_STUB = "y"; };
  "boot entries and the boot loader's variables" = { EFIVAR_FS = "y"; };
  "the clock that the firmware keeps" = { RTC_DRV_EFI = "y"; };
  # The devices of `virt` and of the boards come from device trees; without ACPI in the kernel it cannot go the other way.
  "devices come from device trees" = { ACPI = "n"; };
}
