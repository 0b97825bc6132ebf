# Services, supervised by busybox's runit applets: runsvdir starts a runsv for each, which starts the service again when it
# ends. Each is a directory of /etc/service, copied to /run/service at boot. What a service prints goes to the system log.
{ lib, config, ... }:
let
  inherit (lib) mkOption types;
  enabled = lib.filterAttrs (_: service: service.enable) config.runit.services;

  service = {
    options = {
      enable = mkOption { type = types.bool; default = true; description = "Whether the service is in the image."; };
      description = mkOption { type = types.str; default = ""; description = "What the service does, in a few words."; };
      run = mkOption {
        type = types.lines;
        example = "exec iperf3 --server";
        description = "Shell commands that become the service: the last one is an `exec` of a program that stays in the foreground.";
      };
      check = mkOption {
        type = types.nullOr types.lines;
        default = null;
        example = "wget -q -O /dev/null http://127.0.0.1/";
        description = "Shell commands that succeed once the service can be used.";
      };
      finish = mkOption {
        type = types.lines;
        default = "";
        description = "Shell commands that run when the service has ended; $1 is its exit code.";
      };
      user = mkOption {
        type = types.nullOr types.str;
        default = null;
        description = "The user it runs as, with the user's primary group; without one, root.";
      };
      environment = mkOption {
        type = types.attrsOf (types.either types.str types.int);
        default = { };
        description = "Environment variables, beside environment.variables.";
      };
      oneshot = mkOption {
        type = types.bool;
        default = false;
        description = "Whether `run` is a task that ends. Until it succeeds, it is run again.";
      };
      log = mkOption { type = types.bool; default = true; description = "Whether what it prints goes to the system log."; };
    };
  };

  export = lib.mapAttrsToList (name: value: "export ${name}=${lib.escapeShellArg value}");
  executable = lines: { mode = "0755"; text = lib.concatLines ([ "#!/bin/sh" ] ++ lines); };

  filesOf = name: service:
    let
      file = file: "service/${name}/${file}";
      start = export (config.environment.variables // service.environment);
    in
    {
      # A user's service becomes that user before the first line of its own.
      ${file "run"} = executable (
        [ "exec 2>&1" ] ++ start
        ++ (if service.user == null then [ service.run ] else [ "exec chpst -u ${service.user} ./main" ])
      );
    }
    // lib.optionalAttrs (service.user != null) { ${file "main"} = executable [ service.run ]; }
    // lib.optionalAttrs (service.check != null) { ${file "check"} = executable [ service.check ]; }
    // lib.optionalAttrs (service.finish != "" || service.oneshot) {
      ${file "finish"} = executable (
        [ service.finish ]
        # runsv gives the exit code, then the signal.
        ++ lib.optional service.oneshot "if [ \"$1\" = 0 ]; then touch done; sv down .; else sleep 1; fi"
      );
    }
    // lib.optionalAttrs service.oneshot { ${file "oneshot"} = { text = ""; }; }
    // lib.optionalAttrs service.log {
      ${file "log/run"} = executable [
        "until [ -S /dev/log ]; do sleep 1; done"
        "exec logger -t ${name} -p daemon.info"
      ];
    };
in
{
  options.runit.services = mkOption {
    type = types.attrsOf (types.submodule service);
    default = { };
    description = "The services, by name.";
  };

  config = {
    environment.etc = lib.mkMerge (lib.mapAttrsToList filesOf enabled);
    environment.scripts.services = ./services.sh;
    environment.variables.SVDIR = "/run/service";

    assertions = lib.concatLists (lib.mapAttrsToList
      (name: service: [
        {
          assertion = lib.match "[a-zA-Z0-9_-]+" name != null;
          message = "runit.services.\"${name}\": a service's name consists of letters, digits, `-` and `_`.";
        }
        {
          assertion = service.user == null || config.users.users ? ${service.user};
          message = "runit.services.${name} runs as `${toString service.user}`, whom users.users does not have.";
        }
      ] ++ map
        (variable: {
          assertion = lib.match "[A-Za-z_][A-Za-z0-9_]*" variable != null;
          message = "runit.services.${name}.environment.\"${variable}\": a variable's name consists of letters, digits and `_`, and does not begin with a digit.";
        })
        (lib.attrNames service.environment))
      enabled);

    selftest.checks.services = ''
      list=$(services) && [ -n "$list" ] || { echo $list; exit 1; }
      echo $(echo "$list" | cut -d ' ' -f 1)
    '';
  };
}
