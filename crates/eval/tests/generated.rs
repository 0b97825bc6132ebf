//! Random programs through this evaluator and through stock Nix: the same values, however they are printed, failures with
//! the same message, the same trace and warnings.
//!
//! `XBUILD_GENERATE=N` makes N of each kind (default 300), `XBUILD_SEED=S` begins at another seed. A difference is printed
//! with its seed, and made smaller as long as something differs. `XBUILD_COUNT=1` counts the builtins that are called.

#[path = "generated/derivation.rs"]
mod derivation;
#[path = "generated/document.rs"]
mod document;
#[path = "common/outcomes.rs"]
mod outcomes;
#[path = "generated/program.rs"]
mod program;
#[path = "generated/random.rs"]
mod random;
#[path = "generated/syntax.rs"]
mod syntax;
#[path = "generated/templates.rs"]
mod templates;
#[path = "generated/text.rs"]
mod text;

use std::collections::BTreeMap;

use outcomes::{Expressions, Form, Outcome, Told, agree, in_other_words, without_functions};

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

/// A program, and the form its value is printed in.
#[derive(Debug, Clone)]
struct Case {
    seed: u64,
    text: String,
}

impl Case {
    fn form(&self) -> Form {
        const FORMS: [Form; 4] = [Form::Lazy, Form::StrictXml, Form::LazyXml, Form::Json];
        FORMS[(self.seed % 4) as usize]
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Value,
    Transcript,
    Printed(Form),
}

#[derive(Debug)]
struct Difference {
    kind: Kind,
    nix: String,
    xbuild: String,
}

/// Whether a transcript is not to be compared: the error is told in other words, or there is a warning that xbuild does not
/// give (`or` as an argument).
fn is_own(theirs: &Told) -> bool {
    in_other_words(&theirs.outcome) || theirs.transcript.contains("This expression uses `or`")
}

impl Difference {
    /// What two differences have in common that are probably the same.
    fn signature(&self) -> String {
        let mut lines = self.nix.lines().zip(self.xbuild.lines());
        let (nix, xbuild) = lines
            .find(|(nix, xbuild)| nix != xbuild)
            .unwrap_or_default();
        let general = |line: &str| -> String {
            let line = line.trim_start().chars().take(60);
            line.filter(|c| !c.is_ascii_digit()).collect()
        };
        format!("{:?} {} {}", self.kind, general(nix), general(xbuild))
    }
}

/// A transcript without what is xbuild's own: the lines of the source, of which long ones are cut, and what it adds to an
/// error so as to help.
fn without_own(transcript: &str) -> String {
    let help = ["\nnote: ", "\nhint: ", "\n       hint: "];
    let start = help.iter().filter_map(|help| transcript.find(help)).min();
    let transcript = &transcript[..start.unwrap_or(transcript.len())];
    let is_source = |line: &str| {
        let line = line.trim_start();
        let after = line.trim_start_matches(|c: char| c.is_ascii_digit());
        after.starts_with('|')
    };
    let kept: Vec<String> = transcript
        .lines()
        .filter(|line| !is_source(line) && !line.trim_start().starts_with("Did you mean"))
        // Terminals get blanks for tabs from Nix.
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    without_functions(kept.join("\n").trim_end())
}

/// The transcripts from where they differ.
fn from_difference(one: &str, other: &str) -> (String, String) {
    let same = one.lines().zip(other.lines());
    let same = same.take_while(|(one, other)| one == other).count();
    let rest = |text: &str| {
        let lines: Vec<&str> = text.lines().skip(same.saturating_sub(2)).take(12).collect();
        lines.join("\n")
    };
    (rest(one), rest(other))
}

/// Whether values are printed alike, where xbuild need not know which functions were asked for.
fn agree_printed(ours: &Outcome, theirs: &Outcome) -> bool {
    let general = |outcome: &Outcome| {
        outcome.clone().map(|text| {
            let text = text.replace("<LAMBDA>", "<CODE>");
            text.replace("<PRIMOP>", "<CODE>")
        })
    };
    agree(&general(ours), &general(theirs))
}

/// What differs, for each program, and how many have a value.
fn differences(cases: &[Case]) -> (Vec<Option<Difference>>, usize) {
    let texts: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
    let files = Expressions::new(&texts, FEATURES);
    let (ours, theirs) = (files.ours_told(), files.theirs_told());
    let mut found: Vec<Option<Difference>> = Vec::new();
    let transcripts = number("XBUILD_TRANSCRIPTS", 1) > 0;
    for (ours, theirs) in ours.iter().zip(&theirs) {
        found.push(if !agree(&ours.outcome, &theirs.outcome) {
            Some(Difference {
                kind: Kind::Value,
                nix: format!("{:?}", theirs.outcome),
                xbuild: format!("{:?}", ours.outcome),
            })
        } else if transcripts
            && !is_own(theirs)
            && without_own(&ours.transcript) != without_own(&theirs.transcript)
        {
            let (nix, xbuild) = from_difference(
                &without_own(&theirs.transcript),
                &without_own(&ours.transcript),
            );
            Some(Difference {
                kind: Kind::Transcript,
                nix,
                xbuild,
            })
        } else {
            None
        });
    }
    let good = |index: &usize| ours[*index].outcome.is_ok() && theirs[*index].outcome.is_ok();
    for form in [Form::Lazy, Form::StrictXml, Form::LazyXml, Form::Json] {
        let which: Vec<usize> = (0..cases.len())
            .filter(|&index| cases[index].form() == form && good(&index))
            .collect();
        let ours = files.ours_printed(&which, form);
        let theirs = files.theirs_printed(&which, form);
        for ((index, ours), theirs) in which.into_iter().zip(&ours).zip(&theirs) {
            if !agree_printed(ours, theirs) && found[index].is_none() {
                found[index] = Some(Difference {
                    kind: Kind::Printed(form),
                    nix: format!("{theirs:?}"),
                    xbuild: format!("{ours:?}"),
                });
            }
        }
    }
    (
        found,
        theirs.iter().filter(|told| told.outcome.is_ok()).count(),
    )
}

/// What differs if the program is the only one of its processes: which of two failing attributes fails first depends on
/// which name was met first.
fn difference(case: &Case) -> Option<Difference> {
    differences(std::slice::from_ref(case)).0.remove(0)
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

/// The smallest program found that still differs in the same way.
fn shrink(case: &Case, difference: &Difference) -> Case {
    let mut best = case.clone();
    for _ in 0..20 {
        let candidates: Vec<Case> = smaller(&best.text)
            .into_iter()
            .map(|text| Case { text, ..*case })
            .filter(|candidate| candidate.text.len() < best.text.len())
            .collect();
        let found = differences(&candidates).0;
        let same = |found: &Option<Difference>| {
            found
                .as_ref()
                .is_some_and(|it| it.signature() == difference.signature())
        };
        match found.iter().position(same) {
            Some(index) => best = candidates[index].clone(),
            None => break,
        }
    }
    best
}

/// How often each builtin stands in programs.
fn count_builtins(counts: &mut BTreeMap<String, usize>, text: &str) {
    for part in text.split("builtins.").skip(1) {
        let name: String = part
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '\'')
            .collect();
        *counts.entry(name).or_default() += 1;
    }
}

/// Compares the programs that a generator makes; at least one in `values_in` has to have a value.
fn check(values_in: u64, generate: fn(u64) -> String) {
    let (count, first) = (number("XBUILD_GENERATE", 300), number("XBUILD_SEED", 1));
    let (mut different, mut values) = (Vec::new(), 0);
    let mut counts = BTreeMap::new();
    let cases: Vec<Case> = (first..first + count)
        .map(|seed| Case {
            seed,
            text: generate(seed),
        })
        .collect();
    for cases in cases.chunks(BATCH) {
        let (found, good) = differences(cases);
        values += good as u64;
        for (case, found) in cases.iter().zip(&found) {
            count_builtins(&mut counts, &case.text);
            if found.is_some()
                && let Some(alone) = difference(case)
            {
                different.push((case, alone));
            }
        }
    }
    if number("XBUILD_COUNT", 0) > 0 {
        eprintln!("{values} of {count} have a value; {counts:?}");
    }
    let mut groups: BTreeMap<String, Vec<&(&Case, Difference)>> = BTreeMap::new();
    for found in &different {
        groups.entry(found.1.signature()).or_default().push(found);
    }
    let shown = number("XBUILD_SHOWN", SHOWN as u64) as usize;
    for group in groups.values().take(shown) {
        let (case, first) = group
            .iter()
            .min_by_key(|found| found.0.text.len())
            .expect("a group is not empty");
        let small = shrink(case, first);
        let (small, found) = match difference(&small) {
            Some(found) => (&small, found),
            None => (*case, difference(case).expect("it differs still")),
        };
        eprintln!(
            "--- seed {} and {} others, {:?}: {}\n  nix:\n{}\n  xbuild:\n{}\n",
            case.seed,
            group.len() - 1,
            found.kind,
            small.text,
            found.nix,
            found.xbuild
        );
    }
    assert!(
        different.is_empty(),
        "{} of {count} programs differ: seeds {:?}",
        different.len(),
        different
            .iter()
            .map(|found| found.0.seed)
            .collect::<Vec<_>>()
    );
    // A generator whose programs mostly fail tests little.
    assert!(
        count < 100 || values >= count / values_in,
        "{values} values"
    );
}

#[test]
fn programs() {
    check(3, program::program);
}

#[test]
fn careless_programs() {
    check(10, program::careless_program);
}

#[test]
fn texts() {
    check(4, text::texts);
}

#[test]
fn documents() {
    check(4, document::documents);
}

#[test]
fn syntax() {
    check(10, syntax::texts);
}

#[test]
fn derivations() {
    check(3, derivation::derivations);
}
