//! `builtins.fromJSON` and `builtins.toJSON`.

use super::json_reader::{self, Builder, JsonError};
use crate::Evaluator;
use crate::attrs::AttrsBuilder;
use crate::error::{EvalError, Result};
use crate::json::JsonForm;
use crate::position::Pos;
use crate::string::ContextSet;
use crate::value::{Builtin, Value};

pub(super) static TABLE: &[Builtin] = &[
    Builtin {
        name: "__fromJSON",
        arity: 1,
        run: from_json,
    },
    Builtin {
        name: "__toJSON",
        arity: 1,
        run: to_json,
    },
];

fn from_json(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument passed to builtins.fromJSON";
    let text = ev.force_string_no_context(args[0], pos, what)?;
    ev.read_json(text.bytes(), pos)
}

impl Evaluator {
    /// The value of a JSON text.
    ///
    /// # Errors
    ///
    /// If it is none, or has what no value can be.
    pub(crate) fn read_json(&mut self, text: &[u8], pos: Pos) -> Result<Value> {
        let read = json_reader::parse(text, &mut Values { ev: self, pos });
        read.map_err(|error| match error {
            Failure::Eval(error) => error,
            Failure::Json(error @ JsonError::Unsigned(_)) => {
                EvalError::new(Pos::NONE, error.to_string())
            }
            Failure::Json(error) => EvalError::new(Pos::NONE, error.to_string())
                .context(pos, "while decoding a JSON string"),
        })
    }
}

/// Makes values of JSON.
struct Values<'a> {
    ev: &'a mut Evaluator,
    pos: Pos,
}

enum Failure {
    Json(JsonError),
    Eval(EvalError),
}

impl From<JsonError> for Failure {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

impl Values<'_> {
    fn check_nul(&self, text: &[u8]) -> Result<(), Failure> {
        reject_nul(text, self.pos).map_err(Failure::Eval)
    }
}

/// Fails if `text` has a NUL byte, which no string of the language may have.
pub(super) fn reject_nul(text: &[u8], pos: Pos) -> Result<()> {
    if memchr::memchr(0, text).is_none() {
        return Ok(());
    }
    let shown = String::from_utf8_lossy(text).replace('\0', "␀");
    let message = format!(
        "input string '{shown}' cannot be represented as Nix string because it contains null bytes"
    );
    Err(EvalError::new(pos, message))
}

impl Builder for Values<'_> {
    type Value = Value;
    type Error = Failure;

    fn null(&mut self) -> Result<Value, Failure> {
        Ok(Value::NULL)
    }

    fn boolean(&mut self, value: bool) -> Result<Value, Failure> {
        Ok(Value::bool(value))
    }

    fn integer(&mut self, value: i64) -> Result<Value, Failure> {
        Ok(self.ev.int(value))
    }

    fn float(&mut self, value: f64) -> Result<Value, Failure> {
        Ok(self.ev.float(value))
    }

    fn string(&mut self, value: &[u8]) -> Result<Value, Failure> {
        self.check_nul(value)?;
        Ok(self.ev.string(value))
    }

    fn name(&mut self, name: &[u8]) -> Result<(), Failure> {
        self.check_nul(name)
    }

    fn array(&mut self, items: Vec<Value>) -> Result<Value, Failure> {
        Ok(self.ev.list(&items))
    }

    fn object(&mut self, members: Vec<(Vec<u8>, Value)>) -> Result<Value, Failure> {
        let mut attrs = AttrsBuilder::with_capacity(members.len());
        // The builder keeps the first of equal names; here the last one counts.
        for (name, value) in members.into_iter().rev() {
            attrs.insert(self.ev.intern(&name), value, Pos::NONE);
        }
        Ok(self.ev.attrs(attrs))
    }
}

fn to_json(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let mut context = ContextSet::new();
    let out = ev.to_json(args[0], pos, &mut context, JsonForm::BUILTIN)?;
    Ok(ev.string_with(&out, &context))
}
