//! `builtins.toXML`.

use rustc_hash::FxHashSet;

use super::float_text;
use super::xml_writer::XmlWriter;
use crate::Evaluator;
use crate::attrs::Attrs;
use crate::error::Result;
use crate::position::Pos;
use crate::string::ContextSet;
use crate::value::{Builtin, Closure, Value, ValueKind};

pub(super) static TABLE: &[Builtin] = &[Builtin {
    name: "__toXML",
    arity: 1,
    run: to_xml,
}];

fn to_xml(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let mut document = Document {
        xml: XmlWriter::new(),
        context: ContextSet::new(),
        seen: FxHashSet::default(),
    };
    document.xml.open("expr", &[]);
    document.value(ev, args[0], pos)?;
    document.xml.close("expr");
    Ok(ev.string_with(&document.xml.finish(), &document.context))
}

struct Document {
    xml: XmlWriter,
    context: ContextSet,
    /// The paths of derivations that were written already; their attributes are not repeated.
    seen: FxHashSet<&'static [u8]>,
}

impl Document {
    fn value(&mut self, ev: &mut Evaluator, value: Value, pos: Pos) -> Result<()> {
        ev.descend(pos, |ev| self.value_here(ev, value, pos))
    }

    fn value_here(&mut self, ev: &mut Evaluator, value: Value, pos: Pos) -> Result<()> {
        let value = ev.force(value, pos)?;
        match value.kind() {
            ValueKind::Int(value) => self.leaf("int", value.to_string().as_bytes()),
            ValueKind::Float(value) => self.leaf("float", float_text::general(value).as_bytes()),
            ValueKind::Bool(value) => self.leaf("bool", if value { b"true" } else { b"false" }),
            ValueKind::Null => self.xml.empty("null", &[]),
            ValueKind::String(text) => {
                self.context.add(text.context());
                self.leaf("string", text.bytes());
            }
            ValueKind::Path(path) => self.leaf("path", path.as_slice()),
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
            self.xml
                .open("attr", &[("name", ev.symbols.name(attr.name))]);
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
                && let Some(text) = ev.force(attr.value, attr.pos)?.as_string()
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

    fn function(&mut self, ev: &Evaluator, closure: &Closure) {
        self.xml.open("function", &[]);
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
