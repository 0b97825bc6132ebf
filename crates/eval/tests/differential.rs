//! The same expressions through this evaluator and through stock Nix: values, messages, derivations.

#[path = "common/oracle.rs"]
mod oracle;

use std::fmt::Write as _;

use oracle::Oracle;
use xbuild_eval::local_host::LocalHost;
use xbuild_eval::{Evaluator, Settings, stack};

/// The expressions of a corpus file: one a line, without blank lines and comments.
fn corpus(text: &'static str) -> Vec<&'static str> {
    text.lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .collect()
}

/// What `nix-instantiate --eval --strict` would print, or the bare message of the failure.
fn evaluate(text: &str) -> Result<String, String> {
    stack::with_big_stack(|| {
        let settings = Settings {
            system: "x86_64-linux".into(),
            ..Settings::default()
        };
        let mut ev = Evaluator::new(Box::new(LocalHost::new()), settings);
        // A leading blank, as the oracle gets it, since an expression may begin with a dash.
        let result = ev
            .eval_expr(&format!(" {text}"), std::path::Path::new("/"))
            .and_then(|value| {
                let value = ev.auto_call(value, &[])?;
                ev.print(value, true)
            });
        match result {
            Ok(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
            Err(error) => {
                // Rendering must work for every error.
                assert!(ev.render(&error, true).starts_with("error:"));
                Err(error.to_string())
            }
        }
    })
    .expect("a stack")
}

#[test]
fn values_are_those_of_nix() {
    let expressions = corpus(include_str!("corpus/values.txt"));
    let oracle = Oracle::find();
    let expected = oracle.evaluate_all(&expressions);
    let mut wrong = String::new();
    for (expression, expected) in expressions.iter().zip(&expected) {
        let found = evaluate(expression);
        if found.as_ref() != Ok(expected) {
            let _ = writeln!(
                wrong,
                "{expression}\n  nix:    {expected}\n  xbuild: {found:?}"
            );
        }
    }
    assert!(wrong.is_empty(), "different values:\n{wrong}");
}

#[test]
fn failures_are_those_of_nix() {
    let oracle = Oracle::find();
    let mut wrong = String::new();
    for expression in corpus(include_str!("corpus/failures.txt")) {
        let expected = oracle.failure(expression);
        let found = evaluate(expression);
        if found.as_ref().err().map(String::as_str) != Some(expected.as_str()) {
            let _ = writeln!(
                wrong,
                "{expression}\n  nix:    {expected}\n  xbuild: {found:?}"
            );
        }
    }
    assert!(wrong.is_empty(), "different failures:\n{wrong}");
}

#[test]
fn what_nix_refuses_is_refused() {
    let oracle = Oracle::find();
    for expression in corpus(include_str!("corpus/failures-worded.txt")) {
        oracle.failure(expression);
        assert!(evaluate(expression).is_err(), "{expression}");
    }
}

/// A failure among several attributes is that of the name that was seen first: names that every evaluation knows come first, in an
/// order of their own, then those of the program.
#[test]
fn names_are_in_the_order_of_nix() {
    let own = ["zzz", "success", "out", "_type", "version"];
    let settings = Settings::default();
    let ev = Evaluator::new(Box::new(LocalHost::new()), settings);
    let known = ev.symbols.names().iter();
    let known: Vec<String> = known
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect();
    let mut set = String::from("{");
    for name in own
        .into_iter()
        .chain(known.iter().rev().map(String::as_str))
    {
        let _ = write!(set, " \"{name}\" = builtins.trace \"<{name}>\" 1;");
    }
    set.push('}');
    let output = Oracle::find().instantiate(&["--eval", "--strict", "-E", &set]);
    let traced = String::from_utf8_lossy(&output.stderr).into_owned();
    let names = traced
        .lines()
        .filter_map(|line| line.strip_prefix("trace: <")?.strip_suffix('>'));
    let expected: Vec<&str> = known.iter().map(String::as_str).chain(own).collect();
    assert_eq!(names.collect::<Vec<_>>(), expected);
}
