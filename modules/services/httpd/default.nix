# A small web server: busybox's httpd, with CGI.
{ lib, config, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.services.httpd;
in
{
  options.services.httpd = {
    enable = lib.mkEnableOption "busybox's web server";
    port = mkOption { type = types.port; default = 80; description = "The TCP port."; };
    documentRoot = mkOption {
      type = types.path;
      example = "./www";
      description = "The directory with the pages. Files below cgi-bin are programs, if they are executable.";
    };
    user = mkOption { type = types.str; default = "httpd"; description = "Whose rights CGI programs have."; };
  };

  config = lib.mkIf cfg.enable {
    users.users.httpd = { uid = 33; group = "httpd"; home = "/var/empty"; description = "Web server"; };
    users.groups.httpd.gid = 33;
    environment.etc."httpd" = { source = cfg.documentRoot; mode = "symlink"; };
    environment.etc."httpd.conf".text = "# busybox httpd: everybody may read.\nA:*\n";
    runit.services.httpd = {
      description = "Web server";
      run = "exec httpd -f -p ${toString cfg.port} -u ${cfg.user} -h /etc/httpd -c /etc/httpd.conf";
      check = "netstat -ltn | grep -q ':${toString cfg.port} '";
    };
    selftest.checks.httpd = ''
      wget -q -O /dev/null http://127.0.0.1:${toString cfg.port}/ || { echo "no answer on port ${toString cfg.port}"; exit 1; }
      echo "port ${toString cfg.port}"
    '';
  };
}
