# Recursion that is not a tail call, some 9,000 calls deep, again and again; and lists taken apart by it.
let
  depth = n: if n == 0 then 0 else 1 + depth (n - 1);
  sum = list: if list == [ ] then 0 else builtins.head list + sum (builtins.tail list);
  ackermann = m: n: if m == 0 then n + 1 else if n == 0 then ackermann (m - 1) 1 else ackermann (m - 1) (ackermann m (n - 1));
  rounds = builtins.genList (n: n) 60;
in
builtins.foldl' (total: n: total + depth 9000 + sum (builtins.genList (i: i) 1500)) 0 rounds + ackermann 2 300
