# Regular expressions: matches with groups, and splits.
let
  versions = builtins.genList (n: "package-name-${toString n}-${toString (n / 100)}.${toString (n / 10)}.${toString n}-rc${toString (n / 7)}") 20000;
  parsed = map (builtins.match "([a-z-]+)-([0-9]+)-([0-9]+)\\.([0-9]+)\\.([0-9]+)(-rc[0-9]+)?") versions;
  parts = map (builtins.split "[.-]") versions;
in
builtins.foldl' (sum: groups: sum + builtins.stringLength (builtins.elemAt groups 1)) 0 parsed
+ builtins.foldl' (sum: list: sum + builtins.length list) 0 parts
