{ stdenv, source, cmake, ninja }:
stdenv.mkDerivation {
  pname = "mbedtls";
  inherit (source "mbedtls") version src;
  outputs = [ "out" "dev" ];

  nativeBuildInputs = [ cmake ninja ];
  cmakeFlags = [
    "-DENABLE_PROGRAMS=OFF"
    "-DENABLE_TESTING=OFF"
    "-DUSE_SHARED_MBEDTLS_LIBRARY=ON"
    "-DUSE_STATIC_MBEDTLS_LIBRARY=OFF"
  ];

  meta = {
    description = "TLS and cryptography for embedded systems";
    homepage = "https://www.trustedfirmware.org/projects/mbed-tls/";
    license = "Apache-2.0";
  };
}
