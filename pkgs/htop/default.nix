{ stdenv, source, autotools, ncurses }:
stdenv.mkDerivation {
  pname = "htop";
  inherit (source "htop") version src;
  outputs = [ "out" "man" ];

  nativeBuildInputs = [ autotools ];
  autoreconf = true;
  buildInputs = [ ncurses ];
  configureFlags = [ "--enable-unicode" "--disable-capabilities" "--disable-delayacct" "--disable-sensors" ];

  # A launcher and an icon for desktops.
  postInstall = ''rm -rf "$out"/share/{applications,icons,pixmaps}'';

  meta = {
    description = "Interactive viewer of processes";
    homepage = "https://htop.dev/";
    license = "GPL-2.0-or-later";
    mainProgram = "htop";
  };
}
