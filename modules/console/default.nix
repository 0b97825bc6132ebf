# The console: waits until all services are up, prints `xbuild-ready: NAME`, and then is root's shell (debug) or shows the
# state and takes a few commands (release).
{ lib, config, ... }:
let
  inherit (lib) mkOption types;
in
{
  options.services.console.shell = mkOption {
    type = types.bool;
    default = config.system.variant == "debug";
    defaultText = "whether system.variant is \"debug\"";
    description = "Whether the console is root's shell, without a password. Else it only shows the system's state.";
  };

  config = {
    environment.etc."init/console" = { source = ./console.sh; mode = "0755"; };
    environment.etc."init/console.config".text = "SHELL_ON_CONSOLE=${if config.services.console.shell then "1" else "0"}\n";
    environment.etc."init/status-console" = { source = ./status-console.sh; mode = "0755"; };
    environment.scripts.status = ./status.sh;
  };
}
