# Functions on lists, sets and strings that modules need beside the builtins. Names are those that Nix users know.
let
  inherit (builtins)
    attrNames concatLists concatStringsSep elemAt filter foldl' genList isString length listToAttrs map match replaceStrings
    stringLength substring;
in
rec {
  # --- lists
  optional = condition: value: if condition then [ value ] else [ ];
  optionals = condition: list: if condition then list else [ ];
  last = list: elemAt list (length list - 1);
  unique = foldl' (done: value: if builtins.elem value done then done else done ++ [ value ]) [ ];
  # imap0 f [ a b ] = [ (f 0 a) (f 1 b) ]
  imap0 = f: list: genList (index: f index (elemAt list index)) (length list);

  # --- sets
  nameValuePair = name: value: { inherit name value; };
  genAttrs = names: f: listToAttrs (map (name: { inherit name; value = f name; }) names);
  filterAttrs = keep: set: removeAttrs set (filter (name: !keep name set.${name}) (attrNames set));
  mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
  optionalAttrs = condition: set: if condition then set else { };
  # attrByPath [ "a" "b" ] default set = set.a.b or default
  attrByPath = path: default: set:
    if path == [ ] then set
    else if builtins.isAttrs set && set ? ${builtins.head path} then attrByPath (builtins.tail path) default set.${builtins.head path}
    else default;
  isDerivation = value: builtins.isAttrs value && value.type or null == "derivation";

  # --- strings
  optionalString = condition: text: if condition then text else "";
  concatMapStrings = f: list: concatStringsSep "" (map f list);
  concatMapStringsSep = separator: f: list: concatStringsSep separator (map f list);
  concatLines = concatMapStrings (line: line + "\n");
  hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
  hasSuffix = suffix: text:
    let more = stringLength text - stringLength suffix;
    in more >= 0 && substring more (-1) text == suffix;
  removeSuffix = suffix: text:
    if hasSuffix suffix text then substring 0 (stringLength text - stringLength suffix) text else text;
  stringToCharacters = text: genList (index: substring index 1 text) (stringLength text);
  splitString = separator: text:
    filter isString (builtins.split (replaceStrings [ "." "|" "+" "*" "?" "(" ")" "[" "]" "{" "}" "^" "$" "\\" ]
      [ "\\." "\\|" "\\+" "\\*" "\\?" "\\(" "\\)" "\\[" "]" "\\{" "}" "\\^" "\\$" "\\\\" ] separator) text);
  # One word for a POSIX shell.
  escapeShellArg = value:
    let text = toString value;
    in if match "[[:alnum:],._+:@%/-]+" text != null then text else "'${replaceStrings [ "'" ] [ "'\\''" ] text}'";
  escapeShellArgs = concatMapStringsSep " " escapeShellArg;

  # --- numbers
  min = a: b: if a < b then a else b;
  max = a: b: if a > b then a else b;

  inherit (builtins)
    all any attrNames attrValues concatLists concatMap concatStringsSep elem elemAt filter foldl' genList hasAttr head
    intersectAttrs isAttrs isBool isFunction isInt isList isPath isString length listToAttrs map mapAttrs match
    readFile removeAttrs replaceStrings sort stringLength substring tail toJSON toString zipAttrsWith;
}
