# Names that only `with` finds, among thousands of others, through several scopes.
let
  names = builtins.genList (n: { name = "name${toString n}"; value = n; }) 5000;
  pkgs = builtins.listToAttrs names;
  lib = { inherit (builtins) length head; optional = c: x: if c then [ x ] else [ ]; };
  use = n: with pkgs; with lib; [ name1 name2 name3000 name4999 ] ++ optional (n > 5) name77 ++ optional (length [ name5 ] == 1) (head [ name6 ]);
in
builtins.foldl' (sum: n: sum + builtins.foldl' (a: b: a + b) 0 (use n)) 0 (builtins.genList (n: n) 60000)
