# The files that a firmware starts from, copied into one output that is validated like a package: what is in a file system's image
# cannot be looked at any more. So kernel, device trees and boot loader are the board's, wherever they come from.
#   files       as fat.nix takes them
#   target      what the validator checks the files for (docs/formats.md): a kind of CPU; null: no check
#   compatible  the boards that device trees may be for
# -> files, with those that were copied in place of their sources
{ imageTools }:
{ name, files, target ? null, compatible ? [ ] }:
let
  copied = builtins.filter (file: file ? source) files;
  checked = imageTools.run "${name}-boot-files"
    ({
      files = builtins.concatStringsSep "\n" (map (file: "${file.target} ${file.source}") copied);
    } // (if target == null then { } else { xbuildTarget = target; xbuildCompatible = compatible; }))
    ./boot-files.sh;
in
map (file: if file ? source then file // { source = "${checked}/${file.target}"; } else file) files
