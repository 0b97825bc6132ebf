# The tools that write images, and how a derivation uses them: `run NAME ATTRS SCRIPT' runs the shell script in a sandbox whose /usr
# holds them. Nothing in it depends on the number of cores or on the time.
{ toolchains }:
let
  tools = toolchains.buildTools [ "shell" "image" ];
  derivation = toolchains.derivation or builtins.derivation;
in
{
  inherit tools;
  run = name: attrs: script: derivation ({
    inherit name;
    inherit (toolchains.machine or { system = "x86_64-linux"; }) system;
    builder = "${tools}/usr/bin/bash";
    args = [ script ];
    sandboxRoot = tools;
    common = ./common.sh;
    # The first day that a FAT file system can name, so that all file systems agree.
    SOURCE_DATE_EPOCH = "315532800";
    LC_ALL = "C";
    TZ = "UTC";
  } // attrs);
}
