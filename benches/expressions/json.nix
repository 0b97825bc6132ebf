# To JSON and back again, twice.
let
  data = builtins.genList (n: { id = n; name = "item ${toString n}"; tags = [ "a" "b" (toString n) ]; nested = { x = n * 2; y = n / 3.0; empty = { }; none = null; flag = true; }; }) 15000;
  again = value: builtins.fromJSON (builtins.toJSON value);
in
builtins.stringLength (builtins.toJSON (again (again data)))
