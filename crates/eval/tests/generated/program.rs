//! Typed random programs of the language: most of them have a value.

use super::random::Random;
use super::templates::{leaves, templates};

/// The types of expressions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Type {
    Int,
    Float,
    Bool,
    Text,
    /// A string with a context.
    Context,
    /// A list of integers.
    Ints,
    /// A list of strings.
    Texts,
    /// A set with any of the attributes `a`, `b`, `c`, of integers.
    Set,
    Path,
    /// A list of anything.
    List,
    /// A set of anything.
    Attrs,
    Function,
    /// A function to booleans.
    Predicate,
    Derivation,
    /// The name of an attribute.
    Name,
    Null,
    /// An integer or a float.
    Number,
    Any,
}

/// The types that a value can be of, with their letters in templates.
const TYPES: [(Type, char); 18] = [
    (Type::Int, 'i'),
    (Type::Float, 'f'),
    (Type::Bool, 'b'),
    (Type::Text, 't'),
    (Type::Context, 'c'),
    (Type::Ints, 'I'),
    (Type::Texts, 'T'),
    (Type::Set, 's'),
    (Type::Path, 'p'),
    (Type::List, 'l'),
    (Type::Attrs, 'a'),
    (Type::Function, 'F'),
    (Type::Predicate, 'P'),
    (Type::Derivation, 'd'),
    (Type::Name, 'k'),
    (Type::Null, '0'),
    (Type::Number, 'n'),
    (Type::Any, 'x'),
];
/// The types before `Number`.
const CONCRETE: usize = 16;

/// Makes one program.
pub(crate) struct Generator {
    random: Random,
    /// Variables in scope.
    variables: Vec<(String, Type)>,
    names: usize,
    /// One expression in so many is of another type than it should be, which fails if it is needed.
    wrong_in: usize,
}

/// A program of some type from a seed.
pub(crate) fn program(seed: u64) -> String {
    generate(seed, 60)
}

/// A program in which types are often wrong.
pub(crate) fn careless_program(seed: u64) -> String {
    generate(seed, 7)
}

fn generate(seed: u64, wrong_in: usize) -> String {
    let mut generator = Generator {
        random: Random::new(seed),
        variables: Vec::new(),
        names: 0,
        wrong_in,
    };
    let depth = 2 + generator.random.below(4);
    let kind = generator.some_type();
    let text = generator.expr(kind, depth);
    // A function would be called to be printed.
    format!("[ {text} ]")
}

impl Generator {
    fn some_type(&mut self) -> Type {
        TYPES[self.random.below(CONCRETE)].0
    }

    fn expr(&mut self, kind: Type, depth: usize) -> String {
        if self.random.one_in(self.wrong_in) {
            let other = self.some_type();
            return self.expr_of(other, depth.saturating_sub(1));
        }
        self.expr_of(kind, depth)
    }

    fn expr_of(&mut self, kind: Type, depth: usize) -> String {
        match kind {
            Type::Any => {
                let kind = self.some_type();
                return self.expr_of(kind, depth);
            }
            Type::Number => {
                let kind = *self.random.pick(&[Type::Int, Type::Float]);
                return self.expr_of(kind, depth);
            }
            _ => {}
        }
        if depth == 0 || self.random.one_in(6) {
            return self.leaf(kind);
        }
        let depth = depth - 1;
        if self.random.one_in(4) {
            return self.general(kind, depth);
        }
        let template = *self.random.pick(templates(kind));
        format!("({})", self.filled(template, depth))
    }

