# The system log: what services and the kernel say, in /var/log/messages on the data partition, rotated by size.
{ lib, config, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.services.syslogd;
in
{
  options.services.syslogd = {
    fileSize = mkOption {
      type = types.ints.positive;
      default = 1024;
      description = "At how many KiB the log is put aside and a new one begun.";
    };
    files = mkOption {
      type = types.ints.between 1 99;
      default = 8;
      description = "How many old logs are kept.";
    };
    remote = mkOption {
      type = types.nullOr types.nonEmptyStr;
      default = null;
      example = "192.0.2.1:514";
      description = "A machine that gets the log as well (UDP).";
    };
  };

  config.runit.services = {
    syslogd = {
      description = "System log";
      # busybox counts the old files from 0.
      run = lib.concatStringsSep " " (
        [ "exec syslogd -n -O /var/log/messages -s ${toString cfg.fileSize} -b ${toString cfg.files}" ]
        ++ lib.optional (cfg.remote != null) "-L -R ${lib.escapeShellArg cfg.remote}"
      );
      check = "[ -S /dev/log ]";
      log = false;
    };
    klogd = {
      description = "Kernel messages in the system log";
      run = "until [ -S /dev/log ]; do sleep 1; done\nexec klogd -n";
      log = false;
    };
  };
}
