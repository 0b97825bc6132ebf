//! The corpus: expressions over every construct and builtin, with what stock Nix makes of them.
//!
//! `corpus/TOPIC.nix.txt` has one expression a line. `corpus/TOPIC.expected.txt` has the line that belongs to it:
//! `= VALUE`, as `nix-instantiate --eval --strict` prints it, or `! MESSAGE`, the first line of the error. One test
//! compares xbuild with what is recorded, another what is recorded with the installed stock Nix. After a change of the
//! expressions, `XBUILD_RECORD=1` has the second one write the records anew.

#![allow(clippy::unwrap_used)] // A test may panic.

#[path = "common/outcomes.rs"]
mod outcomes;

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use outcomes::{Expressions, Outcome};

/// The features that the corpus is evaluated with; what lacks them is tested by what `features-off` has in it.
const FEATURES: &[(&str, &[&str])] = &[
    ("", &[]),
    (
        "experimental-",
        &[
            "ca-derivations",
            "dynamic-derivations",
            "impure-derivations",
            "pipe-operators",
            "parse-toml-timestamps",
        ],
    ),
];

struct Topic {
    name: String,
    expressions: Vec<String>,
}

fn dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

fn topics() -> Vec<Topic> {
    let only = std::env::var("XBUILD_TOPIC").ok();
    let mut topics = Vec::new();
    for entry in fs::read_dir(dir()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = name.strip_suffix(".nix.txt") else {
            continue;
        };
        if only.as_deref().is_some_and(|only| only != name) {
            continue;
        }
        let text = fs::read_to_string(dir().join(format!("{name}.nix.txt"))).unwrap();
        let expressions = text
            .lines()
            .filter(|line| !line.trim().is_empty() && !line.starts_with("##"))
            .map(|line| line.replace('⏎', "\n"))
            .collect();
        topics.push(Topic {
            name: name.to_owned(),
            expressions,
        });
    }
    assert!(!topics.is_empty());
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    topics
}

fn features(topic: &str) -> &'static [&'static str] {
    let of = |experimental: bool| FEATURES[usize::from(experimental)].1;
    of(topic.starts_with("experimental"))
}

fn expected_file(topic: &Topic) -> PathBuf {
    dir().join(format!("{}.expected.txt", topic.name))
}

fn line(outcome: &Outcome) -> String {
    match outcome {
        Ok(value) => format!("= {value}"),
        Err(message) => format!("! {message}"),
    }
}

/// The differences between two lists of lines.
fn compare(topic: &Topic, ours: &[String], theirs: &[String], who: [&str; 2]) -> String {
    assert_eq!(ours.len(), theirs.len(), "{}: lines", topic.name);
    let mut different = String::new();
    for ((expression, our), their) in topic.expressions.iter().zip(ours).zip(theirs) {
        if our != their {
            let _ = writeln!(
                different,
                "{}: {expression}\n  {}: {their}\n  {}: {our}",
                topic.name, who[1], who[0]
            );
        }
    }
    different
}

fn recorded(topic: &Topic) -> Vec<String> {
    let text = fs::read_to_string(expected_file(topic))
        .unwrap_or_else(|_| panic!("{}: nothing is recorded: set XBUILD_RECORD=1", topic.name));
    text.lines().map(str::to_owned).collect()
}

#[test]
fn xbuild_gives_what_is_recorded() {
    let mut different = String::new();
    for topic in topics() {
        let expressions = Expressions::new(&topic.expressions, features(&topic.name));
        let ours: Vec<String> = expressions.ours().iter().map(line).collect();
        different += &compare(&topic, &ours, &recorded(&topic), ["xbuild", "nix"]);
    }
    assert!(different.is_empty(), "different:\n{different}");
}

#[test]
fn stock_nix_gives_what_is_recorded() {
    let mut different = String::new();
    for topic in topics() {
        let expressions = Expressions::new(&topic.expressions, features(&topic.name));
        let theirs: Vec<String> = expressions.theirs().iter().map(line).collect();
        if std::env::var_os("XBUILD_RECORD").is_some() {
            fs::write(expected_file(&topic), theirs.join("\n") + "\n").unwrap();
        }
        different += &compare(&topic, &recorded(&topic), &theirs, ["recorded", "nix"]);
    }
    assert!(different.is_empty(), "different:\n{different}");
}

#[test]
fn the_corpus_is_large() {
    let count: usize = topics().iter().map(|topic| topic.expressions.len()).sum();
    assert!(std::env::var_os("XBUILD_TOPIC").is_some() || count >= 1000);
}
