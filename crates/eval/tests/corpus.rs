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

use outcomes::{Expressions, Outcome, agree};

/// The experimental features of the topic `experimental`; the others have none.
const FEATURES: &[&str] = &[
    "ca-derivations",
    "dynamic-derivations",
    "impure-derivations",
    "pipe-operators",
    "parse-toml-timestamps",
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
    if topic == "experimental" {
        FEATURES
    } else {
        &[]
    }
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

fn recorded(topic: &Topic) -> Vec<Outcome> {
    let text = fs::read_to_string(expected_file(topic))
        .unwrap_or_else(|_| panic!("{}: nothing is recorded: set XBUILD_RECORD=1", topic.name));
    let outcome = |line: &str| match line.strip_prefix("= ") {
        Some(value) => Ok(value.to_owned()),
        None => Err(line.trim_start_matches("!").trim().to_owned()),
    };
    text.lines().map(outcome).collect()
}

/// The differences between what is recorded and what was found.
fn compare(topic: &Topic, who: &str, found: &[Outcome]) -> String {
    let recorded = recorded(topic);
    assert_eq!(recorded.len(), found.len(), "{}: lines", topic.name);
    let mut different = String::new();
    for ((expression, recorded), found) in topic.expressions.iter().zip(&recorded).zip(found) {
        // Of the topic `worded` the messages are our own.
        let same = match topic.name.as_str() {
            "worded" => found.is_ok() == recorded.is_ok(),
            _ => agree(found, recorded),
        };
        if !same {
            let _ = writeln!(
                different,
                "{}: {expression}\n  nix: {}\n  {who}: {}",
                topic.name,
                line(recorded),
                line(found)
            );
        }
    }
    different
}

#[test]
fn xbuild_gives_what_is_recorded() {
    let mut different = String::new();
    for topic in topics() {
        let expressions = Expressions::new(&topic.expressions, features(&topic.name));
        different += &compare(&topic, "xbuild", &expressions.ours());
    }
    assert!(different.is_empty(), "different:\n{different}");
}

#[test]
fn stock_nix_gives_what_is_recorded() {
    let mut different = String::new();
    for topic in topics() {
        let expressions = Expressions::new(&topic.expressions, features(&topic.name));
        let theirs = expressions.theirs();
        if std::env::var_os("XBUILD_RECORD").is_some() {
            let lines: String = theirs.iter().map(|found| line(found) + "\n").collect();
            fs::write(expected_file(&topic), lines).unwrap();
        }
        different += &compare(&topic, "stock", &theirs);
    }
    assert!(different.is_empty(), "different:\n{different}");
}

#[test]
fn the_corpus_is_large() {
    let count: usize = topics().iter().map(|topic| topic.expressions.len()).sum();
    assert!(std::env::var_os("XBUILD_TOPIC").is_some() || count >= 1000);
}
