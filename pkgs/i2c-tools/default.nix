{ stdenv, source }:
stdenv.mkDerivation {
  pname = "i2c-tools";
  inherit (source "i2c-tools") version src;
  outputs = [ "out" "dev" "man" ];

  makeFlags = [ "BUILD_STATIC_LIB=0" ];
  # The parts left out are Perl scripts, for the memory modules of personal computers.
  preBuild = ''
    makeFlagsArray=("SRCDIRS=include lib tools" "PREFIX=$out" "incdir=$dev/include" "mandir=$man/share/man")
  '';

  meta = {
    description = "Looks at I2C buses and talks to their devices";
    homepage = "https://i2c.wiki.kernel.org/index.php/I2C_Tools";
    license = "GPL-2.0-or-later";
    mainProgram = "i2cdetect";
  };
}
