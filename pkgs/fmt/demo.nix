# A C++ program linked to the shared libfmt: formatting, exceptions across libraries, threads.
{ stdenv, fmt }:
stdenv.mkDerivation {
  pname = "fmt-demo";
  inherit (fmt) version;
  src = ./demo.cc;

  buildInputs = [ fmt ];
  dontUnpack = true;
  buildPhase = ''
    runHook preBuild
    cp "$src" demo.cc
    $CXX -std=c++20 -O2 -Wall -Wextra -Werror -o fmt-demo demo.cc -lfmt -pthread
    runHook postBuild
  '';
  installPhase = ''
    runHook preInstall
    install -Dm555 fmt-demo "$out/bin/fmt-demo"
    runHook postInstall
  '';

  meta = {
    description = "Shows that programs using fmt work";
    license = "MIT";
    mainProgram = "fmt-demo";
  };
}
