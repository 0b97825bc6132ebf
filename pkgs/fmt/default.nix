{ stdenv, source, cmake, ninja }:
stdenv.mkDerivation {
  pname = "fmt";
  inherit (source "fmtlib") version src;

  nativeBuildInputs = [ cmake ninja ];
  cmakeFlags = [ "-DBUILD_SHARED_LIBS=ON" "-DFMT_DOC=OFF" "-DFMT_TEST=OFF" ];

  meta = {
    description = "Formatting library for C++";
    homepage = "https://fmt.dev/";
    license = "MIT";
  };
}
