{ stdenv, source }:
stdenv.mkDerivation {
  pname = "strace";
  inherit (source "strace") version src;
  outputs = [ "out" "man" ];

  configureFlags = [
    "CFLAGS=-O2"
    # Decoders for programs of 32 bits, and the kernel headers that come with the source.
    "--disable-mpers"
    "--enable-bundled=yes"
    "--without-libdw"
    "--without-libunwind"
  ];

  # A Perl script.
  postInstall = ''rm -f "$out/bin/strace-graph"'';

  meta = {
    description = "Shows the system calls of a program";
    homepage = "https://strace.io/";
    license = "LGPL-2.1-or-later";
    mainProgram = "strace";
  };
}
