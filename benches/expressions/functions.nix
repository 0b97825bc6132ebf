# Functions of sets, with defaults and `@`; currying, composition and partial application.
let
  make = { name, version ? "1.0", deps ? [ ], meta ? { }, ... }@args: args // { full = "${name}-${version}"; count = builtins.length deps; inherit meta; };
  override = f: args: let result = f args; in result // { override = new: override f (args // new); };
  compose = f: g: x: f (g x);
  twice = f: compose f f;
  add = a: b: c: d: a + b + c + d;
  packages = builtins.genList (n: (override make { name = "p${toString n}"; extra = n; }).override { version = "2.${toString n}"; deps = [ n n ]; }) 30000;
in
builtins.foldl' (sum: p: sum + p.count + builtins.stringLength p.full) 0 packages
+ builtins.foldl' (sum: n: add sum (twice (twice (x: x + 1)) n) 1 1) 0 (builtins.genList (n: n) 100000)
