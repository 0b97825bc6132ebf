# `count` independent derivations, each of which only writes a line to its output.
{ busybox, count ? 500 }:
builtins.genList
  (n: derivation {
    name = "trivial-${toString n}";
    system = "x86_64-linux";
    builder = "${busybox}/bin/busybox";
    args = [ "sh" "-c" "echo ${toString n} > $out" ];
  })
  count
