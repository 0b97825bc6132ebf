# The device trees of a board: `$out/NAME.dtb`. They come from the kernel's source and depend on none of its options.
{ stdenv, source, version, compiler, tools, board }:
stdenv.mkDerivation {
  pname = "device-trees-${board.name}";
  inherit version compiler;
  inherit (board) deviceTrees;
  # The validator compares the trees' own with it.
  xbuildCompatible = board.compatible;
  src = source;
  nativeBuildInputs = [ tools ];
  environment = ./environment.sh;
  dontUnpack = true;

  configurePhase = ''
    . "$environment"
    kbuild allnoconfig
  '';
  buildPhase = ''
    inParallel kbuild $deviceTrees
  '';
  installPhase = ''
    for file in $deviceTrees; do install -Dm444 "arch/arm64/boot/dts/$file" -t "$out"; done
  '';
  dontFixup = true;

  meta = {
    description = "Device trees of ${board.description}";
    license = "GPL-2.0-only WITH Linux-syscall-note";
  };
}
