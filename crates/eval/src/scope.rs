//! Texts that are evaluated one after the other in a growing scope, as a repl does.

use std::path::Path;

use rustc_hash::FxHashMap;
use xbuild_syntax::SyntaxErrorKind;
use xbuild_syntax::symbol::Symbol;

use crate::Evaluator;
use crate::compile;
use crate::error::{EvalError, Result};
use crate::import::{Form, TEXT_NAME};
use crate::position::Pos;
use crate::value::{Attr, Value, ValueKind};

/// Variables beside the global ones.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// In the order of their slots.
    names: Vec<Symbol>,
    values: Vec<Value>,
    slots: FxHashMap<Symbol, usize>,
}

impl Scope {
    /// Binds a name, or binds it again.
    pub fn insert(&mut self, name: Symbol, value: Value) {
        match self.slots.get(&name) {
            Some(&slot) => self.values[slot] = value,
            None => {
                self.slots.insert(name, self.names.len());
                self.names.push(name);
                self.values.push(value);
            }
        }
    }

    /// The value of a name.
    #[must_use]
    pub fn get(&self, name: Symbol) -> Option<Value> {
        self.slots.get(&name).map(|&slot| self.values[slot])
    }

    /// The names, in no useful order.
    pub fn names(&self) -> impl Iterator<Item = Symbol> {
        self.names.iter().copied()
    }
}

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// An expression.
    Expression,
    /// `name = value`, `inherit …`: the bindings of a set.
    Bindings,
    /// The begin of either: more text is needed.
    Incomplete,
}

impl Evaluator {
    /// Finds out what a text is. One that is neither an expression nor a begin of one counts as an expression, so that
    /// evaluating it tells what is wrong with it.
    pub fn classify(&mut self, text: &str, base_dir: &Path) -> Input {
        let expression = self.parses(Form::Expression, text, base_dir);
        if expression.is_ok() {
            return Input::Expression;
        }
        let bindings = self.parses(Form::Bindings, text, base_dir);
        if bindings.is_ok() {
            return Input::Bindings;
        }
        let is_incomplete = |result: Result<()>| {
            result.is_err_and(|error| match error.data().syntax.as_ref() {
                Some(syntax) => match syntax.kind() {
                    SyntaxErrorKind::Unclosed { .. } => true,
                    SyntaxErrorKind::Unexpected { found, .. } => *found == "end of file",
                    _ => false,
                },
                None => false,
            })
        };
        let looks_bound = text.contains('=') || text.trim_start().starts_with("inherit");
        if is_incomplete(expression) || (looks_bound && is_incomplete(bindings)) {
            Input::Incomplete
        } else {
            Input::Expression
        }
    }

    fn parses(&mut self, form: Form, text: &str, base_dir: &Path) -> Result<()> {
        let bytes = text.as_bytes().into();
        self.with_parsed(
            form,
            bytes,
            TEXT_NAME.to_owned(),
            base_dir,
            |_, _, _| Ok(()),
        )
    }

    /// Evaluates a text with the variables of a scope.
    ///
    /// # Errors
    ///
    /// If it cannot be parsed or evaluated.
    pub fn eval_in_scope(&mut self, text: &str, base_dir: &Path, scope: &Scope) -> Result<Value> {
        self.eval_form_in_scope(Form::Expression, text, base_dir, scope)
    }

    /// The set of bindings, of which [`Input::Bindings`] tells, with the variables of a scope.
    ///
    /// # Errors
    ///
    /// If they cannot be parsed, or a name not be evaluated.
    pub fn bindings_in_scope(
        &mut self,
        text: &str,
        base_dir: &Path,
        scope: &Scope,
    ) -> Result<Value> {
        self.eval_form_in_scope(Form::Bindings, text, base_dir, scope)
    }

    fn eval_form_in_scope(
        &mut self,
        form: Form,
        text: &str,
        base_dir: &Path,
        scope: &Scope,
    ) -> Result<Value> {
        let text = text.as_bytes().into();
        let name = TEXT_NAME.to_owned();
        let program = self.with_parsed(form, text, name, base_dir, |evaluator, expr, base| {
            compile::compile(evaluator, expr, base, &scope.names, None)
        })?;
        self.depth = 0;
        self.run_program(program, &scope.values)
    }

    /// Where the last name of a selection like `lib.strings.concat` is bound, and the name.
    ///
    /// # Errors
    ///
    /// If what stands before the last dot cannot be evaluated.
    pub fn selected_attr(
        &mut self,
        text: &str,
        base_dir: &Path,
        scope: &Scope,
    ) -> Result<Option<Attr>> {
        let Some((subject, name)) = text.trim().rsplit_once('.') else {
            return Ok(None);
        };
        if !matches!(self.classify(subject, base_dir), Input::Expression) {
            return Ok(None);
        }
        let subject = self.eval_in_scope(subject, base_dir, scope)?;
        let name = self.intern(name.trim().trim_matches('"').as_bytes());
        Ok(subject.as_attrs().and_then(|attrs| attrs.get(name)))
    }

