//! Random programs through this evaluator and through stock Nix: the same values, failures with the same message.
//!
//! `XBUILD_GENERATE=N` makes N of each kind (default 1,500), `XBUILD_SEED=S` begins at another seed. A difference is
//! printed with its seed, and made smaller as long as something differs.

#[path = "generated/derivation.rs"]
mod derivation;
#[path = "common/outcomes.rs"]
mod outcomes;
#[path = "generated/program.rs"]
mod program;

use outcomes::{Expressions, Outcome, agree};

const FEATURES: &[&str] = &["ca-derivations", "impure-derivations"];
/// How many programs one process of stock Nix gets.
const BATCH: usize = 1500;
/// How many differences are made smaller and shown.
const SHOWN: usize = 5;

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => default,
    }
}

/// The outcomes of programs, ours first.
fn outcomes(programs: &[String]) -> Vec<(Outcome, Outcome)> {
    let files = Expressions::new(programs, FEATURES);
    files.ours().into_iter().zip(files.theirs()).collect()
}

fn differ((ours, theirs): &(Outcome, Outcome)) -> bool {
    !agree(ours, theirs)
}

/// Programs like this one, but smaller: with something in brackets taken out, or in place of what is around it.
fn smaller(program: &str) -> Vec<String> {
    let mut open = Vec::new();
    let mut groups = Vec::new();
    for (at, byte) in program.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => open.push(at),
            b')' | b']' | b'}' => groups.extend(open.pop().map(|start| (start, at + 1))),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for &(start, end) in &groups {
        found.push(program[start..end].to_owned());
        for leaf in ["0", "\"\"", "[ ]", "{ }", "true"] {
            if leaf.len() < end - start {
                found.push(format!("{}{leaf}{}", &program[..start], &program[end..]));
            }
        }
        // A large program has too many pairs.
        for &(inner, inner_end) in &groups {
            if start < inner && inner_end < end && found.len() < 2000 {
                let (before, after) = (&program[..start], &program[end..]);
                found.push(format!("{before}{}{after}", &program[inner..inner_end]));
            }
        }
    }
    found.sort_by_key(String::len);
    found.dedup();
    found.truncate(400);
    found
}

/// The smallest program found that still differs.
fn shrink(program: &str) -> String {
    let mut best = program.to_owned();
    for _ in 0..20 {
        let candidates = smaller(&best);
        let found = outcomes(&candidates).iter().position(differ);
        match found {
            Some(index) if candidates[index].len() < best.len() => {
                best = candidates[index].clone();
            }
            _ => break,
        }
    }
    best
}

fn check(generate: fn(u64) -> String) {
    let (count, first) = (number("XBUILD_GENERATE", 1500), number("XBUILD_SEED", 1));
    let seeds: Vec<u64> = (first..first + count).collect();
    let (mut different, mut values) = (Vec::new(), 0);
    for seeds in seeds.chunks(BATCH) {
        let programs: Vec<String> = seeds.iter().map(|&seed| generate(seed)).collect();
        let found = outcomes(&programs);
        values += found.iter().filter(|outcome| outcome.1.is_ok()).count();
        for ((seed, program), outcome) in seeds.iter().zip(&programs).zip(&found) {
            // Which of two failing attributes fails first depends on which name was met first, in the process: what
            // counts is the program alone.
            if differ(outcome) && outcomes(std::slice::from_ref(program)).iter().any(differ) {
                different.push((*seed, program.clone()));
            }
        }
    }
    for (seed, program) in different.iter().take(SHOWN) {
        let small = shrink(program);
        let (ours, theirs) = outcomes(std::slice::from_ref(&small)).remove(0);
        eprintln!(
            "seed {seed}: {program}\n\nsmaller: {small}\n  nix:    {theirs:?}\n  xbuild: {ours:?}\n"
        );
    }
    assert!(
        different.is_empty(),
        "{} of {count} programs differ: seeds {:?}",
        different.len(),
        different.iter().map(|found| found.0).collect::<Vec<_>>()
    );
    // A generator whose programs mostly fail tests little.
    assert!(count < 100 || values as u64 > count / 3, "{values} values");
}

#[test]
fn programs() {
    check(program::program);
}

#[test]
fn derivations() {
    check(derivation::derivations);
}
