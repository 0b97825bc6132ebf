# Programs and files that are in the image.
{ lib, config, pkgs, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.environment;

  parts = lib.splitString "/";
  isBelow = path:
    lib.match "[^\n\r]+" path != null && lib.all (part: part != "" && part != "." && part != "..") (parts path);

  files = lib.filterAttrs (_: file: file.enable) cfg.etc;
  byTarget = builtins.groupBy (name: files.${name}.target) (lib.attrNames files);
  # The directories that a path is in.
  above = path:
    let list = parts path;
    in lib.genList (index: lib.concatStringsSep "/" (lib.genList (lib.elemAt list) (index + 1))) (lib.length list - 1);

  badNames = lib.filter (name: lib.match "[A-Za-z_][A-Za-z0-9_]*" name == null) (lib.attrNames cfg.variables);

  file = { name, config, ... }: {
    options = {
      enable = mkOption { type = types.bool; default = true; description = "Whether the file is there."; };
      text = mkOption { type = types.nullOr types.lines; default = null; description = "The file's content."; };
      source = mkOption {
        type = types.nullOr types.path;
        default = null;
        description = "A file that is copied, or a directory that /etc gets a link to.";
      };
      mode = mkOption {
        type = types.either (types.strMatching "0?[0-7]{3}") (types.strMatching "symlink");
        default = "0644";
        example = "0600";
        description = "Permissions in octal digits, without set-uid, set-gid and sticky bit; or `symlink`: a link to the source.";
      };
      uid = mkOption { type = types.ints.unsigned; default = 0; description = "The owner."; };
      gid = mkOption { type = types.ints.unsigned; default = 0; description = "The group."; };
      target = mkOption {
        type = types.addCheck types.str "that is a path below /etc (no `.`, `..` or empty part, no line break)" isBelow;
        default = name;
        defaultText = "the name";
        description = "The file's path below /etc.";
      };
    };
  };
in
{
  options.environment = {
    systemPackages = mkOption {
      type = types.listOf types.package;
      default = [ ];
      description = "Packages whose programs (bin, sbin) everybody finds in /bin: for the board's CPU (those of `pkgs`) or any AArch64, others are refused. Where two have a program of the same name, the first one's is taken; busybox comes last.";
    };
    scripts = mkOption {
      type = types.attrsOf types.path;
      default = { };
      description = "Programs in /bin that are files of their own, shell scripts for instance, by name.";
    };
    etc = mkOption {
      type = types.attrsOf (types.submodule file);
      default = { };
      example = { "motd".text = "Hello\n"; };
      description = "Files below /etc.";
    };
    variables = mkOption {
      type = types.attrsOf (types.either types.str types.int);
      default = { };
      example = { EDITOR = "vi"; };
      description = "Environment variables of login shells and services.";
    };
    interactiveShellInit = mkOption {
      type = types.lines;
      default = "";
      description = "Commands for interactive shells, at the end of /etc/profile.";
    };
  };

  config = {
    assertions = lib.mapAttrsToList
      (name: file: {
        assertion = (file.text == null) != (file.source == null);
        message = "environment.etc.\"${name}\" needs either `text` or `source`.";
      })
      files
    ++ lib.concatLists (lib.mapAttrsToList
      (target: names:
        map
          (directory: {
            assertion = false;
            message = "environment.etc.\"${lib.head byTarget.${directory}}\" is the file /etc/${directory}, so /etc/${target} cannot be below it.";
          })
          (lib.filter (directory: byTarget ? ${directory}) (above target))
        ++ lib.optional (lib.length names > 1) {
          assertion = false;
          message = "environment.etc: ${lib.concatMapStringsSep " and " (name: "\"${name}\"") names} are both to be /etc/${target}.";
        })
      byTarget)
    ++ map
      (name: {
        assertion = false;
        message = "environment.variables.\"${name}\": a variable's name consists of letters, digits and `_`, and does not begin with a digit.";
      })
      badNames;

    environment.systemPackages = lib.mkAfter [ pkgs.busybox ];
    environment.variables = {
      PATH = lib.mkDefault "/bin";
      HOSTNAME = config.networking.hostName;
    };
    environment.etc = {
      "profile".text = ''
        ${lib.concatLines (lib.mapAttrsToList (name: value: "export ${name}=${lib.escapeShellArg value}") cfg.variables)}
        umask 022
        if [ "$(id -u)" = 0 ]; then PS1='\u@\h:\w# '; else PS1='\u@\h:\w$ '; fi
        ${cfg.interactiveShellInit}
      '';
    };
  };
}
