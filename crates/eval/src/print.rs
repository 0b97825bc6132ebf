//! Values as text: as `nix-instantiate --eval` prints them, and as error messages show them.

use rustc_hash::FxHashSet;

use xbuild_syntax::symbol::Symbol;

use crate::Evaluator;
use crate::builtins::float_text;
use crate::error::Result;
use crate::heap::Handle as _;
use crate::position::Pos;
use crate::stack;
use crate::value::{Attr, List, Value, ValueKind};

/// How much of a value an error message shows.
const MAX_DEPTH: usize = 10;
const MAX_ITEMS: usize = 10;
const MAX_STRING: usize = 1024;

impl Evaluator {
    /// The value as `nix-instantiate --eval` prints it. What is not evaluated yet is `<CODE>`; if `strict`, everything
    /// is evaluated first.
    ///
    /// # Errors
    ///
    /// If an evaluation fails.
    pub fn print(&mut self, value: Value, strict: bool) -> Result<Vec<u8>> {
        let value = if strict {
            self.force_deep(value, Pos::NONE)?
        } else {
            self.force(value, Pos::NONE)?
        };
        let mut out = Vec::new();
        match value.kind() {
            ValueKind::Lambda(_) => out.extend_from_slice(b"<LAMBDA>"),
            _ => self.print_value(value, strict, &mut FxHashSet::default(), &mut out)?,
        }
        Ok(out)
    }

    fn print_value(
        &self,
        value: Value,
        strict: bool,
        seen: &mut FxHashSet<usize>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if stack::is_exhausted(self.stack_limit) {
            return Err(self.stack_overflow(Pos::NONE));
        }
        let known = match value.known() {
            Some(_) if !strict && is_delayed_function(value) => None,
            known => known,
        };
        let place = value;
        let Some(value) = known else {
            out.extend_from_slice(b"<CODE>");
            return Ok(());
        };
        match value.kind() {
            ValueKind::Attrs(attrs) => {
                if !attrs.is_empty() && !seen.insert(attrs.address()) {
                    out.extend_from_slice("«repeated»".as_bytes());
                    return Ok(());
                }
                out.extend_from_slice(b"{ ");
                for attr in self.sorted_by_name(attrs) {
                    out.extend_from_slice(&self.shown_name(attr));
                    out.extend_from_slice(b" = ");
                    self.print_value(attr.value, strict, seen, out)?;
                    out.extend_from_slice(b"; ");
                }
                out.push(b'}');
            }
            ValueKind::List(list) => {
                if !list.is_empty() && !seen.insert(list_identity(place, list)) {
                    out.extend_from_slice("«repeated»".as_bytes());
                    return Ok(());
                }
                out.extend_from_slice(b"[ ");
                for element in list.as_slice() {
                    self.print_value(*element, strict, seen, out)?;
                    out.push(b' ');
                }
                out.push(b']');
            }
            ValueKind::Lambda(_) => out.extend_from_slice(b"<LAMBDA>"),
            ValueKind::Builtin(_) => out.extend_from_slice(b"<PRIMOP>"),
            ValueKind::Partial(_) => out.extend_from_slice(b"<PRIMOP-APP>"),
            _ => self.print_simple(value, usize::MAX, out),
        }
        Ok(())
    }

    /// The value as error messages have it: short, and nothing is evaluated for it.
    #[must_use]
    pub fn show_for_error(&self, value: Value) -> String {
        self.show_within(value, MAX_DEPTH, MAX_ITEMS, MAX_STRING)
    }

    /// The same, however much it is: as `builtins.trace` has it.
    #[must_use]
    pub fn show_whole(&self, value: Value) -> String {
        self.show_within(value, usize::MAX, usize::MAX, usize::MAX)
    }

