# Builds strings: interpolation, concatenation, replacement, splitting, joining.
let
  lines = builtins.genList (n: "line ${toString n} of ${toString (n * n)}: ${builtins.substring 0 8 (builtins.hashString "sha256" (toString n))}") 40000;
  text = builtins.concatStringsSep "\n" lines;
  replaced = builtins.replaceStrings [ "line" "of" ":" ] [ "row" "from" " =" ] text;
  words = builtins.filter builtins.isString (builtins.split " " replaced);
  grown = builtins.foldl' (text: n: text + "${toString n};") "" (builtins.genList (n: n) 4000);
in
builtins.stringLength replaced + builtins.length words + builtins.stringLength grown
