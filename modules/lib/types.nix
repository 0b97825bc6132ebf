# The types of options. A type is a set:
#   name        as written in a declaration: `listOf str`; for documents
#   one, many   what a value is, and several are, in messages: "a string", "strings"
#   check       whether a value has the type, looking no deeper than needed to tell it from other types
#   merge       path → definitions → value; each definition `{ file, value, … }` has passed `check`
#   empty       if there: path → the value of an option of this type that nothing defines
#   nested      if there: path → what documents know of options below it
#   extend      if there: another type of this name → both joined; for options that several modules declare
{ collections, show, definitions, evaluation }:
let
  inherit (builtins)
    all concatLists concatMap concatStringsSep elem foldl' head isAttrs isBool isFloat isFunction isInt isList isPath
    isString length mapAttrs match substring tail zipAttrsWith;
  inherit (collections) imap0;
  inherit (evaluation) mergeElement mergeOptional conflict;

  # Several definitions must be equal.
  mergeEqual = path: defs:
    let first = (head defs).value;
    in if length defs == 1 || all (def: def.value == first) (tail defs) then first else conflict path defs;

  # There must be one definition.
  mergeOne = path: defs: if length defs == 1 then (head defs).value else conflict path defs;

  simple = name: one: many: check: { inherit name one many check; merge = mergeEqual; };

  isText = value: isString value;
  isPackage = value: isAttrs value && value.type or null == "derivation";
  plainSet = value: isAttrs value && !isPackage value;

  numbers = name: check: low: high: simple name
    "an integer ${show.range low high}" "integers ${show.range low high}"
    (value: check value && (low == null || value >= low) && (high == null || value <= high));

  joined = name: separator: noun: {
    inherit name;
    one = "a string (${noun})";
    many = "strings (${noun})";
    check = isText;
    merge = _: defs: if length defs == 1 then (head defs).value else concatStringsSep separator (map (def: def.value) defs);
  };

  # A type as the operand of another, for names.
  operand = type: if match ".* .*" type.name == null || substring 0 1 type.name == "(" then type.name else "(${type.name})";

  # What documents and joins of a container take from its elements.
  below = type: step: if type ? nested then { nested = path: type.nested (step path); element = type; } else { element = type; };
  through = container: type: other:
    if type ? extend && other ? element && other.element.name == type.name then container (type.extend other.element) else null;
