# The toolchains, layer by layer; docs/toolchains.md describes them. Everything here is a function of lock.json and of the
# files beside it, and of nothing else.
#   system              the machine that builds run on: x86_64-linux, or aarch64-linux for native builds
#   contentAddressed    whether outputs are named by their contents (derivation.nix)
{ system ? "x86_64-linux", contentAddressed ? false }:
let
  machine = (import ./machine.nix).${system};
  lock = import ./lock.nix { inherit machine; };
in
rec {
  inherit lock machine;
  derivation = import ./derivation.nix { inherit contentAddressed; };

  boot = import ./boot.nix { inherit lock machine derivation; };

  # What runs AArch64 programs on x86_64. xbuild makes the same derivation by itself, out of the same lock, and no other depends on it.
  emulator = import ./emulator.nix { lock = import ./lock.nix { machine = (import ./machine.nix).x86_64-linux; }; };

  # buildTools [ LAYER... ]: the tree a sandbox mounts as /usr.
  buildTools = import ./tree { inherit lock machine boot derivation; };
  baseLayers = [ "native-gcc" "shell" ];
  baseTools = buildTools baseLayers;

  glibc = import ../sysroots/glibc.nix { inherit lock machine boot derivation; };
  gccRuntime = import ../sysroots/gcc-runtime.nix { inherit lock machine boot glibc derivation; };
  crossGcc = import ./gcc/cross.nix { inherit lock machine boot gccRuntime derivation; };
  gccFor = import ./gcc/wrapper.nix { tools = baseTools; inherit machine crossGcc glibc gccRuntime derivation; };

  # Tools that come as a layer of the tree; a package puts them into nativeBuildInputs.
  layerTools = {
    cmake = { layers = [ "cmake" ]; phases = "cmake"; };
    ninja = { layers = [ "cmake" ]; phases = "ninja"; };
  } // builtins.listToAttrs (map (name: { inherit name; value = { layers = [ name ]; phases = name; }; }) [
    "autotools" "image" "kernel" "meson" "parsers" "perl" "pkg-config" "python" "tcl" "terminfo"
  ]);

  # The build environment of one target: { name, cpuFlags }.
  stdenvFor = target: import ./stdenv {
    inherit target machine buildTools baseLayers boot derivation;
    cc = gccFor { inherit (target) name cpuFlags; };
    inherit crossGcc glibc gccRuntime;
  };
}
