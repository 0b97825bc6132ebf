{ stdenv, source, zlib }:
stdenv.mkDerivation {
  pname = "pigz";
  inherit (source "pigz") version src;

  buildInputs = [ zlib ];
  makeFlags = [ "CC=${stdenv.cc.prefix}gcc" ];
  buildFlags = [ "pigz" ];

  # The makefile has no install target.
  installPhase = ''
    runHook preInstall
    install -Dm555 pigz "$out/bin/pigz"
    ln -s pigz "$out/bin/unpigz"
    install -Dm444 pigz.1 "$out/share/man/man1/pigz.1"
    ln -s pigz.1 "$out/share/man/man1/unpigz.1"
    runHook postInstall
  '';

  meta = {
    description = "gzip that uses all cores";
    homepage = "https://zlib.net/pigz/";
    license = "Zlib";
    mainProgram = "pigz";
  };
}
