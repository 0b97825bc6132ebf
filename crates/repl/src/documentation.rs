//! `:doc`: what is known of a function or an attribute.

use std::fmt::Write as _;

use xbuild_eval::{EvalError, Pos, Value};

use crate::repl::Repl;

impl Repl {
    /// The documentation of what an expression gives.
    pub(crate) fn documentation(&mut self, text: &str) -> Result<String, EvalError> {
        let attr = self
            .evaluator
            .selected_attr(text, &self.directory, &self.scope)?;
        let value = self.value_of(text)?;
        if let Some(found) = self.of_value(value) {
            return Ok(found);
        }
        // Not a function: where it is defined, and what is said there.
        let Some(attr) = attr.filter(|attr| attr.pos.is_some()) else {
            return Err(self
                .evaluator
                .complaint("value does not have documentation"));
        };
        let comment = self.evaluator.doc_comment(attr.pos);
        Ok(format!(
            "Attribute `{}`\n\n  … defined at {}\n\n{}\n",
            self.evaluator.name(attr.name),
            self.evaluator.show_position(attr.pos),
            comment.as_deref().unwrap_or("No documentation found.")
        ))
    }

    fn of_value(&mut self, value: Value) -> Option<String> {
        if let Some(builtin) = self.evaluator.builtin_documentation(value) {
            return Some(format!(
                "Synopsis: builtins.{} {}\n\n{}\n",
                builtin.name,
                builtin.arguments,
                wrap(builtin.text)
            ));
        }
        let (value, pos) = self.function(value)?;
        let comment = self.evaluator.doc_comment(pos);
        let name = self.evaluator.function_name(value);
        let mut text = format!(
            "Function `{}`\n\n  … defined at {}\n",
            name.as_deref().unwrap_or("(anonymous)"),
            self.evaluator.show_position(pos)
        );
        if let Some(comment) = comment {
            let _ = write!(text, "\n{comment}\n");
        }
        Some(text)
    }

    /// The function that calling the value calls, and its place.
    fn function(&mut self, value: Value) -> Option<(Value, Pos)> {
        if let Some(pos) = self.evaluator.function_place(value) {
            return Some((value, pos));
        }
        let functor = self.evaluator.intern(b"__functor");
        let functor = value.as_attrs()?.get(functor)?;
        let functor = self.evaluator.force(functor.value, functor.pos).ok()?;
        let pos = self.evaluator.function_place(functor)?;
        Some((functor, pos))
    }
}

/// The text in lines of at most 80 columns.
fn wrap(text: &str) -> String {
    let mut wrapped = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > 80 {
            wrapped.push('\n');
            column = 0;
        } else if column > 0 {
            wrapped.push(' ');
            column += 1;
        }
        wrapped.push_str(word);
        column += width;
    }
    wrapped
}
