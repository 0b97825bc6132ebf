//! Values as `nix eval` and the repl print them: evaluated on the way, derivations by their path, errors in place.

use rustc_hash::FxHashSet;
use xbuild_store_model::StorePath;

use crate::Evaluator;
use crate::error::{ErrorKind, EvalError, Result};
use crate::eval::Coercion;
use crate::position::Pos;
use crate::print::{identity, list_identity, print_name, print_string};
use crate::value::{List, Value, ValueKind};

/// How a value is shown.
#[derive(Debug, Clone, Copy)]
pub struct ShowForm {
    /// Colours, as ANSI escape sequences.
    pub colour: bool,
    /// Sets and lists nested deeper are `{ ... }` and `[ ... ]`.
    pub max_depth: usize,
    /// Blanks that each level is indented by; 0 prints one line.
    pub indent: usize,
    /// An error of the value itself is the result; else it is shown as those inside of it are, in its place.
    pub errors_fail: bool,
}

impl ShowForm {
    /// As `nix eval` does: all of it, in one line.
    pub const LINE: Self = Self {
        colour: false,
        max_depth: usize::MAX,
        indent: 0,
        errors_fail: false,
    };
    /// As the repl does: the outermost level, with a line for each attribute.
    pub const OVERVIEW: Self = Self {
        colour: false,
        max_depth: 1,
        indent: 2,
        errors_fail: true,
    };
}

const RED: &str = "\x1b[31;1m";
const GREEN: &str = "\x1b[32;1m";
const BLUE: &str = "\x1b[34;1m";
const MAGENTA: &str = "\x1b[35;1m";
const CYAN: &str = "\x1b[36;1m";
const NORMAL: &str = "\x1b[0m";

impl Evaluator {
    /// The value as text; what is shown is evaluated for it.
    ///
    /// # Errors
    ///
    /// If the evaluation of the value itself fails, as far as `form` says so; too deep a recursion and an interruption
    /// always.
    pub fn show_value(&mut self, value: Value, form: ShowForm) -> Result<Vec<u8>> {
        let mut show = Show {
            form,
            seen: FxHashSet::default(),
            level: 0,
            out: Vec::new(),
        };
        show.value(self, value, 0)?;
        Ok(show.out)
    }
}

struct Show {
    form: ShowForm,
    /// The sets and lists that were shown.
    seen: FxHashSet<usize>,
    /// How many blanks lines begin with.
    level: usize,
    out: Vec<u8>,
}

