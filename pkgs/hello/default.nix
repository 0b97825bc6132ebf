{ stdenv, source }:
stdenv.mkDerivation {
  pname = "hello";
  inherit (source "hello") version src;

  meta = {
    description = "GNU hello, which greets";
    homepage = "https://www.gnu.org/software/hello/";
    license = "GPL-3.0-or-later";
    mainProgram = "hello";
  };
}
