# Sourced by the derivations that run the kernel's makefiles: one environment, so that the compiler looks the same to Kconfig in
# all of them, and so that nothing of the build gets into the kernel.

# The compiler without its wrapper: a kernel chooses its own flags, and has no C library.
export PATH=$compiler/bin:/usr/bin:/usr/sbin
export ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu-

export SOURCE_DATE_EPOCH
SOURCE_DATE_EPOCH=$(<"$src/source-date-epoch")
KBUILD_BUILD_TIMESTAMP=$(date -u -d "@$SOURCE_DATE_EPOCH")
export KBUILD_BUILD_TIMESTAMP KBUILD_BUILD_USER=xbuild KBUILD_BUILD_HOST=xbuild KBUILD_BUILD_VERSION=1

# kbuild TARGET...: make, in the current directory, from the read-only source.
kbuild() {
  make -f "$src/Makefile" -C "$src" O="$PWD" "$@"
}
