# The boot partition of a board whose firmware is U-Boot: kernel, device trees and extlinux.conf, which U-Boot's standard boot looks for
# on partitions with the legacy boot flag.
{ fat, bootFiles }:
{ name, target ? null, compatible ? [ ], title, kernel, deviceTrees, deviceTreeNames, initrd ? null, params, timeout, sizeMiB, option }:
let
  default = builtins.head deviceTreeNames;
  base = dtb: builtins.replaceStrings [ ".dtb" ] [ "" ] dtb;
  entry = label: suffix: dtb: ''
    label ${label}
      menu label ${title}${suffix}
      linux /Image
      fdt /${dtb}
  '' + (if initrd == null then "" else "  initrd /initrd\n") + ''
    ${"  "}append ${builtins.concatStringsSep " " params}
  '';
in
if deviceTreeNames == [ ] then throw "${name}: the board names no device tree" else
fat {
  name = "${name}-boot";
  fileName = "boot.img";
  label = "BOOT";
  inherit sizeMiB option;
  files = bootFiles {
    inherit name target compatible;
    files = [
      {
        target = "extlinux/extlinux.conf";
        # Its timeout is in tenths of a second.
        text = ''
          default ${name}
          timeout ${toString (timeout * 10)}
          menu title ${title}

        '' + builtins.concatStringsSep "\n" ([ (entry name "" default) ]
          ++ map (dtb: entry "${name}-${base dtb}" " (${base dtb})" dtb) (builtins.tail deviceTreeNames));
      }
      { target = "Image"; source = "${kernel}/Image"; }
    ]
    ++ map (dtb: { target = dtb; source = "${deviceTrees}/${dtb}"; }) deviceTreeNames
    ++ (if initrd == null then [ ] else [{ target = "initrd"; source = "${initrd}/initrd"; }]);
  };
}
