{ stdenv, source, terminfo }:
stdenv.mkDerivation {
  pname = "ncurses";
  inherit (source "ncurses") version src;
  outputs = [ "out" "dev" ];

  # Has `tic`, which compiles the terminal descriptions.
  nativeBuildInputs = [ terminfo ];
  configureFlags = [
    "--with-shared"
    "--without-normal"
    "--without-debug"
    "--without-ada"
    "--without-cxx"
    "--without-cxx-binding"
    "--without-manpages"
    "--without-progs"
    "--without-tests"
    "--enable-widec"
    "--enable-overwrite"
    "--enable-pc-files"
    "--disable-stripping"
    "--disable-db-install"
    "--with-build-cc=gcc"
    "--with-tic-path=/usr/bin/tic"
    "--with-infocmp-path=/usr/bin/infocmp"
  ];
  preConfigure = ''
    configureFlags+=" --with-pkg-config-libdir=$dev/lib/pkgconfig --with-default-terminfo-dir=$out/share/terminfo"
    configureFlags+=" --with-terminfo-dirs=/etc/terminfo:$out/share/terminfo"
  '';

  # What terminals on a board's serial line, console and ssh call themselves.
  terminals = [
    "alacritty"
    "ansi"
    "dumb"
    "foot"
    "linux"
    "linux-16color"
    "rxvt"
    "rxvt-256color"
    "screen"
    "screen-256color"
    "tmux"
    "tmux-256color"
    "vt100"
    "vt102"
    "vt220"
    "xterm"
    "xterm-256color"
    "xterm-color"
  ];
  postInstall = ''
    mkdir -p "$out/share/terminfo"
    tic -x -o "$out/share/terminfo" -e "''${terminals// /,}" misc/terminfo.src
    rm -rf "$out"/share/tabset "$out"/lib/terminfo
    # For builds, where everything calls the wide library by its plain name as well.
    mkdir -p "$dev/bin"
    mv "$out"/bin/*-config "$dev/bin"
    sed -i '1s,^#!.*,#!/bin/sh,' "$dev"/bin/*-config
    rmdir "$out/bin"
    for name in ncurses curses tinfo; do ln -s libncursesw.so "$out/lib/lib$name.so"; done
    for name in form menu panel; do ln -s "lib''${name}w.so" "$out/lib/lib$name.so"; done
  '';

  meta = {
    description = "Library for text user interfaces, with the descriptions of common terminals";
    homepage = "https://invisible-island.net/ncurses/";
    license = "X11-distribute-modifications-variant";
  };
}
