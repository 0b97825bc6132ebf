# The kernel's source as a tree of its own, read-only, from which every configuration is built (`make O=…`): changing an option
# unpacks nothing. It is Debian's, with its fixes, less what no arm64 kernel is made from.
{ stdenv, lock, baseTools, derivation }:
let
  package = "linux-source-6.12/bookworm-backports:amd64";
  # 6.12.95-1~bpo12+1 is upstream's 6.12.95.
  version = lock.version package;
in
derivation {
  name = "linux-source-${version}";
  inherit (stdenv.buildPlatform) system;
  builder = "${baseTools}/usr/bin/bash";
  args = [ ./source.sh ];
  sandboxRoot = baseTools;
  debs = lock.layer "linux-source";

  # Trees of which only Kconfig files stay (others include them): other architectures (source.sh lists those), what is not part
  # of a kernel, and the drivers of PCs' graphics cards, which are a third of the whole.
  prune = [
    "Documentation" "samples" "rust" "tools/perf" "tools/testing"
    "drivers/gpu/drm/amd" "drivers/gpu/drm/i915" "drivers/gpu/drm/radeon" "drivers/gpu/drm/xe"
  ];
  # Files in pruned trees that every build reads all the same: the list that checksyscalls.sh compares with, and rules that the
  # makefile of a file system for user-mode Linux includes.
  keep = [ "arch/x86/entry/syscalls/syscall_32.tbl" "arch/um/scripts/Makefile.rules" ];
}
// {
  inherit version;
  # Options that have no code here.
  missing = [ "DRM_AMDGPU" "DRM_I915" "DRM_RADEON" "DRM_XE" ];
}
