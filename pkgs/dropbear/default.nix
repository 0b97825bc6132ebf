{ stdenv, source }:
stdenv.mkDerivation {
  pname = "dropbear";
  inherit (source "dropbear") version src;
  outputs = [ "out" "man" ];

  configureFlags = [
    "--enable-bundled-libtom"
    "--disable-zlib"
    # Records of logins, in files that nothing on an image reads.
    "--disable-lastlog"
    "--disable-utmp"
    "--disable-utmpx"
    "--disable-wtmp"
    "--disable-wtmpx"
    "--disable-loginfunc"
    "--disable-pututline"
    "--disable-pututxline"
  ];

  preConfigure = ''
    cat >localoptions.h <<EOF
    #define DEFAULT_PATH "/usr/bin:/bin:/usr/sbin:/sbin"
    #define DROPBEAR_PATH_SSH_PROGRAM "$out/bin/dbclient"
    #define DROPBEAR_SFTPSERVER 0
    EOF
  '';

  # One program, and links to it.
  makeFlags = [ "MULTI=1" ];
  preBuild = ''makeFlagsArray=("PROGRAMS=dropbear dbclient dropbearkey dropbearconvert scp")'';
  postInstall = ''
    ln -s dbclient "$out/bin/ssh"
    rm -f "$man/share/man/man1/dropbearmulti.1"
  '';

  meta = {
    description = "Small SSH server and client";
    homepage = "https://matt.ucc.asn.au/dropbear/dropbear.html";
    license = "MIT";
    mainProgram = "dropbear";
  };
}
