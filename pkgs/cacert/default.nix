# The certificates by which programs know whom to trust on the network: Mozilla's, in one file.
{ stdenv, lock }:
stdenv.mkDerivation {
  pname = "cacert";
  version = lock.version "ca-certificates:amd64";
  srcs = lock.layer "ca-certificates";

  unpackPhase = ''
    mkdir certificates
    cd certificates
    "$AR" p $srcs data.tar.xz | tar --extract --xz --no-same-owner
  '';
  dontConfigure = true;
  dontBuild = true;
  installPhase = ''
    runHook preInstall
    mkdir -p "$out/etc/ssl/certs"
    files=(usr/share/ca-certificates/mozilla/*.crt)
    ((''${#files[@]} > 100)) || die "the package has only ''${#files[@]} certificates"
    cat "''${files[@]}" >"$out/etc/ssl/certs/ca-bundle.crt"
    ln -s ca-bundle.crt "$out/etc/ssl/certs/ca-certificates.crt"
    runHook postInstall
  '';

  meta = {
    description = "Mozilla's certificates of authorities, in one file";
    homepage = "https://wiki.mozilla.org/CA";
    license = "MPL-2.0";
  };
}
