{ stdenv, source, cacert, mbedtls, pkg-config, zlib }:
stdenv.mkDerivation {
  pname = "curl";
  inherit (source "curl") version src;
  outputs = [ "out" "dev" "man" ];

  nativeBuildInputs = [ pkg-config ];
  buildInputs = [ mbedtls zlib ];
  # The linker looks there for what libcurl.so needs, when it links the program with that.
  preConfigure = "NIX_LDFLAGS+=' -rpath-link ${mbedtls}/lib -rpath-link ${zlib}/lib'";
  configureFlags = [
    "CFLAGS=-O2"
    "--with-mbedtls"
    "--with-ca-bundle=${cacert}/etc/ssl/certs/ca-bundle.crt"
    "--with-zlib"
    "--without-brotli"
    "--without-libidn2"
    "--without-libpsl"
    "--without-librtmp"
    "--without-nghttp2"
    "--without-zstd"
    "--disable-dict"
    "--disable-gopher"
    "--disable-imap"
    "--disable-ldap"
    "--disable-ldaps"
    "--disable-libcurl-option"
    "--disable-manual"
    "--disable-pop3"
    "--disable-rtsp"
    "--disable-smb"
    "--disable-smtp"
    "--disable-telnet"
    "--disable-tftp"
    "--enable-websockets"
  ];

  postInstall = ''moveTo "$dev" bin/curl-config'';

  meta = {
    description = "Transfers files by URL: HTTPS, FTP, MQTT, WebSockets";
    homepage = "https://curl.se/";
    license = "curl";
    mainProgram = "curl";
  };
}
