# The configuration of one of the modules beside this file, all of it. Those named image-… become part of an image.
file:
let
  root = ../../..;
  lib = import (root + "/modules/lib");
  isImage = builtins.match ".*/image-[^/]*" (toString file) != null;
  config =
    if isImage then
      (import root).lib.image { name = "test"; board = "nxp-imx8mp-evk"; modules = [ file ]; }
    else (lib.evalModules { modules = [ file ]; }).config;
in
if isImage then builtins.seq config.rootTree.drvPath config.drvPath
else builtins.deepSeq (if config ? assertions then lib.checkAssertions config config else config) "no error"
