# Declarations of options.
{ types }:
rec {
  # Declares an option. All attributes may be left out:
  #   type         one of `types`; default `raw`
  #   default      the value without any definition
  #   defaultText  how documents show the default, where it depends on other options or on packages
  #   example      a value for documents
  #   description  what it is for: a sentence
  #   apply        function from the merged value to the one that `config` shows
  #   readOnly     whether it may be set once only
  #   internal     whether documents leave it out
  mkOption =
    { type ? types.raw, default ? null, defaultText ? null, example ? null, description ? null, apply ? null, readOnly ? false, internal ? false }@attrs:
    attrs // { _type = "option"; inherit type; };

  # A switch that is off.
  mkEnableOption = what: mkOption {
    type = types.bool;
    default = false;
    example = true;
    description = "Whether to enable ${what}.";
  };
}
