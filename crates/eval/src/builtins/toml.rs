//! `builtins.fromTOML`.

use toml::{Table, Value as Toml};

use super::json::reject_nul;
use super::toml_version::newer_syntax;
use crate::Evaluator;
use crate::attrs::AttrsBuilder;
use crate::error::{EvalError, Result};
use crate::position::Pos;
use crate::value::{Builtin, Value};

pub(super) static TABLE: &[Builtin] = &[Builtin {
    name: "fromTOML",
    arity: 1,
    run: from_toml,
}];

fn from_toml(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the argument passed to builtins.fromTOML";
    let text = ev.force_string_no_context(args[0], pos, what)?;
    let failed = |message: String| EvalError::new(pos, format!("while parsing TOML: {message}"));
    let text = std::str::from_utf8(text.bytes()).map_err(|error| failed(error.to_string()))?;
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        failed(match stock_message(text, &error) {
            Some(message) => format!("{message}\n{error}"),
            None => error.to_string(),
        })
    })?;
    if let Some(message) = newer_syntax(text) {
        return Err(failed(message.to_owned()));
    }
    build(ev, Toml::Table(table), pos)
}

/// What Nix's parser says first, of the mistakes that are made most.
fn stock_message(text: &str, error: &toml::de::Error) -> Option<&'static str> {
    let at = error.span()?.start;
    let (before, after) = (text.get(..at)?, text.get(at..)?);
    let line = &before[before.rfind('\n').map_or(0, |end| end + 1)..];
    if error.message().starts_with("duplicate key") {
        return Some(if line.trim_start().starts_with('[') {
            "[error] toml::insert_value: failed to insert a table, table already defined"
        } else {
            "[error] toml::insert_value: failed to insert a value, value already exists"
        });
    }
    let in_number = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '_');
    let number = &after[..after.find(|c| !in_number(c)).unwrap_or(after.len())];
    let digits = number.trim_start_matches(['+', '-']);
    let valid = |digits: &str, radix| {
        digits.len() > 15 && digits.chars().all(|c| c == '_' || c.is_digit(radix))
    };
    match digits.strip_prefix("0x") {
        Some(digits) if valid(digits, 16) => {
            Some("[error] toml::parse_hex_integer: too large integer: current max value = 2^63")
        }
        None if valid(digits, 10) => {
            Some("[error] toml::parse_dec_integer: too large integer: current max digits = 2^63")
        }
        _ => None,
    }
}

/// The parser limits how deep a document nests, so recursion is safe here.
fn build(ev: &mut Evaluator, toml: Toml, pos: Pos) -> Result<Value> {
    Ok(match toml {
        Toml::String(text) => {
            check_nul(&text, pos)?;
            ev.string(text.as_bytes())
        }
        Toml::Integer(value) => ev.int(value),
        Toml::Float(value) => ev.float(value),
        Toml::Boolean(value) => Value::bool(value),
        Toml::Datetime(value) if ev.settings.has_feature("parse-toml-timestamps") => {
            let mut attrs = AttrsBuilder::with_capacity(2);
            attrs.insert(ev.intern(b"_type"), ev.string(b"timestamp"), Pos::NONE);
            attrs.insert(
                ev.known.value,
                ev.string(timestamp(&value.to_string()).as_bytes()),
                Pos::NONE,
            );
            ev.attrs(attrs)
        }
        Toml::Datetime(_) => {
            return Err(EvalError::new(
                pos,
                "while parsing TOML: Dates and times are not supported",
            ));
        }
        Toml::Array(items) => {
            let items = items
                .into_iter()
                .map(|item| build(ev, item, pos))
                .collect::<Result<Vec<_>>>()?;
            ev.list(&items)
        }
        Toml::Table(table) => {
            let mut attrs = AttrsBuilder::with_capacity(table.len());
            for (name, value) in table {
                check_nul(&name, pos)?;
                let value = build(ev, value, pos)?;
                attrs.insert(ev.intern(name.as_bytes()), value, Pos::NONE);
            }
            ev.attrs(attrs)
        }
    })
}

/// A date or time as Nix has it: fractions of a second in groups of three digits.
fn timestamp(text: &str) -> String {
    let Some((before, after)) = text.split_once('.') else {
        return text.to_owned();
    };
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    let (fraction, zone) = after.split_at(digits);
    let width = digits.next_multiple_of(3);
    format!("{before}.{fraction:0<width$}{zone}")
}

fn check_nul(text: &str, pos: Pos) -> Result<()> {
    reject_nul(text.as_bytes(), pos)
        .map_err(|error| EvalError::new(pos, format!("while parsing TOML: error: {error}")))
}
