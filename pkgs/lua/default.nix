{ stdenv, source }:
stdenv.mkDerivation {
  pname = "lua";
  inherit (source "lua5.4") version src;
  outputs = [ "out" "dev" "man" ];

  makeFlags = [ "PLAT=linux" ];
  preBuild = ''
    makeFlagsArray=(
      "CC=$CC -std=gnu99" "AR=$AR rcu" "RANLIB=$RANLIB"
      "INSTALL_TOP=$out" "INSTALL_INC=$dev/include" "INSTALL_LIB=$dev/lib" "INSTALL_MAN=$man/share/man/man1"
    )
  '';
  postInstall = ''
    rm -r "$out/lib" "$out/share"
    mkdir -p "$dev/lib/pkgconfig"
    cat >"$dev/lib/pkgconfig/lua.pc" <<EOF
    Name: Lua
    Description: An extensible extension language
    Version: $version
    Libs: -L$dev/lib -llua -lm
    Cflags: -I$dev/include
    EOF
    ln -s lua.pc "$dev/lib/pkgconfig/lua5.4.pc"
  '';

  meta = {
    description = "Lua, a small language for scripts and for extending programs";
    homepage = "https://www.lua.org/";
    license = "MIT";
    mainProgram = "lua";
  };
}
