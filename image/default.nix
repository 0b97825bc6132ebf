# What makes images, for one set of tools. module.nix connects it to the options of an image.
{ toolchains }:
let
  imageTools = import ./tools.nix { inherit toolchains; };
  systemd-boot = import ./systemd-boot.nix { inherit toolchains; };
  bootFiles = import ./boot-files.nix { inherit imageTools; };
  fat = import ./fat.nix { inherit imageTools; };
in
{
  inherit (import ./layout.nix) layout uuid types;
  inherit fat systemd-boot;
  inherit (imageTools) run tools;
  rootFileSystem = import ./root-file-system.nix { inherit imageTools; };
  dataFileSystem = import ./data-file-system.nix { inherit imageTools; };
  esp = import ./esp.nix { inherit fat bootFiles systemd-boot; };
  bootPartition = import ./boot-partition.nix { inherit fat bootFiles; };
  disk = import ./disk.nix { inherit imageTools; };
  flashScript = import ./flash { inherit imageTools; };
}
