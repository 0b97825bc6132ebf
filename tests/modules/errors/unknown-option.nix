{ lib, ... }: {
  options.services.httpd.enable = lib.mkEnableOption "a web server";
  options.services.httpd.port = lib.mkOption { type = lib.types.port; default = 80; };
  config = lib.mkIf false {
    services.httpd.prot = 8080;
  };
}
