# The compiler that packages call: GCC with a sysroot, the flags of a target, and what hermetic builds need. A small static
# program in front of the compiler adds the flags (wrapper.c says which); the rest of the prefix is links.
{ machine, tools, crossGcc, glibc, gccRuntime, derivation }:
# name: the target's; cpuFlags: GCC's options for its CPU
{ name, cpuFlags }:
derivation {
  name = "gcc-wrapper-${name}";
  inherit (machine) system;
  builder = "${tools}/usr/bin/bash";
  args = [ ./wrapper.sh ];
  sandboxRoot = tools;
  source = ./wrapper.c;
  gcc = crossGcc;
  sysroot = glibc.dev;
  libc = glibc.out;
  inherit gccRuntime cpuFlags;
}
