{ stdenv, source, tcl }:
stdenv.mkDerivation {
  pname = "sqlite";
  inherit (source "sqlite3") version src;
  outputs = [ "out" "dev" "man" ];

  # Its sources are put into one file by scripts in Tcl.
  nativeBuildInputs = [ tcl ];
  configureFlags = [
    "CFLAGS=-O2"
    "--disable-tcl"
    "--disable-readline"
    "--enable-fts5"
    "--enable-math"
    "--enable-rtree"
    "--enable-session"
  ];

  # The makefile's program has a second copy of the library in it.
  buildFlags = [ "libsqlite3.la" "shell.c" "sqlite3.h" "sqlite3.pc" ];
  postBuild = ''
    "$CC" -O2 -DHAVE_UNISTD_H=1 -I. shell.c -o sqlite3 -L.libs -lsqlite3
  '';
  installTargets = "lib_install";
  postInstall = ''
    install -Dm555 sqlite3 "$out/bin/sqlite3"
    install -Dm444 -t "$dev/include" sqlite3.h src/sqlite3ext.h
    install -Dm444 -t "$dev/lib/pkgconfig" sqlite3.pc
    install -Dm444 -t "$man/share/man/man1" sqlite3.1
  '';

  meta = {
    description = "SQL database in a file, as a library and a program";
    homepage = "https://sqlite.org/";
    license = "blessing";
    mainProgram = "sqlite3";
  };
}
