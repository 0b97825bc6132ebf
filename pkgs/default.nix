# The packages, for one build environment. Each file is a function; what it asks for by name it gets from this set.
{ stdenv, lock, layerTools }:
let
  call = file:
    let function = import file;
    in function (builtins.intersectAttrs (builtins.functionArgs function) scope);

  scope = packages // layerTools // {
    source = lock.source;
  };

  packages = {
    inherit stdenv;
    busybox = call ./busybox;
    fmt = call ./fmt;
    fmt-demo = call ./fmt/demo.nix;
    hello = call ./hello;
    pigz = call ./pigz;
    zlib = call ./zlib;
  };
in
packages
