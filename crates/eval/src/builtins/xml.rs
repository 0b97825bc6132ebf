//! `builtins.toXML`.

use rustc_hash::FxHashSet;

use super::float_text;
use super::xml_writer::XmlWriter;
use crate::Evaluator;
use crate::attrs::Attrs;
use crate::error::Result;
use crate::position::Pos;
use crate::print::is_delayed_function;
use crate::string::ContextSet;
use crate::value::{Builtin, Closure, Value, ValueKind};

pub(super) static TABLE: &[Builtin] = &[Builtin {
    name: "__toXML",
    arity: 1,
    run: to_xml,
}];

fn to_xml(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let mut context = ContextSet::new();
    let how = XmlForm {
        strict: true,
        location: false,
    };
    let document = ev.to_xml(args[0], how, &mut context, pos)?;
    Ok(ev.string_with(&document, &context))
}

/// What an XML document of a value has.
#[derive(Debug, Clone, Copy)]
pub struct XmlForm {
    /// Everything is evaluated; else what is not evaluated yet is `<unevaluated />`.
    pub strict: bool,
    /// Attributes and functions have the place of their definition.
    pub location: bool,
}

impl Evaluator {
    /// The value as an XML document (Nix manual, `builtins.toXML`); the context of its strings is added to `context`.
    ///
    /// # Errors
    ///
    /// If an evaluation fails.
    pub fn to_xml(
        &mut self,
        value: Value,
        form: XmlForm,
        context: &mut ContextSet,
        pos: Pos,
    ) -> Result<Vec<u8>> {
        let value = self.force(value, pos)?;
        let mut document = Document {
            xml: XmlWriter::new(),
            context,
            seen: FxHashSet::default(),
            form,
        };
        document.xml.open("expr", &[]);
        match value.as_lambda() {
            Some(closure) => document.function(self, closure),
            None => document.value(self, value, pos)?,
        }
        document.xml.close("expr");
        Ok(document.xml.finish())
    }
}

struct Document<'c> {
    xml: XmlWriter,
    context: &'c mut ContextSet,
    form: XmlForm,
    /// The paths of derivations that were written already; their attributes are not repeated.
    seen: FxHashSet<&'static [u8]>,
}

