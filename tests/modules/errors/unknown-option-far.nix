{ lib, ... }: {
  options.services = { httpd = lib.mkOption { }; dropbear = lib.mkOption { }; };
  config.services.prometheus.enable = true;
}
