# The machines that builds run on: what Debian and GCC call them, and what a program for them looks like.
{
  x86_64-linux = {
    system = "x86_64-linux";
    debian = "amd64";
    triplet = "x86_64-linux-gnu";
    loader = "ld-linux-x86-64.so.2";
    elfMachine = "62";
    # The layer with GCC for AArch64, and where GCC has put its own files in it.
    targetGcc = "cross-gcc";
    targetGccPackage = "gcc-12-aarch64-linux-gnu:amd64";
    gccInternal = "lib/gcc-cross";
  };
  aarch64-linux = {
    system = "aarch64-linux";
    debian = "arm64";
    triplet = "aarch64-linux-gnu";
    loader = "ld-linux-aarch64.so.1";
    elfMachine = "183";
    targetGcc = "native-gcc";
    targetGccPackage = "gcc-12:arm64";
    gccInternal = "lib/gcc";
  };
}
