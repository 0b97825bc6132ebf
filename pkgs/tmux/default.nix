{ stdenv, source, libevent, ncurses, parsers, pkg-config }:
stdenv.mkDerivation {
  pname = "tmux";
  inherit (source "tmux") version src;
  outputs = [ "out" "man" ];

  nativeBuildInputs = [ parsers pkg-config ];
  buildInputs = [ libevent ncurses ];
  configureFlags = [ "CFLAGS=-O2" "--disable-utf8proc" ];

  meta = {
    description = "Several terminals in one, which stay when the connection breaks";
    homepage = "https://tmux.github.io/";
    license = "ISC";
    mainProgram = "tmux";
  };
}
