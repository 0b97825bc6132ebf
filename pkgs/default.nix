# The packages, for one build environment. Each file is a function; what it asks for by name it gets from this set.
#   anyStdenv    the environment for any AArch64: of what is the same for all CPUs, such as kernels
{ stdenv, anyStdenv, lock, layerTools, baseTools, derivation }:
let
  call = file:
    let function = import file;
    in function (builtins.intersectAttrs (builtins.functionArgs function) scope);

  scope = packages // layerTools // {
    inherit anyStdenv lock baseTools derivation;
    source = lock.source;
  };

  packages = {
    inherit stdenv;
    busybox = call ./busybox;
    cacert = call ./cacert;
    curl = call ./curl;
    dropbear = call ./dropbear;
    e2fsprogs = call ./e2fsprogs;
    ethtool = call ./ethtool;
    fmt = call ./fmt;
    fmt-demo = call ./fmt/demo.nix;
    gdbserver = call ./gdbserver;
    hello = call ./hello;
    htop = call ./htop;
    i2c-tools = call ./i2c-tools;
    iperf = call ./iperf;
    libevent = call ./libevent;
    linux = call ./linux;
    locale-c-utf8 = call ./locale-c-utf8;
    lua = call ./lua;
    mbedtls = call ./mbedtls;
    memtester = call ./memtester;
    nano = call ./nano;
    ncurses = call ./ncurses;
    pigz = call ./pigz;
    sqlite = call ./sqlite;
    strace = call ./strace;
    stress = call ./stress;
    tmux = call ./tmux;
    util-linux = call ./util-linux;
    zlib = call ./zlib;
  };
in
packages