    fn show_within(&self, value: Value, depth: usize, items: usize, string: usize) -> String {
        let mut out = Vec::new();
        let mut budget = Budget {
            depth,
            attrs: items,
            items,
            string,
            seen: FxHashSet::default(),
        };
        self.show(value, 0, &mut budget, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    fn show(&self, value: Value, depth: usize, budget: &mut Budget, out: &mut Vec<u8>) {
        let place = value;
        let known = match value.known() {
            Some(_) if depth > 0 && is_delayed_function(value) => None,
            known => known,
        };
        let Some(value) = known else {
            let text = match value.as_thunk().map(crate::heap::Thunk::is_blackhole) {
                Some(true) => "«potential infinite recursion»",
                _ => "«thunk»",
            };
            out.extend_from_slice(text.as_bytes());
            return;
        };
        match value.kind() {
            ValueKind::Attrs(attrs) => {
                if !budget.seen.insert(identity(attrs)) {
                    out.extend_from_slice("«repeated»".as_bytes());
                } else if depth >= budget.depth {
                    out.extend_from_slice(b"{ ... }");
                } else {
                    out.extend_from_slice(b"{ ");
                    let mut sorted = self.sorted_by_name(attrs);
                    // What tells most about a set comes first.
                    if budget.attrs < usize::MAX {
                        sorted.sort_by_key(|attr| {
                            !(attr.name == self.known.kind
                                || self.symbols.name(attr.name) == b"_type")
                        });
                    }
                    for (index, attr) in sorted.iter().enumerate() {
                        if budget.attrs == 0 {
                            elided(sorted.len() - index, "attribute", out);
                            out.push(b' ');
                            break;
                        }
                        out.extend_from_slice(&self.shown_name(*attr));
                        out.extend_from_slice(b" = ");
                        self.show(attr.value, depth + 1, budget, out);
                        out.extend_from_slice(b"; ");
                        // What is inside counts first, and may use up more than there is.
                        if budget.attrs < usize::MAX {
                            budget.attrs = budget.attrs.saturating_sub(1);
                        }
                    }
                    out.push(b'}');
                }
            }
            ValueKind::List(list) => {
                if !list.is_empty() && !budget.seen.insert(list_identity(place, list)) {
                    out.extend_from_slice("«repeated»".as_bytes());
                } else if depth >= budget.depth {
                    out.extend_from_slice(b"[ ... ]");
                } else {
                    out.extend_from_slice(b"[ ");
                    for (index, element) in list.as_slice().iter().enumerate() {
                        if budget.items == 0 {
                            elided(list.len() - index, "item", out);
                            out.push(b' ');
                            break;
                        }
                        self.show(*element, depth + 1, budget, out);
                        out.push(b' ');
                        if budget.items < usize::MAX {
                            budget.items = budget.items.saturating_sub(1);
                        }
                    }
                    out.push(b']');
                }
            }
            ValueKind::Lambda(closure) => {
                let name = closure
                    .code
                    .name
                    .map_or_else(String::new, |name| format!(" {}", self.name(name)));
                let text = format!("«lambda{name} @ {}»", self.show_position(closure.code.pos));
                out.extend_from_slice(text.as_bytes());
            }
            ValueKind::Builtin(builtin) => {
                out.extend_from_slice(format!("«primop {}»", builtin.plain_name()).as_bytes());
            }
            ValueKind::Partial(partial) => {
                let name = match partial.head().kind() {
                    ValueKind::Builtin(builtin) => builtin.plain_name(),
                    _ => "?",
                };
                out.extend_from_slice(format!("«partially applied primop {name}»").as_bytes());
            }
            _ => self.print_simple(value, budget.string, out),
        }
    }

    /// A name as messages have it: in quotes where the language needs them.
    pub(crate) fn shown_symbol(&self, name: Symbol) -> String {
        let mut out = Vec::new();
        print_name(self.symbols.name(name), &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    fn shown_name(&self, attr: Attr) -> Vec<u8> {
        let mut out = Vec::new();
        print_name(self.symbols.name(attr.name), &mut out);
        out
    }
}

/// Whether an attribute or element is a function that nobody is known to have asked for. What a function is stands in
/// the code, so that it is made at once; Nix delays it like other expressions, and shows it so.
pub(crate) fn is_delayed_function(value: Value) -> bool {
    value.as_lambda().is_some()
}

/// How much more of a value may be shown.
struct Budget {
    depth: usize,
    string: usize,
    attrs: usize,
    items: usize,
    seen: FxHashSet<usize>,
}

fn elided(count: usize, what: &str, out: &mut Vec<u8>) {
    let plural = if count == 1 { "" } else { "s" };
    out.extend_from_slice(format!("«{count} {what}{plural} elided»").as_bytes());
}

impl Evaluator {
    /// Prints what is neither a set, a list nor a function.
    pub(crate) fn print_simple(&self, value: Value, max_string: usize, out: &mut Vec<u8>) {
        match value.kind() {
            ValueKind::Int(int) => out.extend_from_slice(int.to_string().as_bytes()),
            ValueKind::Float(float) => out.extend_from_slice(float_text::general(float).as_bytes()),
            ValueKind::Bool(bool) => out.extend_from_slice(if bool { b"true" } else { b"false" }),
            ValueKind::Null => out.extend_from_slice(b"null"),
            ValueKind::String(string) => {
                let bytes = string.bytes();
                print_string(&bytes[..bytes.len().min(max_string)], out);
                if bytes.len() > max_string {
                    out.push(b' ');
                    elided(bytes.len() - max_string, "byte", out);
                }
            }
            ValueKind::Path(path) => out.extend_from_slice(&self.shown_path(path.as_slice())),
            _ => {}
        }
    }
}

/// A string as a literal of the language.
pub fn print_string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for (index, &byte) in bytes.iter().enumerate() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'$' if bytes.get(index + 1) == Some(&b'{') => out.extend_from_slice(b"\\$"),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// The name of an attribute, in quotes where the language needs them.
pub fn print_name(name: &[u8], out: &mut Vec<u8>) {
    const KEYWORDS: [&[u8]; 9] = [
        b"if", b"then", b"else", b"assert", b"with", b"let", b"in", b"rec", b"inherit",
    ];
    let is_start = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    let is_rest = |byte: &u8| byte.is_ascii_alphanumeric() || b"_'-".contains(byte);
    let plain =
        name.first().is_some_and(is_start) && name.iter().all(is_rest) && !KEYWORDS.contains(&name);
    if plain {
        out.extend_from_slice(name);
    } else {
        print_string(name, out);
    }
}

/// What tells a set from others that were shown: all empty ones are one object in Nix.
pub(crate) fn identity(attrs: crate::attrs::Attrs) -> usize {
    if attrs.is_empty() { 0 } else { attrs.address() }
}

/// What tells a list from others that were shown. In Nix it is the place of the value, of which there may be copies elsewhere: here
/// that is the thunk that gave the list, if one did.
pub(crate) fn list_identity(place: Value, list: List) -> usize {
    match place.as_thunk() {
        Some(thunk) => std::ptr::from_ref(thunk).addr(),
        None => list.address(),
    }
}
