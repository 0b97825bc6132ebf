# The kernel's configuration as a value: options with their reasons, merged.
#
# Options are written as a set, in which a reason holds the options it is the reason for; the reason may be left out:
#
#   {
#     "the release root" = { SQUASHFS = "y"; SQUASHFS_ZSTD = "y"; };
#     NR_CPUS = 16;
#   }
#
# A value is "y" or "n", a number, or a text. One option with two values is an error, but `force VALUE` wins over values that
# are not forced. The same in the words of modules: `mkForce VALUE`, and `mkDefault VALUE`, which yields to any other; both also
# around all options of a reason.
let
  # The common configuration, by concept.
  files = {
    "config/arm64.nix" = ./arm64.nix;
    "config/console.nix" = ./console.nix;
    "config/core.nix" = ./core.nix;
    "config/devices.nix" = ./devices.nix;
    "config/efi.nix" = ./efi.nix;
    "config/filesystems.nix" = ./filesystems.nix;
    "config/network.nix" = ./network.nix;
    "config/security.nix" = ./security.nix;
    "config/soc-imx8mp.nix" = ./soc-imx8mp.nix;
    "config/soc-tegra234.nix" = ./soc-tegra234.nix;
    "config/usb.nix" = ./usb.nix;
    "config/virtual-machine.nix" = ./virtual-machine.nix;
  };

  isForced = value: builtins.isAttrs value && value._type or null == "forced kernel option";
  isOverride = value: builtins.isAttrs value && value._type or null == "override";

  # The priorities of modules/lib/definitions.nix, of which the smallest number wins.
  forcedPriority = 50;
  plainPriority = 100;

  show = value: if builtins.isString value then ''"${value}"'' else toString value;

  # definition ORIGIN REASON PRIORITY NAME VALUE: one checked definition. A priority of its own counts instead of PRIORITY.
  definition = origin: reason: outer: name: given:
    if isOverride given then definition origin reason given.priority name given.content else
    let
      marked = isForced given;
      value = if marked then given.value else given;
      priority = if marked then forcedPriority else outer;
      forced = priority < plainPriority;
      wrong = what: throw "the kernel option ${name}, set by ${origin}, ${what}";
    in
    if builtins.match "[A-Za-z0-9_]+" name == null || builtins.match "CONFIG_.*" name != null then
      wrong "is not a name that Kconfig knows: write it without CONFIG_"
    else if builtins.isBool value then
      wrong "is ${if value then "true" else "false"}: write ${if value then ''"y"'' else ''"n"''}"
    else if !(builtins.isString value || builtins.isInt value) then
      wrong "is of type ${builtins.typeOf value}: it must be \"y\", \"n\", a number or a text"
    else if value == "m" then
      wrong "is \"m\", but these kernels load no modules: write \"y\""
    else if value == "" && !forced then
      wrong "is an empty text: write \"n\" to switch it off, or `force \"\"' if the empty text is meant"
    else if builtins.isString value && builtins.match "[^\n\t]*" value == null then
      wrong "has a line break or a tab in its text"
    else
      { inherit name value forced priority origin reason; };

  # What one definition was, for messages.
  describe = found: "\n  ${show found.value}  by ${found.origin}${if found.reason == null then "" else ": ${found.reason}"}";

  # resolve NAME [ DEFINITION... ]: the one that holds, or an error that names all.
  resolve = name: definitions:
    let
      strongest = builtins.foldl' (least: found: if found.priority < least then found.priority else least) 1000000 definitions;
      candidates = builtins.filter (found: found.priority <= strongest) definitions;
      first = builtins.head candidates;
    in
    if builtins.all (found: found.value == first.value) candidates then builtins.removeAttrs first [ "priority" ]
    else throw "the kernel option ${name} has conflicting values:${builtins.concatStringsSep "" (map describe candidates)}\nremove one, or set the one that is to hold with `linux.force VALUE', in a module `lib.mkForce VALUE'";
in
rec {
  force = value: { _type = "forced kernel option"; inherit value; };

  # define ORIGIN OPTIONS: the definitions of a set of options, in a list.
  define = origin: options: builtins.concatMap
    (key:
      let
        given = options.${key};
        found = if isOverride given then given.content else given;
        priority = if isOverride given then given.priority else plainPriority;
      in
      if !(builtins.isAttrs found) || isForced found then [ (definition origin null plainPriority key given) ]
      else builtins.attrValues (builtins.mapAttrs (definition origin key priority) found))
    (builtins.attrNames options);

  common = builtins.concatMap (origin: define origin (import files.${origin})) (builtins.attrNames files);

  # merge [ DEFINITION... ]: { NAME = { value; origin; reason; … }; }.
  merge = definitions: builtins.mapAttrs resolve (builtins.groupBy (found: found.name) definitions);
}
