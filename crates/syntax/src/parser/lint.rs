//! Where the parser meets what [`crate::lint`] discourages; the texts are those of Nix.

use super::{Parser, Result};
use crate::ast::{Expr, ExprKind};
use crate::error::{SyntaxError, SyntaxErrorKind};
use crate::lexer::Tok;
use crate::lint::LintLevel;

impl Parser<'_, '_> {
    /// The current token is a URL without quotes.
    pub(super) fn lint_url(&self, literal: &[u8]) -> Result<()> {
        let Some(lints) = self.features.lints else {
            return Ok(());
        };
        self.discourage("lint-url-literals", lints.levels.url_literals, |fatal| {
            let text = String::from_utf8_lossy(literal);
            let what = if fatal { "disallowed" } else { "discouraged" };
            format!("URL literals are {what}. Consider using a string literal \"{text}\" instead")
        })
    }

    /// The current token begins a path.
    pub(super) fn lint_path(&self, kind: Tok, literal: &[u8]) -> Result<()> {
        let Some(lints) = self.features.lints else {
            return Ok(());
        };
        let text = String::from_utf8_lossy(literal);
        let not_portable = |what: &str| {
            format!(
                "{what} path literals are not portable. Consider replacing path literal '{text}' by a string, relative path, or parameter"
            )
        };
        let absolute = lints.levels.absolute_path_literals;
        match literal.first() {
            _ if kind == Tok::HomePath => {
                // Where there is no home directory, that is the error.
                if self.features.home.is_none() {
                    return Ok(());
                }
                self.discourage("lint-absolute-path-literals", absolute, |_| {
                    not_portable("home")
                })
            }
            Some(b'/') => self.discourage("lint-absolute-path-literals", absolute, |_| {
                not_portable("absolute")
            }),
            Some(b'.') => Ok(()),
            _ => self.discourage(
                "lint-short-path-literals",
                lints.levels.short_path_literals,
                |_| {
                    format!(
                        "relative path literal '{text}' should be prefixed with '.' for clarity: './{text}'"
                    )
                },
            ),
        }
    }

    /// `a or` was parsed last, perhaps, as an element of a list or an argument. Nix tells so without any setting.
    pub(super) fn warn_of_or(&self, last: &Expr<'_>) {
        let Some(lints) = self.features.lints else {
            return;
        };
        let ExprKind::Call { args: [arg], .. } = last.kind else {
            return;
        };
        // In parentheses, it does not end where they do.
        if matches!(arg.kind, ExprKind::Var(name) if name == self.names.or)
            && last.span.end == self.prev_end
        {
            let text = &self.src[last.span.start as usize..last.span.end as usize];
            let text = String::from_utf8_lossy(text).into_owned();
            let warning = SyntaxError::new(SyntaxErrorKind::LegacyOr(text), last.span);
            lints.warnings.borrow_mut().push(warning);
        }
    }

    fn discourage(
        &self,
        setting: &'static str,
        level: LintLevel,
        message: impl FnOnce(bool) -> String,
    ) -> Result<()> {
        let Some(lints) = self.features.lints else {
            return Ok(());
        };
        lints.report(level, |fatal| {
            let message = message(fatal);
            SyntaxError::new(
                SyntaxErrorKind::Discouraged { message, setting },
                self.tok_span(),
            )
        })
    }
}
