# The tree of /, from all that modules put into it. `system.build.rootTree` has it in root/, and in `permissions` what has
# other owners or modes than a store can keep: lines `MODE UID GID PATH`. Programs stay in /nix/store and are linked to.
{ lib, config, pkgs, ... }:
let
  inherit (lib) escapeShellArgs;
  inherit (pkgs) stdenv;

  files = lib.filter (file: file.enable) (lib.attrValues config.environment.etc);

  # Commands of root-tree.sh.
  etc = file:
    if file.mode == "symlink" then escapeShellArgs [ "link" "etc/${file.target}" "${file.source}" ]
    else if file.source != null then escapeShellArgs [ "copy" "etc/${file.target}" file.mode file.uid file.gid "${file.source}" ]
    else escapeShellArgs [ "write" "etc/${file.target}" file.mode file.uid file.gid file.text ];

  home = lib.optionals (config.services.dropbear.enable && config.services.dropbear.permitRootLogin) [
    "directory root/.ssh 0700"
    (escapeShellArgs [ "write" "root/.ssh/authorized_keys" "0600" 0 0 (lib.concatLines config.users.users.root.openssh.authorizedKeys.keys) ])
  ];

  # Only bash and coreutils are used of the build environment.
  build = name: attrs: stdenv.mkDerivation ({ inherit name; passAsFile = [ "manifest" ]; } // attrs);

  # Everything but what names this derivation itself.
  contents = build "${config.system.name}-tree" {
    args = [ ./tree.sh ];
    # What is linked to may come from any derivation.
    xbuildCheckClosure = true;
    manifest = lib.concatLines (
      [
        "directory data"
        "directory dev"
        "directory lib"
        "directory mnt"
        "directory proc"
        "directory root 0700"
        "directory run"
        "directory sys"
        "directory tmp 1777"
        "link home data/home"
        "link sbin bin"
        "link usr/bin ../bin"
        "link usr/sbin ../bin"
        "link var data/var"
        "link etc/mtab ../proc/self/mounts"
        "link etc/resolv.conf ../run/resolv.conf"
      ]
      ++ home
      ++ map etc files
      ++ lib.mapAttrsToList (name: source: escapeShellArgs [ "copy" "bin/${name}" "0755" 0 0 "${source}" ]) config.environment.scripts
      ++ map (package: "programs ${package}") (lib.unique config.environment.systemPackages)
    );
  };
in
{
  config.system.build.rootTree = build "${config.system.name}-root" {
    inherit contents;
    args = [ ./root-tree.sh ];
    manifest = "BUILD_DERIVATION=${builtins.unsafeDiscardStringContext contents.drvPath}\n";
  };
}
