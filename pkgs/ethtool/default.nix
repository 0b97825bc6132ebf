{ stdenv, source, pkg-config }:
stdenv.mkDerivation {
  pname = "ethtool";
  inherit (source "ethtool") version src;
  outputs = [ "out" "man" ];

  nativeBuildInputs = [ pkg-config ];
  configureFlags = [ "CFLAGS=-O2" "--disable-netlink" "--without-bash-completion-dir" ];

  meta = {
    description = "Shows and sets the properties of network interfaces";
    homepage = "https://www.kernel.org/pub/software/network/ethtool/";
    license = "GPL-2.0-only";
    mainProgram = "ethtool";
  };
}
