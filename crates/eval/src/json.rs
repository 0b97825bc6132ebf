//! Values as JSON: `builtins.toJSON`, `--json`, structured attributes.

use crate::Evaluator;
use crate::builtins::{float_text, json_writer};
use crate::error::{EvalError, Result};
use crate::position::Pos;
use crate::print::is_delayed_function;
use crate::string::{ContextElem, ContextSet};
use crate::value::{Value, ValueKind};

/// How a value becomes JSON.
#[derive(Debug, Clone, Copy)]
pub struct JsonForm {
    /// Everything is evaluated; else what is not evaluated yet is an error.
    pub strict: bool,
    /// Paths are copied into the store.
    pub copy_to_store: bool,
}

impl JsonForm {
    /// As `builtins.toJSON` has it.
    pub const BUILTIN: Self = Self {
        strict: true,
        copy_to_store: true,
    };
    /// All of it, with paths as they are.
    pub const PLAIN: Self = Self {
        strict: true,
        copy_to_store: false,
    };
}

impl Evaluator {
    /// The value as JSON, without blanks; the context of its strings is added to `context`.
    ///
    /// # Errors
    ///
    /// If the evaluation fails, or there is something in it that JSON does not have: functions, text that is not UTF-8,
    /// what is not evaluated yet and is not to be.
    pub fn to_json(
        &mut self,
        value: Value,
        pos: Pos,
        context: &mut ContextSet,
        form: JsonForm,
    ) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let value = self.force(value, pos)?;
        if let Some(place) = self.function_place(value) {
            return Err(EvalError::new(place, "cannot convert a function to JSON"));
        }
        self.write_json(value, pos, context, form, &mut out)?;
        Ok(out)
    }

    fn write_json(
        &mut self,
        value: Value,
        pos: Pos,
        context: &mut ContextSet,
        form: JsonForm,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        self.descend(pos, |ev| ev.write_json_here(value, pos, context, form, out))
    }

    fn write_json_here(
        &mut self,
        value: Value,
        pos: Pos,
        context: &mut ContextSet,
        form: JsonForm,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let value = match value.known() {
            _ if form.strict => self.force(value, pos)?,
            Some(known) if !is_delayed_function(value) => known,
            _ => {
                let thunk = value.as_thunk();
                let what = match thunk.is_some_and(crate::heap::Thunk::is_application) {
                    true => "a function application",
                    false => "a thunk",
                };
                let message = format!("cannot convert {what} to JSON");
                return Err(EvalError::new(pos, message));
            }
        };
        match value.kind() {
            ValueKind::Int(int) => out.extend_from_slice(int.to_string().as_bytes()),
            ValueKind::Float(float) => out.extend_from_slice(float_text::json(float).as_bytes()),
            ValueKind::Bool(bool) => out.extend_from_slice(if bool { b"true" } else { b"false" }),
            ValueKind::Null => out.extend_from_slice(b"null"),
            ValueKind::String(string) => {
                context.add(string.context());
                write_json_string(string.bytes(), pos, out)?;
            }
            ValueKind::Path(path) if form.copy_to_store => {
                let store_path = self.copy_path_to_store(path.as_slice(), pos)?;
                context.insert(ContextElem::Opaque(store_path));
                write_json_string(self.symbols.name(store_path), pos, out)?;
            }
            ValueKind::Path(path) => write_json_string(path.as_slice(), pos, out)?,
            ValueKind::Attrs(attrs) => {
                if let Some(to_string) = attrs.value(self.known.to_string) {
                    let text = self.call(to_string, &[value], pos)?;
                    let text = self.coerce_to_string(
                        text,
                        pos,
                        context,
                        crate::eval::Coercion::PLAIN,
                        "while evaluating the result of the `__toString` attribute",
                    )?;
                    return write_json_string(text.bytes(), pos, out);
                }
                if let Some(out_path) = attrs.value(self.known.out_path) {
                    return self.write_json(out_path, pos, context, form, out);
                }
                out.push(b'{');
                for (index, attr) in self.sorted_by_name(attrs).into_iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    write_json_string(self.symbols.name(attr.name), pos, out)?;
                    out.push(b':');
                    if let Err(error) = self.write_json(attr.value, attr.pos, context, form, out) {
                        let name = self.shown_symbol(attr.name);
                        return Err(
                            error.around(attr.pos, format!("while evaluating attribute '{name}'"))
                        );
                    }
                }
                out.push(b'}');
            }
            ValueKind::List(list) => {
                out.push(b'[');
                for (index, element) in list.as_slice().iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    if let Err(error) = self.write_json(*element, pos, context, form, out) {
                        return Err(error.context(
                            pos,
                            format!("while evaluating list element at index {index}"),
                        ));
                    }
                }
                out.push(b']');
            }
            other => {
                return Err(EvalError::new(
                    self.function_place(value).unwrap_or(pos),
                    format!("cannot convert {} to JSON", other.type_name()),
                ));
            }
        }
        Ok(())
    }
}

fn write_json_string(bytes: &[u8], pos: Pos, out: &mut Vec<u8>) -> Result<()> {
    json_writer::write_string(out, bytes).map_err(|error| EvalError::new(pos, error.to_string()))
}
