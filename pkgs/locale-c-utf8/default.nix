# The locale C.UTF-8: sorting and formats as in C, and UTF-8 characters. A program finds it with LOCPATH=…/lib/locale and
# LANG=C.UTF-8 (or LC_CTYPE). Its files are data, the same for all machines of one byte order and glibc version.
{ stdenv, lock }:
assert lock.version "libc-bin:amd64" == lock.version "libc6:arm64";
stdenv.mkDerivation {
  pname = "locale-c-utf8";
  version = lock.version "libc6:arm64";

  dontUnpack = true;
  dontConfigure = true;
  dontBuild = true;
  # From the tools of the build: the layer `shell` has libc-bin.
  installPhase = ''
    runHook preInstall
    mkdir -p "$out/lib/locale"
    cp -r --no-preserve=mode,timestamps /usr/lib/locale/C.utf8 "$out/lib/locale/C.utf8"
    runHook postInstall
  '';

  meta = {
    description = "The locale C.UTF-8, for programs that want to show UTF-8 characters";
    homepage = "https://www.gnu.org/software/libc/";
    license = "LGPL-2.1-or-later";
  };
}
