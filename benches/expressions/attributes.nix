# Many sets: made by functions, mapped, filtered, intersected, looked up by computed names.
let
  count = 30000;
  name = n: "attribute-${toString n}";
  set = builtins.listToAttrs (builtins.genList (n: { name = name n; value = { inherit n; enable = n / 2 * 2 == n; tags = [ n ]; }; }) count);
  mapped = builtins.mapAttrs (name: value: value // { inherit name; text = "${name}=${toString value.n}"; }) set;
  kept = builtins.removeAttrs mapped (builtins.filter (name: !mapped.${name}.enable) (builtins.attrNames mapped));
  common = builtins.intersectAttrs kept set;
  found = builtins.genList (n: if common ? ${name n} then common.${name n}.n else 0) count;
  records = builtins.genList (n: rec { a = n; b = a + 1; c = { inherit a b; d.e.f = b; }; }) 60000;
in
builtins.foldl' (a: b: a + b) 0 found + builtins.foldl' (sum: r: sum + r.c.d.e.f + r.c.a) 0 records + builtins.length (builtins.catAttrs "text" (builtins.attrValues mapped))
