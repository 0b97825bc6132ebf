# A web page with the board's state: temperatures, memory, disk, network, services. Root's rights are needed to see all of it, so
# a service of its own writes it down, and the web server's programs only show it.
{ lib, config, ... }:
let
  cfg = config.services.board-status;
in
{
  options.services.board-status.enable = lib.mkEnableOption "a web page that shows the state of the board";

  config = lib.mkIf cfg.enable {
    services.httpd = {
      enable = true;
      documentRoot = ./www;
    };
    runit.services.board-status = {
      description = "The board's state, for its web page";
      run = ''
        while :; do
          status >/run/board-status.new 2>/dev/null
          mv /run/board-status.new /run/board-status
          sleep 5
        done
      '';
      check = "[ -s /run/board-status ]";
    };
    selftest.checks.board-status = ''
      wget -q -O - http://127.0.0.1:${toString config.services.httpd.port}/cgi-bin/status | grep -F ${lib.escapeShellArg config.system.name}
    '';
  };
}
