# The data partition: an ext4 file system at /data, the only thing that keeps what is written on a release image. /var and
# /home are links into it. At boot it is grown to the end of the disk, if there is room.
{ lib, config, pkgs, ... }:
let
  inherit (lib) mkOption types;
in
{
  options.boot.data = {
    partition = mkOption {
      type = types.nonEmptyStr;
      default = "data";
      description = "The GPT name of the data partition, which is on the disk that the root file system is on.";
    };
    grow = mkOption {
      type = types.bool;
      default = true;
      description = "Whether the partition and its file system are grown to the end of the disk at boot. It must be the last one.";
    };
    packages = mkOption {
      type = types.listOf types.package;
      default = [ pkgs.e2fsprogs pkgs.util-linux ];
      defaultText = "[ pkgs.e2fsprogs pkgs.util-linux ]";
      description = "What has e2fsck, resize2fs and sfdisk.";
    };
  };

  config = {
    environment.systemPackages = config.boot.data.packages;
    environment.etc."init/data" = { source = ./data.sh; mode = "0755"; };
    environment.etc."init/data.config".text = ''
      PARTITION=${lib.escapeShellArg config.boot.data.partition}
      GROW=${if config.boot.data.grow then "1" else "0"}
    '';
    selftest.checks = {
      data-partition = ''
        [ ! -e /run/data-missing ] || { cat /run/data-missing; exit 1; }
        device=$(awk '$2 == "/data" && $3 == "ext4" { print $1 }' /proc/mounts)
        [ -n "$device" ] || { echo "/data is not mounted"; exit 1; }
        echo "$device"
      '';
      data-writable = ''
        file=/data/.selftest.$$
        echo selftest >"$file" && sync && [ "$(cat "$file")" = selftest ] && rm "$file"
      '';
    } // lib.optionalAttrs config.boot.data.grow {
      data-grown = builtins.readFile ./grown.sh;
    };
  };
}
