# `derivation`: what `derivationStrict` computes, as one set for each output, every one of which contains all the others.
#
# Programs see where its attributes are defined: `builtins.unsafeGetAttrPos` and `nix-instantiate --xml` tell it, and
# errors show it. So each stands in the line and column where stock Nix 2.34 has it:
#
#   line 30, column 1     the function
#   line 31, column 3     the formal `outputs`
#   line 37, column 12    the call of `derivationStrict`
#   line 43, column 7     `all`
#   line 44, column 15    `drvAttrs`
#   line 49, column 5     the value of an output
#   line 50, column 7     `outPath`
#   line 51, column 7     `drvPath`
#   line 52, column 7     `type`
#   line 53, column 15    `outputName`
#
# A test compares them. The lines that follow are empty for that reason alone.












drvAttrs@{
  outputs ? [ "out" ],
  ...
}:
let

  # Evaluated once, whatever number of outputs is looked at.
  strict = derivationStrict drvAttrs;

  shared =
    drvAttrs
    // builtins.listToAttrs perOutput
    // {
      all = map (output: output.value) perOutput;
      inherit drvAttrs;
    };

  perOutput = map (outputName: {
    name = outputName;
    value = shared // {
      outPath = builtins.getAttr outputName strict;
      drvPath = strict.drvPath;
      type = "derivation";
      inherit outputName;
    };
  }) outputs;
in
(builtins.head perOutput).value
