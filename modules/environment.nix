# Programs and files that are in the image.
{ lib, config, pkgs, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.environment;

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
        type = types.strMatching "[^/].*";
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
      description = "Packages whose programs (bin, sbin) everybody finds in /bin. Where two have a program of the same name, the first one's is taken; busybox comes last.";
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
      (lib.filterAttrs (_: file: file.enable) cfg.etc);

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
