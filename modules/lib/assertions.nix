# Conditions that a whole configuration must meet. The options `assertions` and `warnings` are declared by a module like any
# other; this gives them their effect.
{ }:
{
  # The value, once all assertions hold; each warning is printed to the trace.
  checkAssertions = config: value:
    let
      failed = map (item: item.message) (builtins.filter (item: !item.assertion) config.assertions);
      warned = builtins.foldl' (result: warning: builtins.trace "warning: ${warning}" result) value config.warnings;
    in
    if failed == [ ] then warned
    else throw "The configuration is not consistent:\n${builtins.concatStringsSep "\n" (map (message: "  - ${message}") failed)}";
}
