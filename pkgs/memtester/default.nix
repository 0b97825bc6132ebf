{ stdenv, source }:
stdenv.mkDerivation {
  pname = "memtester";
  inherit (source "memtester") version src;
  outputs = [ "out" "man" ];

  # The makefile asks the build machine what it is.
  buildPhase = ''
    runHook preBuild
    "$CC" -O2 -DPOSIX -D_POSIX_C_SOURCE=200809L -D_FILE_OFFSET_BITS=64 -DTEST_NARROW_WRITES -o memtester memtester.c tests.c
    runHook postBuild
  '';
  installPhase = ''
    runHook preInstall
    install -Dm555 -t "$out/bin" memtester
    install -Dm444 -t "$man/share/man/man8" memtester.8
    runHook postInstall
  '';

  meta = {
    description = "Tests memory for faults";
    homepage = "https://pyropus.ca./software/memtester/";
    license = "GPL-2.0-only";
    mainProgram = "memtester";
  };
}
