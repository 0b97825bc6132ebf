# Sorts 200,000 numbers in no order, by a function and by its mirror image.
let
  count = 200000;
  numbers = builtins.genList (n: (n * 7919 + 104729) - (n * 7919 + 104729) / count * count) count;
  ascending = builtins.sort (a: b: a < b) numbers;
  descending = builtins.sort (a: b: a > b) ascending;
in
builtins.elemAt ascending 0 + builtins.elemAt descending 0
