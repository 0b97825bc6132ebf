//! The names that the evaluator itself looks for, interned once. One that is not in [`FIRST`] must not be here: Nix makes its symbol only
//! where it is used.

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

/// The names that come before all others, in Nix's order: what the evaluator looks for, what the global scope has, and what the
/// expression behind `derivation` names. The attributes of a set are evaluated, where all of them are, in
/// the order in which their names were seen first: which failure of several is told depends on it.
#[rustfmt::skip]
const FIRST: &[&str] = &[
    "outPath", "drvPath", "type", "meta", "name", "value", "system", "__overrides", "outputs", "outputName",
    "__ignoreNulls", "file", "line", "column", "__functor", "__toString", "right", "wrong", "__structuredAttrs",
    "__json", "allowedReferences", "allowedRequisites", "disallowedReferences", "disallowedRequisites", "maxSize",
    "maxClosureSize", "builder", "args", "__contentAddressed", "__impure", "outputHash", "outputHashAlgo",
    "outputHashMode", "recurseForDerivations", "description", "self", "", "startSet", "operator", "key", "path",
    "prefix", "outputSpecified", "__sub", "__lessThan", "__mul", "__div", "or", "__findFile", "__nixPath", "body",
    "builtins", "true", "false", "null", "__currentTime", "currentTime", "__currentSystem", "currentSystem",
    "__nixVersion", "nixVersion", "__storeDir", "storeDir", "__langVersion", "langVersion", "__traceVerbose",
    "traceVerbose", "nixPath", "scopedImport", "import", "__typeOf", "typeOf", "isNull", "__isFunction", "isFunction",
    "__isInt", "isInt", "__isFloat", "isFloat", "__isString", "isString", "__isBool", "isBool", "__isPath", "isPath",
    "__genericClosure", "genericClosure", "break", "abort", "throw", "__addErrorContext", "addErrorContext", "__ceil",
    "ceil", "__floor", "floor", "__tryEval", "tryEval", "__getEnv", "getEnv", "__seq", "seq", "__deepSeq", "deepSeq",
    "__trace", "trace", "__warn", "warn", "derivationStrict", "placeholder", "__toPath", "toPath", "__storePath",
    "storePath", "__pathExists", "pathExists", "baseNameOf", "dirOf", "__readFile", "readFile", "findFile",
    "__hashFile", "hashFile", "__readFileType", "readFileType", "__readDir", "readDir", "__toXML", "toXML",
    "__toJSON", "toJSON", "__fromJSON", "fromJSON", "__toFile", "toFile", "__filterSource", "filterSource", "__path",
    "__attrNames", "attrNames", "__attrValues", "attrValues", "__getAttr", "getAttr", "__unsafeGetAttrPos",
    "unsafeGetAttrPos", "__hasAttr", "hasAttr", "__isAttrs", "isAttrs", "removeAttrs", "__listToAttrs", "listToAttrs",
    "__intersectAttrs", "intersectAttrs", "__catAttrs", "catAttrs", "__functionArgs", "functionArgs", "__mapAttrs",
    "mapAttrs", "__zipAttrsWith", "zipAttrsWith", "__isList", "isList", "__elemAt", "elemAt", "__head", "head",
    "__tail", "tail", "map", "__filter", "filter", "__elem", "elem", "__concatLists", "concatLists", "__length",
    "length", "__foldl'", "foldl'", "__any", "any", "__all", "all", "__genList", "genList", "__sort", "sort",
    "__partition", "partition", "__groupBy", "groupBy", "__concatMap", "concatMap", "__add", "add", "sub", "mul",
    "div", "__bitAnd", "bitAnd", "__bitOr", "bitOr", "__bitXor", "bitXor", "lessThan", "toString", "__substring",
    "substring", "__stringLength", "stringLength", "__hashString", "hashString", "__convertHash", "convertHash",
    "__match", "match", "__split", "split", "__concatStringsSep", "concatStringsSep", "__replaceStrings",
    "replaceStrings", "__parseDrvName", "parseDrvName", "__compareVersions", "compareVersions", "__splitVersion",
    "splitVersion", "__unsafeDiscardStringContext", "unsafeDiscardStringContext", "__hasContext", "hasContext",
    "__unsafeDiscardOutputDependency", "unsafeDiscardOutputDependency", "__addDrvOutputDependencies",
    "addDrvOutputDependencies", "__getContext", "getContext", "__appendContext", "appendContext", "fetchMercurial",
    "__fetchurl", "fetchurl", "fetchTarball", "fetchGit", "fromTOML", "__getFlake", "getFlake", "__parseFlakeRef",
    "parseFlakeRef", "__flakeRefToString", "flakeRefToString", "derivation", "strict", "drvAttrs", "commonAttrs",
    "outputsList", "x", "outputToAttrListElement",
];

known! {
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
    system = "system",
    to_string = "__toString",
    kind = "type",
    value = "value",
    wrong = "wrong",
}
