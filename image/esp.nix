# The EFI system partition: systemd-boot as the default loader of AArch64 firmware, the kernel, the device trees, and one menu entry
# for each way to start (Boot Loader Specification, type 1). Entries, in the order of the menu:
#   1  NAME              with the board's device tree
#   2  NAME-firmware-dt  with the device tree that the firmware brings (another board revision; a virtual machine)
#   …  NAME-DTB          with each further device tree
{ fat, bootFiles, systemd-boot }:
{ name, target ? null, compatible ? [ ], title, kernel, deviceTrees, deviceTreeNames, initrd ? null, params, timeout, editor, sizeMiB, option }:
let
  entry = number: id: suffix: devicetree: {
    target = "loader/entries/${id}.conf";
    text = ''
      title ${title}${suffix}
      sort-key ${toString number}
      linux /kernel/Image
    '' + (if devicetree == null then "" else "devicetree /kernel/${devicetree}\n")
    + (if initrd == null then "" else "initrd /kernel/initrd\n") + ''
      options ${builtins.concatStringsSep " " params}
    '';
  };
  default = builtins.head deviceTreeNames;
  further = builtins.tail deviceTreeNames;
  base = dtb: builtins.replaceStrings [ ".dtb" "+" ] [ "" "-" ] dtb;
  enumerate = list: builtins.genList (i: { number = i + 3; dtb = builtins.elemAt list i; }) (builtins.length list);
in
if deviceTreeNames == [ ] then throw "${name}: the board names no device tree" else
fat {
  name = "${name}-esp";
  fileName = "esp.img";
  label = "ESP";
  inherit sizeMiB option;
  files = bootFiles {
    inherit name target compatible;
    files = [
      { target = "EFI/BOOT/BOOTAA64.EFI"; source = "${systemd-boot}/systemd-bootaa64.efi"; }
      {
        target = "loader/loader.conf";
        text = ''
          default ${name}.conf
          timeout ${toString timeout}
          editor ${if editor then "yes" else "no"}
          auto-entries no
          auto-firmware no
          console-mode keep
        '';
      }
      { target = "kernel/Image"; source = "${kernel}/Image"; }
      (entry 1 name "" default)
      (entry 2 "${name}-firmware-dt" " (device tree of the firmware)" null)
    ]
    ++ map (dtb: { target = "kernel/${dtb}"; source = "${deviceTrees}/${dtb}"; }) deviceTreeNames
    ++ map ({ number, dtb }: entry number "${name}-${base dtb}" " (${base dtb})" dtb) (enumerate further)
    ++ (if initrd == null then [ ] else [{ target = "kernel/initrd"; source = "${initrd}/initrd"; }]);
  };
}
