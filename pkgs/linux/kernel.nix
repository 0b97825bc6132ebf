# A kernel of a configuration.
{ stdenv, source, version, compiler, tools, config }:
stdenv.mkDerivation {
  pname = "linux";
  inherit version compiler config;
  src = source;
  nativeBuildInputs = [ tools ];
  environment = ./environment.sh;
  dontUnpack = true;
  outputs = [ "out" "dev" ];

  configurePhase = ''
    . "$environment"
    cp "$config" .config
    chmod u+w .config
  '';
  buildPhase = ''
    inParallel kbuild Image
    # The build asks Kconfig once more; a compiler that looks different to it would change the configuration unseen.
    cmp "$config" .config || die "the build changed the configuration"
  '';
  installPhase = ''
    install -Dm444 arch/arm64/boot/Image "$out/Image"
    install -Dm444 .config "$out/config"
    install -Dm444 System.map "$dev/System.map"
  '';
  dontStrip = true;
  disallowedReferences = [ source ];

  meta = {
    description = "Linux ${version} for AArch64";
    homepage = "https://www.kernel.org/";
    license = "GPL-2.0-only WITH Linux-syscall-note";
  };
}
