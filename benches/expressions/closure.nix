# genericClosure over 30,000 keys, each with three successors.
let
  count = 30000;
  wrap = n: n - n / count * count;
  operator = item: map (key: { key = wrap key; }) [ (item.key + 1) (item.key * 2) (item.key * 3 + 1) ];
in
builtins.length (builtins.genericClosure { startSet = [ { key = 0; } ]; inherit operator; })
