# `directory` holds 2,000 small files, each of which imports two others: see `benches/evaluate`.
{ directory, count ? 2000 }:
builtins.foldl' (sum: n: sum + (import (directory + "/file-${toString n}.nix") { }).size) 0 (builtins.genList (n: n) count)