impl Document<'_> {
    fn value(&mut self, ev: &mut Evaluator, value: Value, pos: Pos) -> Result<()> {
        ev.descend(pos, |ev| self.value_here(ev, value, pos))
    }

    fn value_here(&mut self, ev: &mut Evaluator, value: Value, pos: Pos) -> Result<()> {
        let value = if self.form.strict {
            ev.force(value, pos)?
        } else if is_delayed_function(value) {
            self.xml.empty("unevaluated", &[]);
            return Ok(());
        } else {
            value.known().unwrap_or(value)
        };
        match value.kind() {
            ValueKind::Int(value) => self.leaf("int", value.to_string().as_bytes()),
            ValueKind::Float(value) => self.leaf("float", float_text::general(value).as_bytes()),
            ValueKind::Bool(value) => self.leaf("bool", if value { b"true" } else { b"false" }),
            ValueKind::Null => self.xml.empty("null", &[]),
            ValueKind::String(text) => {
                self.context.add(text.context());
                self.leaf("string", text.bytes());
            }
            ValueKind::Path(path) => self.leaf("path", &ev.shown_path(path.as_slice())),
            ValueKind::List(list) => {
                self.xml.open("list", &[]);
                for &element in list.as_slice() {
                    self.value(ev, element, pos)?;
                }
                self.xml.close("list");
            }
            ValueKind::Attrs(attrs) if ev.is_derivation(attrs, pos)? => {
                self.derivation(ev, attrs)?;
            }
            ValueKind::Attrs(attrs) => {
                self.xml.open("attrs", &[]);
                self.attrs(ev, attrs)?;
                self.xml.close("attrs");
            }
            ValueKind::Lambda(closure) => self.function(ev, closure),
            ValueKind::Builtin(_) | ValueKind::Partial(_) | ValueKind::Thunk(_) => {
                self.xml.empty("unevaluated", &[]);
            }
        }
        Ok(())
    }

    fn leaf(&mut self, name: &str, value: &[u8]) {
        self.xml.empty(name, &[("value", value)]);
    }

    fn attrs(&mut self, ev: &mut Evaluator, attrs: Attrs) -> Result<()> {
        for attr in ev.sorted_by_name(attrs) {
            let place = self.place(ev, attr.pos);
            let mut attributes = place.attributes();
            attributes.push(("name", ev.symbols.name(attr.name)));
            attributes.sort_unstable_by_key(|(key, _)| *key);
            self.xml.open("attr", &attributes);
            self.value(ev, attr.value, attr.pos)?;
            self.xml.close("attr");
        }
        Ok(())
    }

    fn derivation(&mut self, ev: &mut Evaluator, attrs: Attrs) -> Result<()> {
        let mut paths = Vec::new();
        for (name, symbol) in [
            ("drvPath", ev.known.drv_path),
            ("outPath", ev.known.out_path),
        ] {
            if let Some(attr) = attrs.get(symbol)
                && let Some(text) = self.looked_at(ev, attr.value, attr.pos)?
            {
                paths.push((name, text.bytes()));
            }
        }
        self.xml.open("derivation", &paths);
        match paths.first() {
            Some(&("drvPath", path)) if !path.is_empty() && self.seen.insert(path) => {
                self.attrs(ev, attrs)?;
            }
            _ => self.xml.empty("repeated", &[]),
        }
        self.xml.close("derivation");
        Ok(())
    }

    /// The text of a value, if it is a string, and evaluated if it must be.
    fn looked_at(
        &self,
        ev: &mut Evaluator,
        value: Value,
        pos: Pos,
    ) -> Result<Option<crate::string::Str>> {
        if self.form.strict {
            return Ok(ev.force(value, pos)?.as_string());
        }
        Ok(value.known().and_then(Value::as_string))
    }

    /// The place of a definition, where the document has places.
    fn place(&self, ev: &Evaluator, pos: Pos) -> Place {
        let position = match self.form.location {
            true => ev.position(pos),
            false => None,
        };
        Place(position.map(|position| {
            let path = ev.file_of(&position);
            (position.column.to_string(), position.line.to_string(), path)
        }))
    }

    fn function(&mut self, ev: &Evaluator, closure: &Closure) {
        let place = self.place(ev, closure.code.pos);
        self.xml.open("function", &place.attributes());
        let arg = closure.code.arg.map(|arg| ev.symbols.name(arg));
        if let Some(formals) = &closure.code.formals {
            let mut attributes: Vec<(&str, &[u8])> = Vec::new();
            if formals.ellipsis {
                attributes.push(("ellipsis", b"1"));
            }
            attributes.extend(arg.map(|arg| ("name", arg)));
            self.xml.open("attrspat", &attributes);
            let mut names: Vec<_> = formals
                .formals
                .iter()
                .map(|formal| ev.symbols.name(formal.name))
                .collect();
            names.sort_unstable();
            for name in names {
                self.xml.empty("attr", &[("name", name)]);
            }
            self.xml.close("attrspat");
        } else {
            self.xml
                .empty("varpat", &[("name", arg.unwrap_or_default())]);
        }
        self.xml.close("function");
    }
}

/// Column, line, and the path if it is in a file.
struct Place(Option<(String, String, Option<String>)>);

impl Place {
    /// In alphabetical order, as all attributes are.
    fn attributes(&self) -> Vec<(&'static str, &[u8])> {
        let Some((column, line, path)) = &self.0 else {
            return Vec::new();
        };
        let mut attributes = vec![("column", column.as_bytes()), ("line", line.as_bytes())];
        attributes.extend(path.iter().map(|path| ("path", path.as_bytes())));
        attributes
    }
}
