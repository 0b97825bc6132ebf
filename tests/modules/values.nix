# What the module system computes: name → { result; expected }. Both must be equal, and the same for stock Nix.
let
  lib = import ../../modules/lib;
  inherit (lib) evalModules mkOption mkIf mkMerge mkDefault mkForce mkOverride mkBefore mkAfter mkEnableOption types;

  # The configuration of these modules.
  config = modules: (evalModules { inherit modules; }).config;
  # The value of one option with these definitions.
  one = type: definitions: (config ([ { options.it = mkOption { inherit type; }; } ] ++ map (it: { inherit it; }) definitions)).it;
  fails = value: !(builtins.tryEval (builtins.deepSeq value value)).success;
  fits = type: value: !fails (one type [ value ]);
in
builtins.mapAttrs (_: pair: { result = builtins.elemAt pair 0; expected = builtins.elemAt pair 1; }) {
  # --- modules
  defaults = [ (config [ { options.a.b = mkOption { default = 1; }; } ]) { a.b = 1; } ];
  shorthand = [ (config [ { options.a = mkOption { }; } { a = 2; } ]) { a = 2; } ];
  function = [ (config [ ({ lib, ... }: { options.a = lib.mkOption { default = 3; }; }) ]).a 3 ];
  special-args = [ (evalModules { modules = [ ({ board, ... }: { options.a = mkOption { default = board; }; }) ]; specialArgs.board = "x"; }).config.a "x" ];
  other-options = [
    (config [
      ({ config, ... }: { options = { a = mkOption { }; b = mkOption { }; }; config.b = config.a + 1; })
      { a = 1; }
    ])
    { a = 1; b = 2; }
  ];
  # Conditions move inwards: that `b` depends on `a` does not make `a` depend on itself.
  condition-on-sibling = [
    (config [
      { options = { a = mkOption { default = true; }; b.c = mkOption { default = 0; }; }; }
      ({ config, ... }: { config = mkIf config.a { b.c = 1; }; })
    ])
    { a = true; b.c = 1; }
  ];
  condition-not-forced = [ (config [ { options = { a = mkOption { }; b = mkOption { default = 0; }; }; } (mkMerge [ { a = 1; } (mkIf (throw "forced") { b = 1; }) ]) ]).a 1 ];
  content-not-forced = [ (config [ { options.a = mkOption { default = 0; }; } { a = mkIf false (throw "forced"); } ]).a 0 ];
  imports-once = [ (config [ ./modules/list.nix ./modules/imports.nix ]).list [ "list" "cycle" "imports" ] ];
  imports-directory = [ (config [ ./modules ]).list [ "list" "cycle" "imports" "default" ] ];
  imports-inline = [ (config [ { imports = [ { options.a = mkOption { }; } ({ ... }: { a = 1; }) ]; } ]).a 1 ];
  nested-wrappers = [
    (config [ { options.a.b = mkOption { }; } { a = mkIf true (mkMerge [ (mkDefault { b = 1; }) (mkIf false { b = 3; }) { b = 2; } ]); } ]).a.b
    2
  ];
  options-seen = [ (config [ ({ options, ... }: { options = { a = mkOption { default = 1; }; b = mkOption { default = options.a.isDefined; }; }; }) ]).b true ];
  fixed-point-of-sets = [
    (config [
      ({ config, ... }: {
        options.users = mkOption { type = types.attrsOf (types.submodule { options.id = mkOption { type = types.int; }; }); };
        options.ids = mkOption { default = lib.mapAttrsToList (_: user: user.id) config.users; };
        config.users = { a.id = 1; b.id = config.users.a.id + 1; };
      })
    ]).ids
    [ 1 2 ]
  ];

  # --- priorities and order
  priority = [ (one types.int [ (mkDefault 1) 2 ]) 2 ];
  force = [ (one types.int [ 1 (mkForce 2) ]) 2 ];
  override = [ (one types.int [ (mkOverride 10 1) (mkForce 2) ]) 1 ];
  weaker-not-forced = [ (one types.int [ (mkDefault (throw "forced")) 2 ]) 2 ];
  default-not-forced = [ (config [ { options.a = mkOption { default = throw "forced"; }; } { a = 1; } ]).a 1 ];
  force-of-nothing = [ (one types.int [ 1 (mkForce (mkIf false 2)) ]) 1 ];
  force-of-two = [ (one (types.listOf types.int) [ [ 1 ] (mkForce (mkMerge [ [ 2 ] (mkDefault [ 3 ]) ])) ]) [ 2 3 ] ];
  default-yields = [ (config [ { options.a = mkOption { type = types.listOf types.int; default = [ 1 ]; }; } { a = [ 2 ]; } ]).a [ 2 ] ];
  default-joined = [ (config [ { options.a = mkOption { type = types.listOf types.int; default = [ 1 ]; }; } { a = lib.mkOptionDefault [ 2 ]; } ]).a [ 2 1 ] ];
  order = [ (one (types.listOf types.int) [ [ 2 ] (mkAfter [ 3 ]) (mkBefore [ 1 ]) ]) [ 1 2 3 ] ];
  order-of-modules = [ (one (types.listOf types.int) [ [ 1 ] [ 2 ] [ 3 ] ]) [ 1 2 3 ] ];
  ordered-lines = [ (one types.lines [ "b" (mkBefore "a") ]) "a\nb" ];
  inner-force = [ (one (types.attrsOf types.int) [ { a = 1; b = 1; } { a = mkForce 2; } ]) { a = 2; b = 1; } ];
  conditional-attribute = [ (one (types.attrsOf types.int) [ { a = mkIf false 1; b = mkIf true 2; } ]) { b = 2; } ];
  conditional-element = [ (one (types.listOf types.int) [ [ (mkIf false 1) 2 ] ]) [ 2 ] ];

  # --- types
  bool = [ (map (fits types.bool) [ true 1 "true" null ]) [ true false false false ] ];
  int = [ (map (fits types.int) [ 1 (-1) 1.0 "1" ]) [ true true false false ] ];
  between = [ (map (fits (types.ints.between 1 3)) [ 0 1 3 4 ]) [ false true true false ] ];
  positive = [ (map (fits types.ints.positive) [ 0 1 ]) [ false true ] ];
  unsigned = [ (map (fits types.ints.unsigned) [ (-1) 0 ]) [ false true ] ];
  port = [ (map (fits types.port) [ (-1) 0 65535 65536 "80" ]) [ false true true false false ] ];
  str = [ (map (fits types.str) [ "" 1 ./values.nix ]) [ true false false ] ];
  nonEmptyStr = [ (map (fits types.nonEmptyStr) [ "a" "" " \n" ]) [ true false false ] ];
  strMatching = [ (map (fits (types.strMatching "[a-z]+")) [ "ab" "Ab" "" ]) [ true false false ] ];
  path = [ (map (fits types.path) [ ./values.nix "/a" "a" 1 ]) [ true true false false ] ];
  package = [ (map (fits types.package) [ (derivation { name = "a"; system = "b"; builder = "c"; }) "/a" { } ]) [ true false false ] ];
  enum = [ (map (fits (types.enum [ "a" 1 ])) [ "a" 1 "b" ]) [ true true false ] ];
  nullOr = [ (map (one (types.nullOr types.int)) [ [ null ] [ 1 ] [ null null ] ]) [ null 1 null ] ];
  equal-definitions = [ (one types.int [ 1 1 ]) 1 ];
  lines = [ (one types.lines [ "a" "b" ]) "a\nb" ];
  separatedString = [ (one (types.separatedString ":") [ "a" "b" ]) "a:b" ];
  listOf = [ (fits (types.listOf types.int) [ 1 "a" ]) false ];
  list-empty = [ (one (types.listOf types.int) [ ]) [ ] ];
  attrsOf = [ (one (types.attrsOf (types.listOf types.int)) [ { a = [ 1 ]; } { a = [ 2 ]; b = [ 3 ]; } ]) { a = [ 1 2 ]; b = [ 3 ]; } ];
  attrs-empty = [ (one (types.attrsOf types.int) [ ]) { } ];
  attrs-not-package = [ (fits (types.attrsOf types.raw) (derivation { name = "a"; system = "b"; builder = "c"; })) false ];
  either = [ (map (one (types.either types.int types.str)) [ [ 1 ] [ "a" ] ]) [ 1 "a" ] ];
  either-mixed = [ (fails (one (types.either types.int types.str) [ 1 "a" ])) true ];
  oneOf = [ (map (fits (types.oneOf [ types.int types.bool types.str ])) [ 1 true "a" null ]) [ true true true false ] ];
  raw = [ (fails (one types.raw [ 1 1 ])) true ];
  anything = [ (one types.anything [ { a.b = 1; } { a.c = [ 2 ]; } ]) { a = { b = 1; c = [ 2 ]; }; } ];
  functionTo = [ (one (types.functionTo (types.listOf types.int)) [ (x: [ x ]) (x: [ (x + 1) ]) ] 1) [ 1 2 ] ];
  addCheck = [ (map (fits (types.addCheck types.int "that is even" (n: n / 2 * 2 == n))) [ 2 3 ]) [ true false ] ];
  submodule = [
    (one (types.submodule { options = { a = mkOption { default = 1; }; b = mkOption { default = 2; }; }; }) [ { b = 3; } ])
    { a = 1; b = 3; }
  ];
  submodule-undefined = [ (one (types.submodule { options.a = mkOption { default = 1; }; }) [ ]) { a = 1; } ];
  submodule-name = [
    (one (types.attrsOf (types.submodule ({ name, ... }: { options.a = mkOption { default = name; }; }))) [ { x = { }; } ])
    { x.a = "x"; }
  ];
  submodule-joined = [
    (one (types.submodule { options = { a = mkOption { }; l = mkOption { type = types.listOf types.int; }; }; }) [ { a = 1; l = [ 1 ]; } { l = [ 2 ]; } ])
    { a = 1; l = [ 1 2 ]; }
  ];
  submodule-module = [
    (one (types.submodule { options.a = mkOption { }; }) [ ({ config, ... }: { options.b = mkOption { default = config.a + 1; }; config.a = 1; }) ])
    { a = 1; b = 2; }
  ];
  submodule-in-list = [ (one (types.listOf (types.submodule { options.a = mkOption { default = 1; }; })) [ [ { } { a = 2; } ] ]) [ { a = 1; } { a = 2; } ] ];
  submodule-extended = [
    (config [
      { options.s = mkOption { type = types.attrsOf (types.submodule { options.a = mkOption { default = 1; }; }); }; }
      { options.s = mkOption { type = types.attrsOf (types.submodule { options.b = mkOption { default = 2; }; }); }; config.s.x.b = 3; }
    ]).s
    { x = { a = 1; b = 3; }; }
  ];

  # --- options
  enable = [ (config [ { options.it = mkEnableOption "it"; } ]).it false ];
  applied = [ (config [ { options.it = mkOption { type = types.int; apply = n: n + 1; }; config.it = 1; } ]).it 2 ];
  read-only = [ (config [ { options.it = mkOption { default = 1; readOnly = true; }; } { it = 2; } ]).it 2 ];
  is-defined = [
    (let inherit (evalModules { modules = [ { options = { a = mkOption { }; b = mkOption { default = 1; }; c = mkOption { }; }; config.c = 1; } ]; }) options;
     in builtins.mapAttrs (_: option: option.isDefined) options)
    { a = false; b = true; c = true; }
  ];
  assertions-hold = [ (lib.checkAssertions { assertions = [ { assertion = true; message = "no"; } ]; warnings = [ ]; } 1) 1 ];
  documentation = [
    (lib.optionsDoc {
      root = ./.;
      options = (evalModules {
        modules = [
          {
            _file = ./values.nix;
            options.a = mkOption { type = types.int; default = 1; description = "An a."; example = -2; };
            options.s = mkOption {
              type = types.attrsOf (types.submodule {
                options.b = mkOption { type = types.nullOr (types.listOf types.str); default = null; readOnly = true; };
              });
              default = { };
              defaultText = "see there";
            };
            options.hidden = mkOption { internal = true; };
          }
        ];
      }).options;
    })
    {
      a = { type = "int"; default = "1"; description = "An a."; example = "-2"; declared = [ "values.nix" ]; readOnly = false; };
      s = { type = "attrsOf submodule"; default = "see there"; description = null; example = null; declared = [ "values.nix" ]; readOnly = false; };
      "s.<name>.b" = { type = "nullOr (listOf str)"; default = "null"; description = null; example = null; declared = [ "values.nix" ]; readOnly = true; };
    }
  ];

  # --- collections
  optionals = [ [ (lib.optional true 1) (lib.optional false 1) (lib.optionals true [ 1 ]) (lib.optionals false [ 1 ]) ] [ [ 1 ] [ ] [ 1 ] [ ] ] ];
  splitString = [ (lib.splitString "." "a.b..c") [ "a" "b" "" "c" ] ];
  fixes = [ [ (lib.hasPrefix "a" "ab") (lib.hasPrefix "b" "ab") (lib.hasSuffix "b" "ab") (lib.hasSuffix "aab" "ab") (lib.removeSuffix ".nix" "a.nix") ] [ true false true false "a" ] ];
  escapeShellArgs = [ (lib.escapeShellArgs [ "a" "b c" "it's" "" 1 ]) "a 'b c' 'it'\\''s' '' 1" ];
  filterAttrs = [ (lib.filterAttrs (name: value: name == "a" || value == 2) { a = 1; b = 2; c = 3; }) { a = 1; b = 2; } ];
  attrByPath = [ [ (lib.attrByPath [ "a" "b" ] 0 { a.b = 1; }) (lib.attrByPath [ "a" "c" ] 0 { a.b = 1; }) (lib.attrByPath [ "a" "b" "c" ] 0 { a.b = 1; }) ] [ 1 0 0 ] ];
  unique = [ (lib.unique [ 1 2 1 ]) [ 1 2 ] ];
}
