# The time zone.
{ lib, config, ... }:
let
  inherit (lib) mkOption types;

  # Rules as in TZ of POSIX (Base Definitions, 8.3): the C library needs no table of zones for them.
  central-europe = "CET-1CEST,M3.5.0,M10.5.0/3";
  eastern-europe = "EET-2EEST,M3.5.0/3,M10.5.0/4";
  western-europe = "WET0WEST,M3.5.0/1,M10.5.0";
  zones = {
    "UTC" = "UTC0";
    "America/Argentina/Buenos_Aires" = "<-03>3";
    "America/Chicago" = "CST6CDT,M3.2.0,M11.1.0";
    "America/Denver" = "MST7MDT,M3.2.0,M11.1.0";
    "America/Los_Angeles" = "PST8PDT,M3.2.0,M11.1.0";
    "America/New_York" = "EST5EDT,M3.2.0,M11.1.0";
    "America/Phoenix" = "MST7";
    "America/Sao_Paulo" = "<-03>3";
    "Asia/Dubai" = "<+04>-4";
    "Asia/Hong_Kong" = "HKT-8";
    "Asia/Kolkata" = "IST-5:30";
    "Asia/Seoul" = "KST-9";
    "Asia/Shanghai" = "CST-8";
    "Asia/Singapore" = "<+08>-8";
    "Asia/Taipei" = "CST-8";
    "Asia/Tokyo" = "JST-9";
    "Australia/Sydney" = "AEST-10AEDT,M10.1.0,M4.1.0/3";
    "Europe/Amsterdam" = central-europe;
    "Europe/Athens" = eastern-europe;
    "Europe/Berlin" = central-europe;
    "Europe/Brussels" = central-europe;
    "Europe/Dublin" = "IST-1GMT0,M10.5.0,M3.5.0/1";
    "Europe/Helsinki" = eastern-europe;
    "Europe/Kyiv" = eastern-europe;
    "Europe/Lisbon" = western-europe;
    "Europe/London" = "GMT0BST,M3.5.0/1,M10.5.0";
    "Europe/Madrid" = central-europe;
    "Europe/Oslo" = central-europe;
    "Europe/Paris" = central-europe;
    "Europe/Prague" = central-europe;
    "Europe/Rome" = central-europe;
    "Europe/Stockholm" = central-europe;
    "Europe/Vienna" = central-europe;
    "Europe/Warsaw" = central-europe;
    "Europe/Zurich" = central-europe;
    "Pacific/Auckland" = "NZST-12NZDT,M9.5.0,M4.1.0/3";
  };
  rule = types.strMatching "(<[A-Za-z0-9+-]{3,}>|[A-Za-z]{3,})[+-]?[0-9]{1,2}(:[0-9]{2}){0,2}[A-Za-z0-9<>+:,./-]*";
in
{
  options.time.timeZone = mkOption {
    type = types.either (types.enum (lib.attrNames zones)) rule // {
      name = "name of a time zone, or TZ rule";
      one = "the name of a time zone (there are: ${lib.concatStringsSep ", " (lib.attrNames zones)}) or a rule as for TZ, such as CET-1CEST,M3.5.0,M10.5.0/3";
    };
    default = "UTC";
    example = "Europe/Berlin";
    description = "The time zone: one of the common names, or a rule in the syntax of POSIX's TZ.";
  };

  config.environment.variables.TZ = zones.${config.time.timeZone} or config.time.timeZone;
}
