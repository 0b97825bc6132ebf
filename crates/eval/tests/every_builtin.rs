//! Every builtin with every combination of arguments from a pool of values, compared with stock Nix: types that are
//! wrong, and those that are right.

#[path = "common/outcomes.rs"]
mod outcomes;

use std::fmt::Write as _;

use outcomes::{Expressions, agree};

/// Builtins that reach outside, or whose result is another each time.
const NOT_COMPARED: &[&str] = &[
    // In `nix repl` it is another.
    "break",
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

/// All lists of arguments of some length; from fewer values for two and for three.
fn arguments(count: usize) -> Vec<String> {
    let step = [1, 1, 2, 4][count];
    let pool: Vec<&str> = POOL.iter().copied().step_by(step).collect();
    let mut all = vec![String::new()];
    for place in 0..count {
        // Not the same values in each place.
        let pool = if step == 1 {
            &pool
        } else {
            &POOL[place..]
                .iter()
                .copied()
                .step_by(step)
                .collect::<Vec<_>>()
        };
        all = all
            .iter()
            .flat_map(|before| pool.iter().map(move |arg| format!("{before} {arg}")))
            .collect();
    }
    all
}

/// The builtins, and how many arguments they take, as stock Nix describes itself.
fn builtins() -> Vec<(String, usize)> {
    let output = Expressions::new::<&str>(&[], &[])
        .command("nix")
        .arg("__dump-language")
        .output()
        .expect("nix runs");
    let described: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("JSON of the language");
    let described = described.as_object().expect("a set of builtins");
    let mut found = Vec::new();
    for (name, about) in described {
        let arguments = about["args"].as_array().map_or(0, Vec::len);
        if arguments > 0
            && !NOT_COMPARED.contains(&name.as_str())
            && about["experimental-feature"].is_null()
        {
            found.push((name.clone(), arguments));
        }
    }
    assert!(found.len() > 90);
    found
}

#[test]
fn every_builtin_with_every_kind_of_argument() {
    let mut expressions = Vec::new();
    for (name, count) in builtins() {
        for arguments in arguments(count) {
            // That names the physical place of the store.
            if !(name == "readDir" && arguments.contains("toFile")) {
                expressions.push(format!("builtins.{name}{arguments}"));
            }
        }
    }
    let files = Expressions::new(&expressions, &[]);
    let (ours, theirs) = (files.ours(), files.theirs());
    let mut different = String::new();
    for ((expression, our), their) in expressions.iter().zip(&ours).zip(&theirs) {
        if !agree(our, their) {
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
