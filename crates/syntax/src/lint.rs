//! Lints: constructs of the language that are allowed, but discouraged (Nix 2.34, settings `lint-*`).

use std::cell::RefCell;

use crate::error::SyntaxError;

/// What happens where a lint finds something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LintLevel {
    /// Nothing.
    #[default]
    Ignore,
    /// It is told, and parsing goes on.
    Warn,
    /// It is a syntax error.
    Fatal,
}

/// The levels of all lints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LintLevels {
    /// `lint-url-literals`: `http://example.org` without quotes.
    pub url_literals: LintLevel,
    /// `lint-short-path-literals`: `a/b` in place of `./a/b`.
    pub short_path_literals: LintLevel,
    /// `lint-absolute-path-literals`: `/a/b` and `~/a`.
    pub absolute_path_literals: LintLevel,
}

impl LintLevels {
    /// Whether nothing is looked for.
    #[must_use]
    pub fn ignore_all(&self) -> bool {
        *self == Self::default()
    }
}

/// Lints during one parse, and the warnings so far.
#[derive(Debug, Default)]
pub struct Lints {
    /// What is looked for.
    pub levels: LintLevels,
    /// What was found at [`LintLevel::Warn`], or is always told, in the order of the text.
    pub warnings: RefCell<Vec<SyntaxError>>,
}

impl Lints {
    /// With no warnings yet.
    #[must_use]
    pub fn new(levels: LintLevels) -> Self {
        Self {
            levels,
            warnings: RefCell::default(),
        }
    }

    /// Reports a finding at its level; `finding` gets whether it is fatal.
    pub(crate) fn report(
        &self,
        level: LintLevel,
        finding: impl FnOnce(bool) -> SyntaxError,
    ) -> Result<(), SyntaxError> {
        match level {
            LintLevel::Ignore => Ok(()),
            LintLevel::Warn => {
                self.warnings.borrow_mut().push(finding(false));
                Ok(())
            }
            LintLevel::Fatal => Err(finding(true)),
        }
    }
}
