# The image's checks of itself: `selftest` runs them on the board and says what holds.
{ lib, config, board, ... }:
let
  inherit (lib) mkOption types;
  rootType = config.fileSystems.root.type;
  # A kernel of the user's own may have none: then every release is right.
  kernelVersion = config.boot.kernelPackage.version or "";
in
{
  options.selftest.checks = mkOption {
    type = types.attrsOf types.lines;
    default = { };
    example = { camera = "[ -c /dev/video0 ]"; };
    description = "Shell commands by name. Exit code 0 means that all is well; what they print becomes part of the result.";
  };

  config = {
    environment.scripts.selftest = ./selftest.sh;
    environment.etc = lib.mkMerge (lib.mapAttrsToList
      (name: text: { "selftest.d/${name}".text = text; })
      config.selftest.checks);

    assertions = map
      (name: {
        assertion = lib.match "[a-zA-Z0-9_-]+" name != null;
        message = "selftest.checks.\"${name}\": a check's name consists of letters, digits, `-` and `_`.";
      })
      (lib.attrNames config.selftest.checks);

    selftest.checks = {
      machine = ''
        machine=$(uname -m)
        echo "$machine"
        [ "$machine" = aarch64 ]
      '';
      kernel = ''
        release=$(uname -r)
        echo "$release"
        case $release in ${lib.escapeShellArg kernelVersion}*) ;; *) echo "the image was built with ${kernelVersion}"; exit 1 ;; esac
      '';
      os-release = ''
        . /etc/os-release
        echo "$BUILD_TARGET"
        [ "$ID" = xbuild ] && [ "$BUILD_TARGET" = ${lib.escapeShellArg config.system.name} ] && [ "$VARIANT_ID" = ${config.system.variant} ] && [ -n "$BUILD_DERIVATION" ]
      '';
      host-name = ''
        hostname
        [ "$(hostname)" = ${lib.escapeShellArg config.networking.hostName} ]
      '';
      root = ''
        type=$(awk '$2 == "/" && $1 != "rootfs" { type = $3 } END { print type }' /proc/mounts)
        echo "$type"
        [ "$type" = ${rootType} ] || exit 1
        if (echo x >/.selftest) 2>/dev/null; then writable=1; rm -f /.selftest; else writable=0; fi
        [ $writable = ${if rootType == "ext4" then "1" else "0"} ] || { echo "writable: $writable"; exit 1; }
      '';
      modes = builtins.readFile ./modes.sh;
      log = "[ -s /var/log/messages ]";
    };
  };
}
