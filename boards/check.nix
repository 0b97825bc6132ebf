# check WHERE FACTS: the facts of a board, if they have the form that default.nix beside this describes; a message with all that is
# wrong if not. WHERE is the board's file, for the message.
let
  inherit (builtins) all attrNames concatMap concatStringsSep elem filter isAttrs isInt isList isString match;
  show = import ../modules/lib/show.nix { collections = import ../modules/lib/collections.nix; };

  # The kinds of CPU that the validator knows.
  cpus = [ "cortex-a53" "cortex-a55" "cortex-a57" "cortex-a72" "cortex-a76" "cortex-a78ae" ];

  text = { what = "a text"; is = value: isString value && value != ""; };
  texts = { what = "a list of texts that is not empty"; is = value: isList value && value != [ ] && all text.is value; };
  set = { what = "a set"; is = isAttrs; };
  number = { what = "a number"; is = value: isInt value && value >= 0; };
  oneOf = words: { what = "one of ${concatStringsSep ", " (map (word: "`${word}'") words)}"; is = value: elem value words; };
  optional = type: type // { optional = true; };
  # A set of facts.
  facts = fields: set // { inherit fields; };

  board = facts {
    name = { what = "a name of letters, digits and `-'"; is = value: isString value && match "[A-Za-z0-9][A-Za-z0-9-]*" value != null; };
    description = text;
    soc = text;
    cpu = facts {
      soc = optional text;
      name = text;
      target = oneOf cpus;
      architecture = optional text;
      flags = { what = "a list of the compiler's flags"; is = value: isList value && all isString value; };
    };
    compatible = texts;
    deviceTrees = {
      what = "a list of device trees below arch/arm64/boot/dts (`VENDOR/NAME.dtb') that is not empty";
      is = value: isList value && value != [ ] && all (name: isString name && match "([A-Za-z0-9_+-][A-Za-z0-9._+-]*/)+[A-Za-z0-9._+-]+[.]dtb" name != null) value;
    };
    kernel = optional (facts { options = optional set; });
    consoles = texts;
    boot = oneOf [ "systemd-boot" "extlinux" ];
    storage = facts { default = text; devices = texts; };
    disk = optional (facts { firstMiB = optional number; firmware = optional (facts { offset = number; maxSize = number; }); });
    flashMethod = optional (oneOf [ "disk" "imx" "jetson" ]);
    flash = optional set;
    bsp = optional set;
    qemu = optional set;
  };

  # All that is wrong with a value, in lines.
  faults = path: type: value:
    let
      at = name: if path == "" then name else "${path}.${name}";
      near = name: show.near name (attrNames type.fields);
    in
    if !type.is value then [ "`${path}' is ${show.value value}, but must be ${type.what}" ]
    else if !(type ? fields) then [ ]
    else
      map
        (name: "`${at name}' is no fact of a board" + (if near name == [ ] then "" else "; did you mean `${at (builtins.head (near name))}'?"))
        (filter (name: !(type.fields ? ${name})) (attrNames value))
      ++ concatMap
        (name:
          if value ? ${name} then faults (at name) type.fields.${name} value.${name}
          else if type.fields.${name}.optional or false then [ ]
          else [ "`${at name}' is missing: ${type.fields.${name}.what}" ])
        (attrNames type.fields);
in
where: value:
let
  found = if isAttrs value then faults "" board value else [ "it is ${show.value value}, but must be a set of facts" ];
  storage = value.storage;
  faulty = found ++ (
    if found == [ ] && !(elem storage.default storage.devices)
    then [ "`storage.default' is `${storage.default}', which `storage.devices' does not have" ] else [ ]);
in
if faulty == [ ] then value
else throw "${where} is no board (boards/default.nix says what one is):\n${concatStringsSep "\n" (map (fault: "  - ${fault}") faulty)}"