impl Show {
    fn value(&mut self, ev: &mut Evaluator, value: Value, depth: usize) -> Result<()> {
        match ev.descend(Pos::NONE, |ev| self.forced(ev, value, depth)) {
            Err(error)
                if (self.form.errors_fail && depth == 0)
                    || matches!(
                        error.data().kind,
                        ErrorKind::StackOverflow | ErrorKind::Interrupted
                    ) =>
            {
                Err(error)
            }
            Err(error) => {
                self.coloured(RED, format!("«error: {error}»").as_bytes());
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn forced(&mut self, ev: &mut Evaluator, value: Value, depth: usize) -> Result<()> {
        let place = value;
        let value = ev.force(value, Pos::NONE)?;
        match value.kind() {
            ValueKind::Attrs(attrs) => self.set(ev, attrs, depth),
            ValueKind::List(list) => self.list(ev, list, list_identity(place, list), depth),
            ValueKind::String(string) => {
                let mut text = Vec::new();
                print_string(string.bytes(), &mut text);
                self.coloured(MAGENTA, &text);
                Ok(())
            }
            ValueKind::Path(_) => self.simple(ev, GREEN, value),
            ValueKind::Lambda(_) | ValueKind::Builtin(_) | ValueKind::Partial(_) => {
                let text = ev.show_for_error(value);
                self.coloured(BLUE, text.as_bytes());
                Ok(())
            }
            _ => self.simple(ev, CYAN, value),
        }
    }

    fn simple(&mut self, ev: &Evaluator, colour: &str, value: Value) -> Result<()> {
        let mut text = Vec::new();
        ev.print_simple(value, usize::MAX, &mut text);
        self.coloured(colour, &text);
        Ok(())
    }

    fn coloured(&mut self, colour: &str, text: &[u8]) {
        if self.form.colour {
            self.out.extend_from_slice(colour.as_bytes());
            self.out.extend_from_slice(text);
            self.out.extend_from_slice(NORMAL.as_bytes());
        } else {
            self.out.extend_from_slice(text);
        }
    }

    fn space(&mut self, lines: bool) {
        if lines {
            self.out.push(b'\n');
            self.out.resize(self.out.len() + self.level, b' ');
        } else {
            self.out.push(b' ');
        }
    }

    /// Whether the parts of a set or list stand in lines of their own: several do, and one that has parts itself.
    fn in_lines(&self, ev: &mut Evaluator, len: usize, first: Option<Value>) -> Result<bool> {
        let Some(first) = first.filter(|_| self.form.indent > 0) else {
            return Ok(false);
        };
        if len > 1 {
            return Ok(true);
        }
        let first = ev.force(first, Pos::NONE)?;
        Ok(matches!(
            first.kind(),
            ValueKind::Attrs(_) | ValueKind::List(_)
        ))
    }

    fn set(&mut self, ev: &mut Evaluator, attrs: crate::attrs::Attrs, depth: usize) -> Result<()> {
        if !self.seen.insert(identity(attrs)) {
            self.coloured(MAGENTA, "«repeated»".as_bytes());
            return Ok(());
        }
        if ev.is_derivation(attrs, Pos::NONE)? {
            let path = match attrs.get(ev.known.drv_path) {
                Some(attr) => {
                    let what = "while evaluating the drvPath of a derivation";
                    let mut context = crate::string::ContextSet::new();
                    let path = ev.coerce_to_string(
                        attr.value,
                        attr.pos,
                        &mut context,
                        Coercion::PLAIN,
                        what,
                    )?;
                    let path = String::from_utf8_lossy(path.bytes()).into_owned();
                    if StorePath::parse(&path).is_err() {
                        let message = format!("path '{path}' is not in the Nix store");
                        return Err(EvalError::new(attr.pos, message).context(attr.pos, what));
                    }
                    format!(" {path}")
                }
                None => String::new(),
            };
            self.coloured(GREEN, format!("«derivation{path}»").as_bytes());
            return Ok(());
        }
        if depth >= self.form.max_depth {
            self.out.extend_from_slice(b"{ ... }");
            return Ok(());
        }
        self.out.push(b'{');
        self.level += self.form.indent;
        let sorted = ev.sorted_by_name(attrs);
        let lines = self.in_lines(ev, sorted.len(), sorted.first().map(|attr| attr.value));
        if let Ok(lines) = lines {
            for attr in sorted {
                self.space(lines);
                print_name(ev.symbols.name(attr.name), &mut self.out);
                self.out.extend_from_slice(b" = ");
                self.value(ev, attr.value, depth + 1)?;
                self.out.push(b';');
            }
        }
        self.level -= self.form.indent;
        self.space(lines?);
        self.out.push(b'}');
        Ok(())
    }

    fn list(
        &mut self,
        ev: &mut Evaluator,
        list: List,
        identity: usize,
        depth: usize,
    ) -> Result<()> {
        if !list.is_empty() && !self.seen.insert(identity) {
            self.coloured(MAGENTA, "«repeated»".as_bytes());
            return Ok(());
        }
        if depth >= self.form.max_depth {
            self.out.extend_from_slice(b"[ ... ]");
            return Ok(());
        }
        self.out.push(b'[');
        self.level += self.form.indent;
        let elements = list.as_slice();
        let lines = self.in_lines(ev, elements.len(), elements.first().copied());
        if let Ok(lines) = lines {
            for element in elements {
                self.space(lines);
                self.value(ev, *element, depth + 1)?;
            }
        }
        self.level -= self.form.indent;
        self.space(lines?);
        self.out.push(b']');
        Ok(())
    }
}
