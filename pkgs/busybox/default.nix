{ stdenv, source }:
stdenv.mkDerivation {
  pname = "busybox";
  inherit (source "busybox") version src;

  makeFlags = [ "ARCH=arm64" "CROSS_COMPILE=${stdenv.cc.prefix}" "HOSTCC=gcc" "V=1" ];

  # Options that differ from `make defconfig`; a value that Kconfig does not accept fails the build.
  config = [
    "CONFIG_STATIC=y"
    "CONFIG_INSTALL_APPLET_SYMLINKS=y"
    "CONFIG_INSTALL_NO_USR=y"
  ];
  configurePhase = ''
    runHook preConfigure
    make $makeFlags defconfig
    for option in $config; do
      sed -i -e "/^''${option%%=*}=/d" -e "/^# ''${option%%=*} is not set/d" .config
      echo "$option" >>.config
    done
    yes "" | make $makeFlags oldconfig >/dev/null || [ "''${PIPESTATUS[1]}" = 0 ]
    for option in $config; do
      grep -qx "$option" .config || die "Kconfig does not accept $option"
    done
    runHook postConfigure
  '';
  preInstall = ''makeFlags+=" CONFIG_PREFIX=$out"'';

  meta = {
    description = "The usual Unix tools in one static program";
    homepage = "https://busybox.net/";
    license = "GPL-2.0-only";
    mainProgram = "busybox";
  };
}
