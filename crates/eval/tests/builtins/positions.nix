# Where attributes were defined; a text that is not in a file has no positions.
let
  pos = builtins.unsafeGetAttrPos;
  set = { a = 1; b.c = 2; "quoted" = 3; };
  inherit (set) a;
in
[
  (pos "a" set)
  (pos "b" set)
  (pos "c" set.b)
  (pos "quoted" set)
  (pos "missing" set)
  (pos "a" { inherit a; })
  (pos "a" { inherit (set) a; })
  (pos "x" { ${"x"} = 1; })
  (pos "a" (set // { z = 1; }))
  (pos "a" (builtins.mapAttrs (n: v: v) set))
  (pos "b" (removeAttrs set [ "a" ]))
  (pos "b" (builtins.functionArgs ({ a, b ? 1 }: a)))
  (pos "a" (builtins.intersectAttrs { a = 1; } { a = 1; }))
  (pos "q" (builtins.listToAttrs [ { name = "q"; value = 1; } ]))
  (pos "a" (builtins.zipAttrsWith (n: v: v) [ set ]))
  (pos "a" (builtins.groupBy (x: x) [ "a" ]))
  (builtins.attrNames (pos "a" set))
  __curPos.line
]
