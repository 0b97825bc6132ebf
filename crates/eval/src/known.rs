//! The names that the evaluator itself looks for, interned once.

use xbuild_syntax::symbol::{Symbol, Symbols};

macro_rules! known {
    ($($field:ident = $name:literal),* $(,)?) => {
        /// Symbols of names with a meaning.
        #[derive(Debug, Clone, Copy)]
        pub struct Known {
            $(#[doc = concat!("`", $name, "`")] pub $field: Symbol,)*
        }

        impl Known {
            /// Interns them.
            pub fn new(symbols: &mut Symbols) -> Self {
                for name in FIRST {
                    symbols.intern(name.as_bytes());
                }
                Self { $($field: symbols.intern($name.as_bytes()),)* }
            }
        }
    };
}

/// The names that come before all others, in Nix's order. The attributes of a set are evaluated, where all of them are, in
/// the order in which their names were seen first: which failure of several is told depends on it.
const FIRST: &[&str] = &[
    "outPath",
    "drvPath",
    "type",
    "meta",
    "name",
    "value",
    "system",
    "__overrides",
    "outputs",
    "outputName",
    "__ignoreNulls",
    "file",
    "line",
    "column",
    "__functor",
    "__toString",
    "right",
    "wrong",
    "__structuredAttrs",
    "__json",
    "allowedReferences",
    "allowedRequisites",
    "disallowedReferences",
    "disallowedRequisites",
    "maxSize",
    "maxClosureSize",
    "builder",
    "args",
    "__contentAddressed",
    "__impure",
    "outputHash",
    "outputHashAlgo",
    "outputHashMode",
    "recurseForDerivations",
    "description",
    "self",
    "",
    "startSet",
    "operator",
    "key",
    "path",
    "prefix",
    "outputSpecified",
    "requiredSystemFeatures",
];

known! {
    all_outputs = "allOutputs",
    args = "args",
    builder = "builder",
    builtins = "builtins",
    content_addressed = "__contentAddressed",
    cur_pos_column = "column",
    cur_pos_file = "file",
    cur_pos_line = "line",
    derivation_type = "derivation",
    drv_path = "drvPath",
    functor = "__functor",
    ignore_nulls = "__ignoreNulls",
    impure = "__impure",
    meta = "meta",
    name = "name",
    out = "out",
    out_path = "outPath",
    output_hash = "outputHash",
    output_hash_algo = "outputHashAlgo",
    output_hash_mode = "outputHashMode",
    output_name = "outputName",
    output_specified = "outputSpecified",
    outputs = "outputs",
    overrides = "__overrides",
    path = "path",
    prefix = "prefix",
    recurse_for_derivations = "recurseForDerivations",
    right = "right",
    structured_attrs = "__structuredAttrs",
    success = "success",
    system = "system",
    to_string = "__toString",
    underscore_type = "_type",
    kind = "type",
    value = "value",
    wrong = "wrong",
}
