{ stdenv, source }:
stdenv.mkDerivation {
  pname = "libevent";
  inherit (source "libevent") version src;
  outputs = [ "out" "dev" ];

  configureFlags = [ "CFLAGS=-O2" "--disable-openssl" "--disable-samples" "--disable-libevent-regress" ];

  # A Python script.
  postInstall = ''rm -r "$out/bin"'';

  meta = {
    description = "Library for programs that wait for many things at once";
    homepage = "https://libevent.org/";
    license = "BSD-3-Clause";
  };
}
