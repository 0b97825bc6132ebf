# `derivation`: what `derivationStrict` computes, as one set for each output, every one of which contains all the others.
drvAttrs@{ outputs ? [ "out" ], ... }:
let
  strict = derivationStrict drvAttrs;
  perOutput = map (name: { inherit name; value = withOutput name; }) outputs;
  shared = drvAttrs // builtins.listToAttrs perOutput // {
    all = map (output: output.value) perOutput;
    inherit drvAttrs;
  };
  withOutput = outputName: shared // {
    outPath = builtins.getAttr outputName strict;
    drvPath = strict.drvPath;
    type = "derivation";
    inherit outputName;
  };
in
(builtins.head perOutput).value
