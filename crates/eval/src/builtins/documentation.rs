//! What `:doc` tells about builtin functions.

/// The documentation of a function.
#[derive(Debug, Clone, Copy)]
pub struct Documentation {
    /// Its name in `builtins`.
    pub name: &'static str,
    /// Its arguments, with blanks between.
    pub arguments: &'static str,
    /// What it does. Code is in backquotes.
    pub text: &'static str,
}

/// The documentation of the function that is called `name` in `builtins`.
#[must_use]
pub fn of(name: &str) -> Option<&'static Documentation> {
    let index = DOCUMENTATION
        .binary_search_by_key(&name, |documentation| documentation.name)
        .ok()?;
    Some(&DOCUMENTATION[index])
}

const fn doc(name: &'static str, arguments: &'static str, text: &'static str) -> Documentation {
    Documentation {
        name,
        arguments,
        text,
    }
}

/// By name.
#[rustfmt::skip]
static DOCUMENTATION: &[Documentation] = &[
    doc("abort", "message", "Ends the evaluation with an error that `tryEval` does not catch."),
    doc("add", "a b", "The sum of two numbers: `a + b`."),
    doc("addDrvOutputDependencies", "text", "The string `text`, which refers to a derivation, changed to refer to the derivation with all of its outputs and inputs."),
    doc("addErrorContext", "message value", "`value`; if evaluating it fails, the trace of the error has `message`."),
    doc("all", "predicate list", "Whether `predicate` holds for every element of `list`."),
    doc("any", "predicate list", "Whether `predicate` holds for some element of `list`."),
    doc("appendContext", "text context", "The string `text` with more context, given in the form in which `getContext` tells it."),
    doc("attrNames", "set", "The names of the attributes of `set`, in alphabetical order."),
    doc("attrValues", "set", "The values of the attributes of `set`, in the order of their names."),
    doc("baseNameOf", "path", "The last component of a path or of a string that looks like one."),
    doc("bitAnd", "a b", "The bitwise AND of two integers."),
    doc("bitOr", "a b", "The bitwise OR of two integers."),
    doc("bitXor", "a b", "The bitwise exclusive OR of two integers."),
    doc("break", "value", "`value`. In a debugger, the evaluation would pause here; xbuild has none."),
    doc("catAttrs", "name list", "The values of the attribute `name` of those sets in `list` that have it."),
    doc("ceil", "number", "The smallest integer that is not less than `number`."),
    doc("compareVersions", "a b", "-1, 0 or 1, as version `a` is older than, the same as, or newer than version `b`."),
    doc("concatLists", "lists", "The elements of all lists in `lists`, as one list."),
    doc("concatMap", "function list", "The lists that `function` gives for the elements of `list`, as one list."),
    doc("concatStringsSep", "separator list", "The strings of `list` in one string, with `separator` between them."),
    doc("convertHash", "args", "The hash `args.hash` in another notation: `args.toHashFormat` is `base16`, `nix32`, `base64` or `sri`. `args.hashAlgo` names the algorithm where the hash does not."),
    doc("deepSeq", "a b", "Evaluates `a` with everything inside of it, then gives `b`."),
    doc("derivation", "attrs", "Describes a build: a set with `drvPath`, `outPath` and the outputs. `attrs` has at least `name`, `system` and `builder`; every attribute becomes a variable of the builder's environment."),
    doc("derivationStrict", "attrs", "What `derivation` is made of: writes the store derivation at once, and gives its path and those of its outputs."),
    doc("dirOf", "path", "A path or string without its last component."),
    doc("div", "a b", "The quotient of two numbers; of integers, rounded towards zero."),
    doc("elem", "value list", "Whether `list` has an element equal to `value`."),
    doc("elemAt", "list index", "The element of `list` at `index`, counted from 0."),
    doc("fetchGit", "args", "The files of a Git repository at a revision, in the store. `args` is a URL, or a set with `url` and `rev`, `ref`, `submodules` and others."),
    doc("fetchMercurial", "args", "The files of a Mercurial repository at a revision, in the store."),
    doc("fetchTarball", "args", "The directory in an archive that is downloaded and unpacked into the store. `args` is a URL, or a set with `url`, `sha256` and `name`."),
    doc("fetchTree", "args", "A tree of files in the store, fetched as `args` says: a flake reference, or the set that one stands for."),
    doc("fetchurl", "args", "The path of a downloaded file in the store. `args` is a URL, or a set with `url`, `sha256` and `name`."),
    doc("filter", "predicate list", "The elements of `list` for which `predicate` holds."),
    doc("filterSource", "predicate path", "Copies a directory into the store, without what `predicate` refuses; it is called with a path and a type (`regular`, `directory`, `symlink`, `unknown`)."),
    doc("findFile", "entries name", "Looks `name` up in `entries`, a list like `nixPath`: what `<name>` means."),
    doc("flakeRefToString", "attrs", "A flake reference as a URL, from the set that `parseFlakeRef` makes of it."),
    doc("floor", "number", "The largest integer that is not greater than `number`."),
    doc("foldl'", "function start list", "Combines the elements of `list` from the left: `function` gets what it has so far, first `start`, and an element. Each step is evaluated at once."),
    doc("fromJSON", "text", "The value that a JSON text describes."),
    doc("fromTOML", "text", "The value that a TOML text describes."),
    doc("functionArgs", "function", "The names of the arguments that `function` takes in a set; each is `true` if it has a default."),
    doc("genList", "function length", "A list of `length` elements: `function` applied to 0, 1, 2 …"),
    doc("genericClosure", "args", "All sets that can be reached from those of the list `args.startSet` by the function `args.operator`, which gives a list of sets. Each has an attribute `key`; one of every key is kept."),
    doc("getAttr", "name set", "The attribute `name` of `set`: `set.${name}`."),
    doc("getContext", "text", "The context of a string: which store paths it refers to, and how."),
    doc("getEnv", "name", "The environment variable `name`, or an empty string. In pure evaluation always an empty string."),
    doc("getFlake", "reference", "The outputs of a flake, with its inputs and source."),
    doc("groupBy", "function list", "The elements of `list` in a set of lists, by the string that `function` gives for each."),
    doc("hasAttr", "name set", "Whether `set` has an attribute `name`: `set ? ${name}`."),
    doc("hasContext", "text", "Whether a string has context: whether it refers to store paths."),
    doc("hashFile", "algorithm path", "The hash of a file in base 16, by `md5`, `sha1`, `sha256`, `sha512` or `blake3`."),
    doc("hashString", "algorithm text", "The hash of a string in base 16, by `md5`, `sha1`, `sha256`, `sha512` or `blake3`."),
    doc("head", "list", "The first element of `list`."),
    doc("import", "path", "The value of the expression in a file; of a directory, in its `default.nix`. A file is evaluated once."),
    doc("intersectAttrs", "a b", "The attributes of `b` whose names `a` has, too."),
    doc("isAttrs", "value", "Whether `value` is a set."),
    doc("isBool", "value", "Whether `value` is `true` or `false`."),
    doc("isFloat", "value", "Whether `value` is a floating-point number."),
    doc("isFunction", "value", "Whether `value` is a function."),
    doc("isInt", "value", "Whether `value` is an integer."),
    doc("isList", "value", "Whether `value` is a list."),
    doc("isNull", "value", "Whether `value` is `null`."),
    doc("isPath", "value", "Whether `value` is a path."),
    doc("isString", "value", "Whether `value` is a string."),
    doc("length", "list", "The number of elements of `list`."),
    doc("lessThan", "a b", "Whether `a < b`, for numbers, strings, paths and lists of these."),
    doc("listToAttrs", "list", "A set with an attribute for each element of `list`, a set of `name` and `value`. Of equal names, the first counts."),
    doc("map", "function list", "The list of what `function` gives for each element of `list`."),
    doc("mapAttrs", "function set", "The set of what `function` gives for each name and value of `set`."),
    doc("match", "regex text", "If the POSIX extended regular expression `regex` matches all of `text`, the list of what its groups matched; else `null`."),
    doc("mul", "a b", "The product of two numbers: `a * b`."),
    doc("outputOf", "reference output", "The output `output` of a derivation that another derivation makes."),
    doc("parseDrvName", "text", "A package's name with version as a set of `name` and `version`: the version begins at the first dash before a digit."),
    doc("parseFlakeRef", "text", "A flake reference, given as a URL, as a set."),
    doc("partition", "predicate list", "A set of two lists: `right`, the elements of `list` for which `predicate` holds, and `wrong`, the others."),
    doc("path", "args", "Copies `args.path` into the store, with the name `args.name`, without what `args.filter` refuses, as a tree or (`recursive = false`) as a plain file; `args.sha256` is what its hash must be."),
    doc("pathExists", "path", "Whether there is a file or directory at `path`."),
    doc("placeholder", "output", "A text that is replaced by the path of the output `output` when the derivation is built."),
    doc("readDir", "path", "What is in a directory: a set of names with their types (`regular`, `directory`, `symlink`, `unknown`)."),
    doc("readFile", "path", "The contents of a file, as a string."),
    doc("readFileType", "path", "The type of a file: `regular`, `directory`, `symlink` or `unknown`."),
    doc("removeAttrs", "set names", "The set without the attributes in the list `names`."),
    doc("replaceStrings", "from to text", "The string with every occurrence of a string of the list `from` replaced by the one at the same place in `to`."),
    doc("scopedImport", "scope path", "As `import`, with the attributes of `scope` as variables in the file, which is evaluated anew."),
    doc("seq", "a b", "Evaluates `a`, then gives `b`."),
    doc("sort", "less list", "The elements of `list` in order: `less a b` says whether `a` comes before `b`. Equal ones stay in their order."),
    doc("split", "regex text", "The string cut at every match of the POSIX extended regular expression: the strings between, and for each match a list of what its groups matched."),
    doc("splitVersion", "text", "A version as a list of its components, as `compareVersions` looks at them."),
    doc("storePath", "path", "A store path that is in the store already, as a string that refers to it."),
    doc("stringLength", "text", "The length of a string in bytes."),
    doc("sub", "a b", "The difference of two numbers: `a - b`."),
    doc("substring", "start length text", "The bytes of a string from `start` (counted from 0), at most `length` of them; all the rest if `length` is -1."),
    doc("tail", "list", "The list without its first element."),
    doc("throw", "message", "Fails with an error, which `tryEval` catches."),
    doc("toFile", "name text", "Writes a string into a file `name` in the store, and gives its path."),
    doc("toJSON", "value", "The value as a JSON text."),
    doc("toPath", "text", "A string with an absolute path, in canonical form."),
    doc("toString", "value", "The value as a string: also numbers, Booleans (`true` is `1`), `null`, paths, lists, and sets with `__toString` or `outPath`."),
    doc("toXML", "value", "The value as an XML document."),
    doc("trace", "message value", "Prints `message` on stderr, then gives `value`."),
    doc("traceVerbose", "message value", "As `trace`, if the setting `trace-verbose` is on."),
    doc("tryEval", "value", "Evaluates `value` (not what is inside of it). A set of `success` and `value`; after a `throw` or a failed assertion both are `false`."),
    doc("typeOf", "value", "The type: `int`, `bool`, `string`, `path`, `null`, `set`, `list`, `lambda` or `float`."),
    doc("unsafeDiscardOutputDependency", "text", "The string, changed to refer to derivations only, not to their outputs."),
    doc("unsafeDiscardStringContext", "text", "The string without its context: it refers to no store path any more."),
    doc("unsafeGetAttrPos", "name set", "Where the attribute `name` of `set` is defined: a set of `file`, `line` and `column`, or `null`."),
    doc("warn", "message value", "Prints a warning on stderr, then gives `value`. With the setting `abort-on-warn`, fails."),
    doc("zipAttrsWith", "function list", "A set with all names of the sets in `list`: what `function` gives for a name and the list of its values."),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtins::TABLES;

    #[test]
    fn every_builtin_has_it() {
        assert!(DOCUMENTATION.is_sorted_by_key(|documentation| documentation.name));
        for builtin in TABLES.iter().copied().flatten() {
            // What has no arguments is a constant.
            if builtin.arity > 0 {
                let found = of(builtin.plain_name());
                assert!(found.is_some(), "{}", builtin.plain_name());
            }
        }
    }
}
