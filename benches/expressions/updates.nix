# `//`: a set that grows by one name at a time, and small sets that are overridden again and again.
let
  grown = builtins.foldl' (set: n: set // { "name-${toString n}" = n; }) { } (builtins.genList (n: n) 3000);
  defaults = { a = 1; b = 2; c = 3; d = 4; e = 5; f = 6; g = 7; h = 8; };
  overridden = n: (defaults // { a = n; i = n; }) // { b = n; } // { j = n; k = n; };
  sum = builtins.foldl' (sum: n: sum + (overridden n).a + (overridden n).k) 0 (builtins.genList (n: n) 100000);
in
builtins.length (builtins.attrNames grown) + sum
