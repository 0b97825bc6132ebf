//! Values on stdout and in files.

use std::fs;
use std::path::Path;

use xbuild_eval::builtins::xml::XmlForm;
use xbuild_eval::json::JsonForm;
use xbuild_eval::show::ShowForm;
use xbuild_eval::string::ContextSet;
use xbuild_eval::{Evaluator, Pos, Value, ValueKind};

use crate::args::Form;
use crate::commands::eval::Problem;
use crate::failure::Failure;

/// Which of Nix's commands a value is printed as. They have different habits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// `nix-instantiate --eval`: what is not evaluated yet is `<CODE>`; `--json` copies paths into the store.
    Instantiate,
    /// `nix eval`: everything is evaluated, derivations are `«derivation …»`, errors inside are shown in their place.
    Eval,
}

/// Appends the value, in the form that was asked for, to `out`.
pub(crate) fn print(
    evaluator: &mut Evaluator,
    value: Value,
    form: &Form,
    style: Style,
    pretty: bool,
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    let mut context = ContextSet::new();
    if form.raw {
        let what = match style {
            Style::Instantiate => "while generating the nix-instantiate output",
            Style::Eval => "while generating the eval command output",
        };
        out.extend(evaluator.raw_text(value, what)?);
        return Ok(());
    }
    if form.xml {
        let xml = XmlForm {
            strict: form.strict || style == Style::Eval,
            location: !form.no_location,
        };
        out.extend(evaluator.to_xml(value, xml, &mut context, Pos::NONE)?);
        return Ok(());
    }
    if form.json {
        let how = JsonForm {
            strict: form.strict || style == Style::Eval,
            copy_to_store: style == Style::Instantiate,
        };
        let json = evaluator.to_json(value, Pos::NONE, &mut context, how)?;
        match pretty {
            true => indent_json(&json, out),
            false => out.extend(json),
        }
    } else if style == Style::Eval {
        // Errors inside show in their place, unless all of it is to be there.
        let value = match form.strict {
            true => evaluator.force_deep(value, Pos::NONE)?,
            false => evaluator.force(value, Pos::NONE)?,
        };
        out.extend(evaluator.show_value(value, ShowForm::LINE)?);
    } else {
        out.extend(evaluator.print(value, form.strict)?);
    }
    out.push(b'\n');
    Ok(())
}

/// Appends JSON that has no blanks with line ends and an indentation of two blanks.
fn indent_json(json: &[u8], out: &mut Vec<u8>) {
    let mut level = 0;
    let mut in_string = false;
    let mut escaped = false;
    let line = |out: &mut Vec<u8>, level: usize| {
        out.push(b'\n');
        out.resize(out.len() + 2 * level, b' ');
    };
    for (index, &byte) in json.iter().enumerate() {
        if in_string {
            out.push(byte);
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        let is_empty = |close| json.get(index + 1) == Some(&close);
        match byte {
            b'{' | b'[' => {
                out.push(byte);
                // In ASCII, a closing bracket is two behind the opening one.
                if !is_empty(byte + 2) {
                    level += 1;
                    line(out, level);
                }
            }
            b'}' | b']' => {
                if json[index - 1] != byte - 2 {
                    level -= 1;
                    line(out, level);
                }
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                line(out, level);
            }
            b':' => out.extend_from_slice(b": "),
            _ => {
                in_string = byte == b'"';
                out.push(byte);
            }
        }
    }
}

/// Writes a string to a file, or a set of such values as a directory.
pub(crate) fn write_to(
    evaluator: &mut Evaluator,
    value: Value,
    path: &Path,
) -> Result<(), Problem> {
    if fs::symlink_metadata(path).is_ok() {
        return Err(Failure::text(format!("path '{}' already exists", path.display())).into());
    }
    write_below(evaluator, value, Pos::NONE, path)
}

fn write_below(
    evaluator: &mut Evaluator,
    value: Value,
    pos: Pos,
    path: &Path,
) -> Result<(), Problem> {
    let cannot = |what: &str, error: std::io::Error| {
        Failure::text(format!("cannot {what} {}: {error}", path.display()))
    };
    let value = evaluator.force(value, pos)?;
    match value.kind() {
        ValueKind::String(text) => {
            fs::write(path, text.bytes()).map_err(|error| cannot("write", error))?;
            Ok(())
        }
        ValueKind::Attrs(attrs) => {
            fs::create_dir(path).map_err(|error| cannot("create", error))?;
            for attr in evaluator.sorted_by_name(attrs) {
                let name = evaluator.name(attr.name);
                if name.is_empty() || name == "." || name == ".." || name.contains('/') {
                    return Err(Failure::text(format!("invalid file name '{name}'")).into());
                }
                write_below(evaluator, attr.value, attr.pos, &path.join(&*name))?;
            }
            Ok(())
        }
        _ => Err(Failure::text(format!(
            "value at '{}' is not a string or an attribute set",
            evaluator.show_position(pos)
        ))
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::indent_json;

    #[test]
    fn json_is_indented() {
        let mut out = Vec::new();
        indent_json(
            br#"{"a":[],"b":{},"c":[1,"x\""],"d":{"e\\":-1.5}}"#,
            &mut out,
        );
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\n  \"a\": [],\n  \"b\": {},\n  \"c\": [\n    1,\n    \"x\\\"\"\n  ],\n  \"d\": {\n    \"e\\\\\": -1.5\n  }\n}"
        );
    }
}
