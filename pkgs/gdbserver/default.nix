# The part of gdb that runs on the board; the debugger itself runs elsewhere.
{ stdenv, source }:
stdenv.mkDerivation {
  pname = "gdbserver";
  inherit (source "gdb") version src;
  outputs = [ "out" "man" ];

  configureFlags = [
    "CFLAGS=-O2"
    "CXXFLAGS=-O2"
    "MAKEINFO=true"
    "--disable-binutils"
    "--disable-gas"
    "--disable-gdb"
    "--disable-gprof"
    "--disable-ld"
    "--disable-sim"
    "--disable-inprocess-agent"
    "--disable-nls"
    # The C++ run time within the program: it is needed for nothing else, and ten times its size.
    "--with-static-standard-libraries"
  ];
  buildFlags = [ "all-gdbserver" ];
  installTargets = "install-gdbserver";

  postInstall = ''mkdir -p "$man"'';

  meta = {
    description = "Lets a gdb on another machine debug programs of this one";
    homepage = "https://www.sourceware.org/gdb/";
    license = "GPL-3.0-or-later";
    mainProgram = "gdbserver";
  };
}
