# How names, values and places look in messages.
{ collections }:
let
  inherit (builtins)
    attrNames concatStringsSep elemAt filter foldl' genList head isAttrs isBool isFloat isFunction isInt isList isPath
    isString length match replaceStrings sort stringLength substring unsafeGetAttrPos;
  inherit (collections) min stringToCharacters;

  # "a", "b" or "c"
  alternatives = separator: words:
    let count = length words;
    in
    if count <= 1 then concatStringsSep "" words
    else concatStringsSep ", " (genList (elemAt words) (count - 1)) + " ${separator} ${elemAt words (count - 1)}";

  abridged = limit: text: if stringLength text <= limit then text else substring 0 limit text + "…";

  quoted = text: "\"${replaceStrings [ "\\" "\"" "\n" "\t" "\r" "\${" ] [ "\\\\" "\\\"" "\\n" "\\t" "\\r" "\\\${" ] text}\"";

  component = name: if match "[A-Za-z_][A-Za-z0-9_'-]*|<name>|\\*" name != null then name else quoted name;

  # How many single letters must be inserted, removed or changed to make one word of the other.
  distance = from: to:
    let
      target = stringToCharacters to;
      width = length target;
      nextRow = row: letter:
        foldl'
          (done: index:
            let
              changed = elemAt row index + (if elemAt target index == letter then 0 else 1);
              removed = elemAt row (index + 1) + 1;
              inserted = elemAt done index + 1;
            in
            done ++ [ (min changed (min removed inserted)) ])
          [ (head row + 1) ]
          (genList (index: index) width);
    in
    elemAt (foldl' nextRow (genList (index: index) (width + 1)) (stringToCharacters from)) width;
in
rec {
  inherit alternatives;

  # A regular expression, in one line.
  pattern = replaceStrings [ "\n" "\t" "\r" ] [ "\\n" "\\t" "\\r" ];

  # "from 1 to 9"
  range = low: high:
    concatStringsSep " " (collections.optional (low != null) "from ${toString low}"
      ++ collections.optional (high != null) "to ${toString high}"
      ++ collections.optional (high == null) "up");

  # An option's name, from its path; a number is the place in a list.
  name = path: foldl'
    (text: step: if isInt step then "${text}[${toString step}]" else if text == "" then component step else "${text}.${component step}")
    ""
    path;

  # Where a definition or declaration is: FILE:LINE if the evaluator knows, else the module's file.
  place = { file, set ? null, attribute ? null, parent ? null, ... }:
    let position = if set == null then null else unsafeGetAttrPos attribute set;
    in
    if position != null then "${position.file}:${toString position.line}"
    else if parent != null then place parent
    else toString file;

  isType = value: isAttrs value && value ? check && value ? merge && value ? one;

  # A value with its type, in a few words; nothing below it is forced beyond one level.
  value = value:
    if isString value then "the string ${quoted (abridged 60 (builtins.unsafeDiscardStringContext value))}"
    else if isInt value || isFloat value then "the number ${toString value}"
    else if isBool value then (if value then "true" else "false")
    else if value == null then "null"
    else if isPath value then "the path ${toString value}"
    else if isList value then
      (if value == [ ] then "the empty list" else "a list of ${toString (length value)} element${if length value == 1 then "" else "s"}")
    else if isFunction value then "a function"
    else if isAttrs value && value.type or null == "derivation" then "the package ${value.name or "without a name"}"
    else if isAttrs value && value._type or null == "option" then "the declaration of an option"
    else if isType value then "the type ${value.name}"
    else if value == { } then "the empty set"
    else "a set with ${abridged 60 (alternatives "and" (attrNames value))}";

  # A value as one would write it, for documents.
  expression = value:
    if isString value then quoted (builtins.unsafeDiscardStringContext value)
    else if isInt value then toString value
    else if isFloat value then builtins.toJSON value
    else if isBool value then (if value then "true" else "false")
    else if value == null then "null"
    else if isPath value then toString value
    else if isList value then
      (if value == [ ] then "[ ]" else "[ ${concatStringsSep " " (map operand value)} ]")
    else if isFunction value then "<function>"
    else if value.type or null == "derivation" then "<package ${value.name}>"
    else if value ? _type then "<${value._type}>"
    else if value == { } then "{ }"
    else "{ ${concatStringsSep " " (map (name: "${component name} = ${expression value.${name}};") (attrNames value))} }";

  # The same, as an operand.
  operand = value: if isInt value && value < 0 then "(${toString value})" else expression value;

  # Of `candidates`, the words nearest to `word`, if any is near: at most three.
  near = word: candidates:
    let
      limit = if stringLength word <= 3 then 1 else if stringLength word <= 8 then 2 else 3;
      measured = map (candidate: { inherit candidate; distance = distance word candidate; })
        (filter (candidate: stringLength candidate - stringLength word <= limit && stringLength word - stringLength candidate <= limit) candidates);
      kept = sort (a: b: a.distance < b.distance) (filter (item: item.distance <= limit) measured);
    in
    map (item: item.candidate) (genList (elemAt kept) (min 3 (length kept)));
}
