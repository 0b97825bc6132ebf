{ stdenv, source }:
stdenv.mkDerivation {
  pname = "zlib";
  inherit (source "zlib") version src;

  # A script of zlib's own, which knows no --host; it builds both the shared and the static library.
  dontAddPlatformFlags = true;
  preConfigure = "export CHOST=$triplet";

  meta = {
    description = "Compression library for the DEFLATE format";
    homepage = "https://zlib.net/";
    license = "Zlib";
  };
}
