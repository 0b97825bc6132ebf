//! Exceptions: findings that a package accepts, each with its reason.
//!
//! A derivation names them in `xbuildExceptions`, one a line: `RULE PATH REASON…`, where PATH is relative to the
//! output and may hold `*` (any characters). An exception without a reason, or of an unknown rule, is an error.

use crate::rule::{Finding, Rule};

/// The exceptions of a derivation.
#[derive(Debug, Clone, Default)]
pub struct Exceptions(Vec<Exception>);

/// An accepted finding.
#[derive(Debug, Clone)]
struct Exception {
    rule: Rule,
    pattern: String,
    reason: String,
}

/// A line that is no exception.
#[derive(Debug, thiserror::Error)]
#[error(
    "xbuildExceptions, line {line}: {problem}; expected `RULE PATH REASON`, where RULE is one of: {}",
    names()
)]
pub struct ExceptionError {
    line: usize,
    problem: String,
}

fn names() -> String {
    Rule::ALL
        .iter()
        .map(|rule| rule.name())
        .collect::<Vec<_>>()
        .join(", ")
}

impl Exceptions {
    /// Reads the value of `xbuildExceptions`.
    ///
    /// # Errors
    /// A line that lacks a part, or names an unknown rule.
    pub fn parse(text: &str) -> Result<Self, ExceptionError> {
        let mut exceptions = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line_error = |problem: String| ExceptionError {
                line: index + 1,
                problem,
            };
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let part = |text: &'_ str| -> Option<(String, String)> {
                let (word, rest) = text.split_once(char::is_whitespace)?;
                Some((word.to_owned(), rest.trim_start().to_owned()))
            };
            let parts = part(line).and_then(|(rule, rest)| Some((rule, part(&rest)?)));
            let Some((rule, (pattern, reason))) = parts else {
                return Err(line_error("a part is missing".to_owned()));
            };
            let rule = Rule::by_name(&rule)
                .ok_or_else(|| line_error(format!("there is no rule `{rule}`")))?;
            exceptions.push(Exception {
                rule,
                pattern,
                reason,
            });
        }
        Ok(Self(exceptions))
    }

    /// The reason why `finding` is accepted, if it is. `relative` is its file's path inside the output.
    #[must_use]
    pub fn reason(&self, finding: &Finding, relative: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|exception| {
                exception.rule == finding.rule && matches(&exception.pattern, relative)
            })
            .map(|exception| exception.reason.as_str())
    }
}

/// Whether `text` is of the form of `pattern`, where `*` stands for any characters.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else {
        return rest.is_empty();
    };
    for piece in pieces {
        let Some(at) = rest.find(piece) else {
            return false;
        };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches("lib/a.o", "lib/a.o"));
        assert!(!matches("lib/a.o", "lib/a.oo"));
        assert!(matches("lib/*.o", "lib/x/a.o"));
        assert!(matches("*", "anything"));
        assert!(matches("a*b*c", "a1b2b3c"));
        assert!(!matches("a*b*c", "a1c"));
        assert!(!matches("ab*b", "ab"));
    }

    #[test]
    fn lines() {
        let finding = Finding {
            file: String::new(),
            rule: Rule::ElfMachine,
            reason: String::new(),
        };
        let exceptions =
            Exceptions::parse("\n elf-machine firmware/*.elf  runs on the M7 core\n").unwrap();
        assert_eq!(
            exceptions.reason(&finding, "firmware/m7.elf"),
            Some("runs on the M7 core")
        );
        assert_eq!(exceptions.reason(&finding, "bin/m7.elf"), None);
        let spaced = Exceptions::parse("elf-machine \t  fw/x   why not  ").unwrap();
        assert_eq!(spaced.reason(&finding, "fw/x"), Some("why not"));
        assert!(Exceptions::parse("elf-machine x").is_err());
        assert!(
            Exceptions::parse("elf-machin x y")
                .unwrap_err()
                .to_string()
                .contains("no rule `elf-machin`")
        );
    }
}