in
rec {
  # --- plain values
  bool = simple "bool" "true or false" "booleans" isBool;
  int = simple "int" "an integer" "integers" isInt;
  float = simple "float" "a floating-point number" "floating-point numbers" isFloat;
  str = simple "str" "a string" "strings" isText;
  nonEmptyStr = simple "nonEmptyStr" "a string that is not blank" "strings that are not blank"
    (value: isText value && match "[ \t\n]*" value == null);
  strMatching = pattern: simple "strMatching ${show.expression pattern}"
    "a string that matches ${show.pattern pattern}" "strings that match ${show.pattern pattern}"
    (value: isText value && match pattern value != null);
  ints = {
    between = low: high: numbers "ints.between ${show.operand low} ${show.operand high}" isInt low high;
    positive = numbers "ints.positive" isInt 1 null;
    unsigned = numbers "ints.unsigned" isInt 0 null;
    u8 = numbers "ints.u8" isInt 0 255;
    u16 = numbers "ints.u16" isInt 0 65535;
    u32 = numbers "ints.u32" isInt 0 4294967295;
  };
  port = simple "port" "a port (an integer from 0 to 65535)" "ports" ints.u16.check;
  enum = values: simple "enum [ ${concatStringsSep " " (map show.operand values)} ]"
    (if length values == 1 then show.expression (head values) else "one of ${show.alternatives "and" (map show.expression values)}")
    "values out of ${show.alternatives "and" (map show.expression values)}"
    (value: elem value values);

  # A path literal, an absolute path as a string, or a package.
  path = simple "path" "an absolute path" "absolute paths"
    (value: isPath value || isPackage value || isString value && substring 0 1 value == "/");
  package = simple "package" "a package" "packages" isPackage // { merge = mergeOne; };

  # --- texts that are joined
  lines = joined "lines" "\n" "lines of text";
  separatedString = separator: joined "separatedString ${show.expression separator}" separator "parts of a text";

  # --- anything
  # One definition, whatever it is.
  raw = simple "raw" "a value" "values" (_: true) // { merge = mergeOne; };
  # Sets are merged attribute by attribute; anything else must be equal.
  anything = simple "anything" "a value" "values" (_: true) // {
    merge = path: defs:
      if all (def: plainSet def.value) defs then (attrsOf anything).merge path defs
      else mergeEqual path defs;
  };

  # --- containers
  # Lists are joined, in the order of the modules (what a module imports comes before it) unless mkBefore or mkAfter say otherwise.
  listOf = type: {
    name = "listOf ${operand type}";
    one = "a list of ${type.many}";
    many = "lists of ${type.many}";
    check = isList;
    merge = path: defs: concatMap
      (def: concatLists (imap0
        (index: value: mergeOptional type (path ++ [ index ]) [ { inherit (def) file; inherit value; parent = def; } ])
        def.value))
      defs;
    empty = _: [ ];
    extend = through listOf type;
  } // below type (path: path ++ [ "*" ]);

  # Sets are merged name by name.
  attrsOf = type: {
    name = "attrsOf ${operand type}";
    one = "a set of ${type.many}";
    many = "sets of ${type.many}";
    check = plainSet;
    merge = path: defs:
      let
        found = zipAttrsWith (_: defs: defs) (map
          (def: mapAttrs (attribute: value: { inherit (def) file; inherit value attribute; set = def.value; }) def.value)
          defs);
        merged = mapAttrs (name: mergeOptional type (path ++ [ name ])) found;
      in
      mapAttrs (_: head) (collections.filterAttrs (_: value: value != [ ]) merged);
    empty = _: { };
    extend = through attrsOf type;
  } // below type (path: path ++ [ "<name>" ]);

  # The same, but no attribute is forced to know which ones there are; so an attribute cannot be absent by a condition.
  lazyAttrsOf = type: attrsOf type // {
    name = "lazyAttrsOf ${operand type}";
    merge = path: defs:
      mapAttrs
        (name: defs:
          let found = mergeOptional type (path ++ [ name ]) defs;
          in if found == [ ] then throw "The option `${show.name (path ++ [ name ])}` is used, but all its definitions have a condition that does not hold." else head found)
        (zipAttrsWith (_: defs: defs) (map
          (def: mapAttrs (attribute: value: { inherit (def) file; inherit value attribute; set = def.value; }) def.value)
          defs));
    extend = through lazyAttrsOf type;
  };

  nullOr = type: {
    name = "nullOr ${operand type}";
    one = "null or ${type.one}";
    many = "nulls or ${type.many}";
    check = value: value == null || type.check value;
    merge = path: defs:
      if all (def: def.value == null) defs then null
      else if all (def: def.value != null) defs then mergeElement type path defs
      else conflict path defs;
    extend = through nullOr type;
  } // below type (path: path);

  # The first of the two that all definitions fit.
  either = first: second: {
    name = "either ${operand first} ${operand second}";
    one = "${first.one} or ${second.one}";
    many = "${first.many} or ${second.many}";
    check = value: first.check value || second.check value;
    merge = path: defs:
      if all (def: first.check def.value) defs then mergeElement first path defs
      else if all (def: second.check def.value) defs then mergeElement second path defs
      else conflict path defs;
  } // (if first ? nested then { inherit (first) nested; } else if second ? nested then { inherit (second) nested; } else { });
  oneOf = alternatives:
    if alternatives == [ ] then throw "types.oneOf needs at least one type"
    else foldl' either (head alternatives) (tail alternatives)
      // { name = "oneOf [ ${concatStringsSep " " (map operand alternatives)} ]"; };

  # A function whose result has the type; several are merged result by result.
  functionTo = type: {
    name = "functionTo ${operand type}";
    one = "a function to ${type.one}";
    many = "functions to ${type.many}";
    check = isFunction;
    merge = path: defs: argument:
      mergeElement type path (map (def: { inherit (def) file; value = def.value argument; }) defs);
  };

  # The type, with a further condition on its values; `what` ends the sentence "must be …".
  addCheck = type: what: check: type // {
    one = "${type.one} ${what}";
    many = "${type.many} ${what}";
    check = value: type.check value && check value;
  };

  # The same values, but one with a priority (mkForce, mkDefault) stays wrapped in it: for what is joined with values from
  # elsewhere.
  withPriority = type: type // {
    merge = path: defs:
      let
        value = type.merge path defs;
        priority = (head defs).priority or definitions.priorities.plain;
      in
      if priority == definitions.priorities.plain then value else definitions.mkOverride priority value;
  };

  # A set of options of its own. A definition is the set of their values, or a module (function or path). Modules get `name`,
  # the last part of the option's path.
  submodule = argument:
    let
      modules = if isList argument then argument else [ argument ];
      evaluate = path: defs: evaluation.evaluate {
        inherit modules defs;
        prefix = path;
        specialArgs.name = let name = collections.last path; in if isString name then name else toString name;
      };
    in
    {
      name = "submodule";
      one = "a set of options";
      many = "sets of options";
      check = value: plainSet value || isFunction value || isPath value;
      merge = path: defs: (evaluate path defs).config;
      empty = path: (evaluate path [ ]).config;
      nested = path: (evaluate path [ ]).options;
      extend = other: submodule (modules ++ other.modules);
      inherit modules;
    };
}
