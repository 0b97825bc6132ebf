# What a definition may be wrapped in: a condition, a union, a priority, a place in the order. Plain data with a `_type`;
# evaluate.nix unwraps it.
let
  mkOverride = priority: content: { _type = "override"; inherit priority content; };
  mkOrder = order: content: { _type = "order"; inherit order content; };
in
rec {
  # The content counts only if the condition holds. The condition is not looked at before the option's value is needed.
  mkIf = condition: content: { _type = "if"; inherit condition content; };
  # All of these, as if each stood in a module of its own.
  mkMerge = contents: { _type = "merge"; inherit contents; };

  # Of the definitions of an option those with the smallest number count; the others are ignored.
  inherit mkOverride;
  priorities = { force = 50; plain = 100; default = 1000; optionDefault = 1500; };
  mkForce = mkOverride priorities.force;
  mkDefault = mkOverride priorities.default;
  mkOptionDefault = mkOverride priorities.optionDefault;

  # Definitions that are joined (lists, lines) are sorted by this number; those that have none count as 1000.
  inherit mkOrder;
  plainOrder = 1000;
  mkBefore = mkOrder 500;
  mkAfter = mkOrder 1500;
}
