{ stdenv, source, ncurses, pkg-config }:
stdenv.mkDerivation {
  pname = "nano";
  inherit (source "nano") version src;
  outputs = [ "out" "man" ];

  nativeBuildInputs = [ pkg-config ];
  buildInputs = [ ncurses ];
  configureFlags = [ "CFLAGS=-O2" "--enable-utf8" "--disable-libmagic" "--disable-nls" "--disable-speller" ];

  meta = {
    description = "Small text editor";
    homepage = "https://nano-editor.org/";
    license = "GPL-3.0-or-later";
    mainProgram = "nano";
  };
}
