# A small module system: a fixed point over merged option definitions, with `with`, conditions and recursion into sets.
let
  inherit (builtins) attrNames concatMap foldl' genList listToAttrs mapAttrs isAttrs filter length toString;
  recursiveUpdate = a: b: a // mapAttrs (name: value: if a ? ${name} && isAttrs value && isAttrs a.${name} then recursiveUpdate a.${name} value else value) b;
  lib = { inherit concatMap filter foldl' recursiveUpdate; mkIf = condition: content: { _type = "if"; inherit condition content; }; };
  module = n: { config, lib, ... }: with lib; {
    imports = [ ];
    config = mkIf (n == 0 || config.services."service-${toString (n - 1)}".enable) {
      services."service-${toString n}" = { enable = true; port = 1000 + n; settings = { inherit n; level.deep.value = n; }; };
      users."user-${toString n}".groups = [ "group-${toString (n / 10)}" ];
    };
  };
  push = value: if value ? _type then (if value.condition then value.content else { }) else value;
  names = genList (n: "service-${toString n}") 400;
  evaluated = map (m: m { inherit config lib; }) (genList module 400);
  config = {
    # One name is known before its definitions are, as with declared options.
    services = listToAttrs (map (name: { inherit name; value = foldl' (merged: m: let c = (push m.config).services or { }; in if c ? ${name} then recursiveUpdate merged c.${name} else merged) { } (relevant name); }) names);
    users = foldl' (merged: m: recursiveUpdate merged ((push m.config).users or { })) { } evaluated;
  };
  index = listToAttrs (genList (n: { name = "service-${toString n}"; value = n; }) 400);
  relevant = name: [ (builtins.elemAt evaluated index.${name}) ];
in
foldl' (sum: name: sum + config.services.${name}.port + config.services.${name}.settings.level.deep.value) 0 names + length (attrNames config.users)
