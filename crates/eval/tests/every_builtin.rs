//! Every builtin with every combination of arguments from a pool of values, compared with stock Nix: types that are
//! wrong, and those that are right.

#[path = "common/outcomes.rs"]
mod outcomes;

use std::fmt::Write as _;

use outcomes::Expressions;

/// Builtins that reach outside, or whose result is another each time.
const NOT_COMPARED: &[&str] = &[
    "builtins",
    "currentTime",
    "fetchGit",
    "fetchMercurial",
    "fetchTarball",
    "fetchTree",
    "fetchurl",
    "fetchClosure",
    "getFlake",
    "parseFlakeRef",
    "flakeRefToString",
    "exec",
    "importNative",
    "nixPath",
];

const POOL: &[&str] = &[
    "0",
    "(-3)",
    "1.5",
    "\"\"",
    "\"b1.2\"",
    "\"${builtins.toFile \"x\" \"y\"}\"",
    "true",
    "null",
    "[ ]",
    "[ 2 1 ]",
    "[ \"b1.2\" \"a\" ]",
    "[ [ 1 ] { name = \"n\"; value = 3; } ]",
    "{ }",
    "{ a = 1; b1 = { a = 2; }; }",
    "./files/hello.txt",
    "(x: x)",
    "(x: y: [ x y ])",
    "builtins.lessThan",
    "(throw \"thrown\")",
];

/// The arguments that a builtin may get, fewer for those that take three.
fn arguments(count: usize) -> Vec<String> {
    let pool: Vec<&str> = if count < 3 {
        POOL.to_vec()
    } else {
        POOL.iter().copied().step_by(2).collect()
    };
    let mut all = vec![String::new()];
    for _ in 0..count {
        all = all
            .iter()
            .flat_map(|before| pool.iter().map(move |arg| format!("{before} {arg}")))
            .collect();
    }
    all
}

#[test]
fn every_builtin_with_every_kind_of_argument() {
    let names = Expressions::new(&["builtins.attrNames builtins"], &[]).theirs();
    let names = names[0].clone().expect("the names of builtins");
    let mut expressions = Vec::new();
    for name in names.split_whitespace().map(|name| name.trim_matches('"')) {
        if ["[", "]"].contains(&name) || NOT_COMPARED.contains(&name) {
            continue;
        }
        // How many arguments it takes: stock Nix says so where the evaluator cannot be asked.
        let count = match name {
            "foldl'" | "replaceStrings" | "substring" => 3,
            _ => 2,
        };
        for count in 1..=count {
            for arguments in arguments(count) {
                expressions.push(format!("builtins.{name}{arguments}"));
            }
        }
    }
    let files = Expressions::new(&expressions, &[]);
    let (ours, theirs) = (files.ours(), files.theirs());
    let mut different = String::new();
    for ((expression, our), their) in expressions.iter().zip(&ours).zip(&theirs) {
        if our != their {
            let _ = writeln!(
                different,
                "{expression}\n  nix:    {their:?}\n  xbuild: {our:?}"
            );
        }
    }
    assert!(
        different.is_empty(),
        "of {} expressions differ:\n{different}",
        expressions.len()
    );
}
