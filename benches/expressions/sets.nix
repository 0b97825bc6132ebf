# Attribute sets, lists, strings and a fixed point, as package sets use them.
let
  count = 20000;
  package = self: n: {
    name = "package-${toString n}";
    value = { version = "1.${toString n}"; inputs = if n < 2 then [ ] else [ self."package-${toString (n / 2)}" ]; };
  };
  set = builtins.listToAttrs (builtins.genList (package set) count);
  overlaid = set // builtins.mapAttrs (_: p: p // { overlaid = true; }) set;
  depth = p: 1 + builtins.foldl' (a: b: if a > b then a else b) 0 (map depth p.inputs);
in
builtins.foldl' (sum: p: sum + depth p + builtins.stringLength "${p.version}-${builtins.substring 0 4 p.version}") 0
  (builtins.attrValues overlaid)