    /// The template with an expression in place of each `@` and letter.
    fn filled(&mut self, template: &str, depth: usize) -> String {
        let mut parts = template.split('@');
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let letter = part.chars().next().unwrap_or_default();
            match TYPES.iter().find(|(_, known)| *known == letter) {
                // The pattern of a function.
                _ if part.starts_with("all") || part.starts_with('{') => {
                    out.push('@');
                    out.push_str(part);
                }
                Some(&(kind, _)) => {
                    let expr = self.expr(kind, depth);
                    // What stands alone needs no brackets; others have their own.
                    let plain = expr.starts_with(['(', '[', '{', '"'])
                        || expr.chars().all(|c| c.is_ascii_alphanumeric());
                    if plain && !self.random.one_in(4) {
                        out.push_str(&expr);
                    } else {
                        out.push_str(&format!("({expr})"));
                    }
                    out.push_str(&part[1..]);
                }
                None => {
                    out.push('@');
                    out.push_str(part);
                }
            }
        }
        out
    }

    fn leaf(&mut self, kind: Type) -> String {
        let known: Vec<String> = self
            .variables
            .iter()
            .filter(|variable| variable.1 == kind)
            .map(|variable| variable.0.clone())
            .collect();
        if !known.is_empty() && !self.random.one_in(3) {
            return self.random.pick(&known).clone();
        }
        let leaf = *self.random.pick(leaves(kind));
        let closed = leaf.starts_with('[') || leaf.starts_with('(') || !leaf.contains(' ');
        if closed {
            leaf.to_owned()
        } else {
            format!("({leaf})")
        }
    }

    fn fresh(&mut self) -> String {
        self.names += 1;
        // Some names shadow others.
        let names = ["x", "y", "z", "map", "a", "toString"];
        match names.get(self.random.below(9)) {
            Some(name) => (*name).to_owned(),
            None => format!("v{}", self.names),
        }
    }

    /// An expression with a variable in scope.
    fn with_variable(&mut self, name: &str, of: Type, kind: Type, depth: usize) -> String {
        let before = self.variables.clone();
        self.variables.retain(|variable| variable.0 != name);
        self.variables.push((name.to_owned(), of));
        let body = self.expr(kind, depth);
        self.variables = before;
        body
    }

    /// What gives a value of any type.
    fn general(&mut self, kind: Type, depth: usize) -> String {
        let of = self.some_type();
        let value = self.expr(of, depth);
        match self.random.below(18) {
            0 | 1 => {
                let condition = self.expr(Type::Bool, depth);
                let (yes, no) = (self.expr(kind, depth), self.expr(kind, depth));
                format!("(if {condition} then {yes} else {no})")
            }
            2 | 3 => {
                let name = self.fresh();
                let body = self.with_variable(&name, of, kind, depth);
                format!("(let {name} = {value}; in {body})")
            }
            4 => {
                let name = self.fresh();
                let body = self.with_variable(&name, of, kind, depth);
                format!("(({name}: {body}) ({value}))")
            }
            5 => {
                let name = self.fresh();
                let default = self.expr(of, depth);
                let body = self.with_variable(&name, of, kind, depth);
                let rest = self
                    .random
                    .word(&["}", ", ... }", ", ... }@rest", ", unused ? 1 }"]);
                let argument = match self.random.below(5) {
                    0 | 1 => format!("{name} = {value};"),
                    2 => "unexpected = 1;".to_owned(),
                    _ => String::new(),
                };
                format!("(({{ {name} ? {default}{rest}: {body}) {{ {argument} }})")
            }
            6 => {
                let other = self.expr(kind, depth);
                format!("{{ q = {other}; r = {value}; }}.q")
            }
            7 => {
                let other = self.expr(kind, depth);
                format!("({{ }}.q or ({other}))")
            }
            8 => {
                let name = self.fresh();
                let body = self.with_variable(&name, of, kind, depth);
                format!("(with {{ {name} = {value}; }}; {body})")
            }
            9 => {
                let name = self.fresh();
                let body = self.with_variable(&name, of, kind, depth);
                format!("(rec {{ {name} = {value}; result = {body}; }}).result")
            }
            10 => {
                let (condition, value) = (self.expr(Type::Bool, depth), self.expr(kind, depth));
                format!("(assert {condition}; {value})")
            }
            11 => {
                let result = self.expr(kind, depth);
                let strict = self.random.word(&["seq", "deepSeq", "trace"]);
                format!("(builtins.{strict} ({value}) ({result}))")
            }
            12 => {
                let (value, other) = (self.expr(kind, depth), self.leaf(kind));
                format!(
                    "(let t = builtins.tryEval ({value}); in if t.success then t.value else ({other}))"
                )
            }
            13 => {
                let value = self.expr(kind, depth);
                format!("(let s = {{ m = {value}; n = 1; }}; inherit (s) m; in m)")
            }
            14 => {
                let name = self.fresh();
                let body = self.with_variable(&name, of, kind, depth);
                format!("(let {{ {name} = {value}; body = {body}; }})")
            }
            15 => {
                let (one, other) = (self.expr(kind, depth), self.expr(kind, depth));
                format!(
                    "(builtins.elemAt [ ({one}) ({other}) ] {})",
                    self.random.below(3)
                )
            }
            16 => {
                let value = self.expr(kind, depth);
                let text = self.expr(Type::Text, 0);
                let what = self.random.word(&["addErrorContext", "warn", "trace"]);
                format!("(builtins.{what} {text} ({value}))")
            }
            _ => {
                let (name, other) = (self.fresh(), self.expr(kind, depth));
                format!("(with {{ {name} = {value}; k = {other}; }}; let {name} = k; in {name})")
            }
        }
    }
}