    /// Reads files and fetches inputs again when they are asked for the next time.
    pub fn forget_files(&mut self) {
        self.host.forget_unlocked_inputs();
        self.imports.clear();
        self.parse_ahead = None;
        self.copied.clear();
        self.search_cache.clear();
    }

    /// The names of the global scope.
    #[must_use]
    pub fn global_names(&self) -> Vec<Symbol> {
        self.globals.keys().copied().collect()
    }

    /// The documentation comment (RFC 145) of a function or of the attribute that is bound at `pos`: the `/** … */`
    /// right before the function, or before the name it is bound to.
    #[must_use]
    pub fn doc_comment(&self, pos: Pos) -> Option<String> {
        let (source, start) = self.positions.resolve(pos)?;
        let text = self.sources.text(source);
        let before = text.get(..start as usize)?;
        if let Some(comment) = comment_at_end(before) {
            return Some(comment);
        }
        // `name =` or `a.b =` may stand between the comment and the function.
        let before = before.trim_ascii_end();
        let before = before.strip_suffix(b"=")?.trim_ascii_end();
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_'-.\"".contains(byte);
        let name = before.iter().rev().take_while(|byte| is_name(byte)).count();
        comment_at_end(&before[..before.len() - name])
    }

    /// Where a function of the language stands.
    #[must_use]
    pub fn function_place(&self, value: Value) -> Option<Pos> {
        match value.kind() {
            ValueKind::Lambda(closure) => Some(closure.code.pos),
            _ => None,
        }
    }

    /// What a function of the language was bound to first.
    #[must_use]
    pub fn function_name(&self, value: Value) -> Option<String> {
        match value.kind() {
            ValueKind::Lambda(closure) => {
                let name = closure.code.name?;
                Some(self.name(name).into_owned())
            }
            _ => None,
        }
    }

    /// Documentation of a builtin function.
    #[must_use]
    pub fn builtin_documentation(
        &self,
        value: Value,
    ) -> Option<&'static crate::builtins::documentation::Documentation> {
        let builtin = match value.kind() {
            ValueKind::Builtin(builtin) => builtin,
            ValueKind::Partial(partial) => match partial.head().kind() {
                ValueKind::Builtin(builtin) => builtin,
                _ => return None,
            },
            _ => return None,
        };
        crate::builtins::documentation::of(builtin.plain_name())
    }

    /// The error of a text that cannot be evaluated for a reason of the caller's.
    #[must_use]
    pub fn complaint(&self, message: impl Into<String>) -> EvalError {
        EvalError::new(Pos::NONE, message)
    }
}

/// The inner text of the documentation comment that ends `text`, without the indentation its lines share.
fn comment_at_end(text: &[u8]) -> Option<String> {
    // A function may be in parentheses.
    let text = text
        .trim_ascii_end()
        .trim_suffix_while(b'(')
        .trim_ascii_end();
    let inner = text.strip_suffix(b"*/")?;
    let open = memchr::memmem::rfind(inner, b"/*")?;
    let inner = inner[open..].strip_prefix(b"/**")?;
    let inner = String::from_utf8_lossy(inner);
    let lines: Vec<&str> = inner.lines().collect();
    let indent = lines
        .iter()
        .skip(1)
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.len() - line.trim_start().len())
        .min()
        .unwrap_or(0);
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        let line = match index {
            0 => line.trim_start(),
            _ => line.get(indent..).unwrap_or_default(),
        };
        text.push_str(line.trim_end());
        text.push('\n');
    }
    Some(text.trim().to_owned())
}

/// Trimming of one repeated byte.
trait TrimSuffix {
    fn trim_suffix_while(&self, byte: u8) -> &[u8];
}

impl TrimSuffix for [u8] {
    fn trim_suffix_while(&self, byte: u8) -> &[u8] {
        let end = self
            .iter()
            .rposition(|&last| last != byte)
            .map_or(0, |at| at + 1);
        &self[..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doc_comments() {
        let comment = |text: &str| comment_at_end(text.as_bytes());
        assert_eq!(
            comment("{ /** one */ ").as_deref(),
            Some("one"),
            "blanks between do not count"
        );
        assert_eq!(
            comment("/**\n    a\n      b\n\n    c\n  */\n (").as_deref(),
            Some("a\n  b\n\nc")
        );
        assert_eq!(comment("/* plain */"), None);
        assert_eq!(comment("/** one */ x"), None);
    }
}
