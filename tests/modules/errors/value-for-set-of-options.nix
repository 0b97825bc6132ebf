{ lib, ... }: {
  options.services.httpd.enable = lib.mkEnableOption "a web server";
  config.services.httpd = true;
}
