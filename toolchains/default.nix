# The toolchains, layer by layer; docs/toolchains.md describes them. Everything here is a function of lock.json and of the
# files beside it, and of nothing else.
let
  lock = import ./lock.nix;
in
rec {
  inherit lock;

  boot = import ./boot.nix { inherit lock; };

  # buildTools [ LAYER... ]: the tree a sandbox mounts as /usr.
  buildTools = import ./tree { inherit lock boot; };
  baseLayers = [ "native-gcc" "shell" ];
  baseTools = buildTools baseLayers;

  glibc = import ../sysroots/glibc.nix { inherit lock boot; };
  gccRuntime = import ../sysroots/gcc-runtime.nix { inherit lock boot glibc; };
  crossGcc = import ./gcc/cross.nix { inherit lock boot gccRuntime; };
  gccFor = import ./gcc/wrapper.nix { tools = baseTools; inherit crossGcc glibc gccRuntime; };

  # Tools that come as a layer of the tree; a package puts them into nativeBuildInputs.
  layerTools = {
    cmake = { layers = [ "cmake" ]; phases = "cmake"; };
    ninja = { layers = [ "cmake" ]; phases = "ninja"; };
  };

  # The build environment of one target: { name, cpuFlags }.
  stdenvFor = target: import ./stdenv {
    inherit target buildTools baseLayers boot;
    cc = gccFor { inherit (target) name cpuFlags; };
    inherit crossGcc glibc gccRuntime;
  };
}
