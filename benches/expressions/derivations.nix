# Three thousand derivations, each of which needs some earlier ones.
let
  count = 3000;
  make = n: derivation {
    name = "node-${toString n}";
    system = "x86_64-linux";
    builder = "/bin/sh";
    flags = builtins.genList toString 20;
    inputs = if n == 0 then [ ] else map (builtins.elemAt all) [ (n / 2) (n / 3) (n / 5) ];
  };
  all = builtins.genList make count;
in
all
