# The time from the network: busybox's ntpd.
{ lib, config, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.services.ntpd;
in
{
  options = {
    services.ntpd = {
      enable = mkOption { type = types.bool; default = true; description = "Whether the clock follows network time servers."; };
    };
    networking.timeServers = mkOption {
      type = types.listOf types.nonEmptyStr;
      default = map (number: "${number}.pool.ntp.org") [ "0" "1" "2" "3" ];
      description = "The time servers.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      { assertion = config.networking.timeServers != [ ]; message = "services.ntpd needs servers: networking.timeServers is empty."; }
    ];
    runit.services.ntpd = {
      description = "Time from the network";
      run = "exec ntpd -n ${lib.concatMapStringsSep " " (server: "-p ${lib.escapeShellArg server}") config.networking.timeServers}";
    };
  };
}
