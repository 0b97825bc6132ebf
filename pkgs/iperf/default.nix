{ stdenv, source }:
stdenv.mkDerivation {
  pname = "iperf";
  inherit (source "iperf") version src;
  outputs = [ "out" "man" ];

  # A file for Windows alone, which the archive's maintainers took out.
  postPatch = "touch src/service.c";

  configureFlags = [
    # Configure can only find these out by running a program.
    "ac_cv_func_malloc_0_nonnull=yes"
    "CFLAGS=-O2"
    "CXXFLAGS=-O2"
    "LDFLAGS=-static-libstdc++"
  ];

  meta = {
    description = "Measures the throughput of a network";
    homepage = "https://sourceforge.net/projects/iperf2/";
    license = "NCSA";
    mainProgram = "iperf";
  };
}
