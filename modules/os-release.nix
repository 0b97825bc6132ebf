# /etc/os-release: what the system is and what it was built from (os-release(5)). The root tree adds BUILD_DERIVATION.
{ lib, config, board, ... }:
let
  inherit (lib) mkOption types;
  quoted = text: "\"${lib.replaceStrings [ "\\" "\"" "$" "`" ] [ "\\\\" "\\\"" "\\$" "\\`" ] text}\"";
in
{
  options.system.osRelease = mkOption {
    type = types.attrsOf types.str;
    default = { };
    example = { SUPPORT_URL = "https://example.com/help"; };
    description = "Lines of /etc/os-release: NAME=\"value\".";
  };

  config.system.osRelease = lib.mapAttrs (_: lib.mkDefault) {
    NAME = "xbuild";
    ID = "xbuild";
    PRETTY_NAME = "xbuild for ${board.description} (${config.system.variant})";
    VARIANT = config.system.variant;
    VARIANT_ID = config.system.variant;
    BUILD_TARGET = config.system.name;
    BOARD = board.name;
  };

  config.environment.etc."os-release".text =
    lib.concatLines (lib.mapAttrsToList (name: value: "${name}=${quoted value}") config.system.osRelease);
}
