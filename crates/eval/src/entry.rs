//! What command lines do with values: attribute paths, arguments for functions, derivations to build.

use xbuild_store_model::StorePath;
use xbuild_syntax::symbol::Symbol;

use crate::Evaluator;
use crate::attrs::{Attrs, AttrsBuilder};
use crate::error::{EvalError, Result};
use crate::heap::Handle as _;
use crate::position::Pos;
use crate::string::{ContextElem, ContextSet};
use crate::value::{Value, ValueKind};

/// A derivation that [`Evaluator::derivations`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundDerivation {
    /// The attribute path where it was found, empty for the value itself.
    pub attr_path: String,
    /// Its `name`.
    pub name: String,
    /// The `.drv` file.
    pub drv_path: StorePath,
    /// The outputs that are wanted.
    pub outputs: Vec<String>,
}

impl Evaluator {
    /// The value at an attribute path such as `foo."a.b".2`: names, and indices of lists. Functions on the way are
    /// called with their defaults.
    ///
    /// # Errors
    ///
    /// If there is no such value, or the evaluation fails.
    pub fn select_path(&mut self, value: Value, path: &str) -> Result<Value> {
        self.select_path_with(value, path, &[])
    }

    /// As [`Evaluator::select_path`]; functions on the way get these arguments.
    ///
    /// # Errors
    ///
    /// If there is no such value, or the evaluation fails.
    pub fn select_path_with(
        &mut self,
        value: Value,
        path: &str,
        args: &[(Symbol, Value)],
    ) -> Result<Value> {
        let names = parse_attr_path(path)?;
        let mut value = value;
        for name in &names {
            value = self.auto_call(value, args)?;
            if let Ok(index) = name.parse::<usize>()
                && value.as_attrs().is_none_or(|attrs| {
                    self.symbols
                        .get(name.as_bytes())
                        .is_none_or(|name| attrs.get(name).is_none())
                })
            {
                let Some(list) = value.as_list() else {
                    return Err(EvalError::new(
                        Pos::NONE,
                        format!(
                            "the expression selected by the selection path '{path}' should be a list but is {}",
                            value.kind().type_name()
                        ),
                    ));
                };
                let Some(element) = list.as_slice().get(index) else {
                    return Err(EvalError::new(
                        Pos::NONE,
                        format!("list index {index} in selection path '{path}' is out of range"),
                    ));
                };
                value = self.force(*element, Pos::NONE)?;
                continue;
            }
            let Some(attrs) = value.as_attrs() else {
                return Err(EvalError::new(
                    Pos::NONE,
                    format!(
                        "the expression selected by the selection path '{path}' should be a set but is {}",
                        value.kind().type_name()
                    ),
                ));
            };
            let symbol = self.symbols.intern(name.as_bytes());
            let Some(attr) = attrs.get(symbol) else {
                let candidates = attrs.iter().map(|attr| self.symbols.name(attr.name));
                return Err(EvalError::new(
                    Pos::NONE,
                    format!("attribute '{name}' in selection path '{path}' not found"),
                )
                .suggest(crate::suggest::best_matches(name.as_bytes(), candidates)));
            };
            value = self.force(attr.value, attr.pos)?;
        }
        Ok(value)
    }

    /// Calls a function that takes a set with those of the arguments it asks for, and its defaults. Anything else is
    /// itself.
    ///
    /// # Errors
    ///
    /// If a formal has neither argument nor default, or the evaluation fails.
    pub fn auto_call(&mut self, value: Value, args: &[(Symbol, Value)]) -> Result<Value> {
        let value = self.force(value, Pos::NONE)?;
        if let ValueKind::Attrs(attrs) = value.kind() {
            let Some(functor) = attrs.get(self.known.functor) else {
                return Ok(value);
            };
            let fun = self.call(functor.value, &[value], functor.pos)?;
            return self.auto_call(fun, args);
        }
        let ValueKind::Lambda(closure) = value.kind() else {
            return Ok(value);
        };
        let Some(formals) = &closure.code.formals else {
            return Ok(value);
        };
        let mut given = AttrsBuilder::new();
        if formals.ellipsis {
            for (name, value) in args {
                given.insert(*name, *value, Pos::NONE);
            }
        } else {
            for formal in formals.formals {
                match args.iter().find(|(name, _)| *name == formal.name) {
                    Some((name, value)) => given.insert(*name, *value, Pos::NONE),
                    None if formal.default.is_some() => {}
                    None => {
                        let name = self.name(formal.name);
                        return Err(EvalError::new(
                            formal.pos,
                            format!(
                                "cannot evaluate a function that has an argument without a value ('{name}')\nhint: give it with `--arg {name} EXPRESSION` or `--argstr {name} TEXT`"
                            ),
                        ));
                    }
                }
            }
        }
        let given = self.attrs(given);
        self.call(value, &[given], Pos::NONE)
    }

    /// The derivations that a value stands for, as `nix-instantiate` finds them: itself, or those in a set (in the order
    /// of names, and into sets with `recurseForDerivations = true`) or list.
    ///
    /// # Errors
    ///
    /// If the value is none of these, or the evaluation fails.
    pub fn derivations(
        &mut self,
        value: Value,
        args: &[(Symbol, Value)],
    ) -> Result<Vec<FoundDerivation>> {
        let mut found = Vec::new();
        let mut seen = rustc_hash::FxHashSet::default();
        self.find_derivations(value, String::new(), args, &mut seen, &mut found)?;
        Ok(found)
    }

    fn find_derivations(
        &mut self,
        value: Value,
        path: String,
        args: &[(Symbol, Value)],
        seen: &mut rustc_hash::FxHashSet<usize>,
        found: &mut Vec<FoundDerivation>,
    ) -> Result<()> {
        if crate::stack::is_exhausted(self.stack_limit) {
            return Err(self.stack_overflow(Pos::NONE));
        }
        let below = |name: &str| {
            if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            }
        };
        let value = self.auto_call(value, args)?;
        match value.kind() {
            ValueKind::Attrs(attrs) if self.is_derivation(attrs, Pos::NONE)? => {
                if seen.insert(attrs.address()) {
                    let derivation = self.found_derivation(attrs, path)?;
                    found.push(derivation);
                }
                Ok(())
            }
            ValueKind::Attrs(attrs) => {
                for attr in self.sorted_by_name(attrs) {
                    let name = self.name(attr.name).into_owned();
                    if !is_plain_name(&name) {
                        continue;
                    }
                    // Of what stands in a set only derivations count, and sets that ask for it: not a list.
                    let value = self.force(attr.value, attr.pos)?;
                    let Some(inner) = value.as_attrs() else {
                        continue;
                    };
                    if self.is_derivation(inner, attr.pos)? || self.wants_recursion(inner)? {
                        self.find_derivations(value, below(&name), args, seen, found)?;
                    }
                }
                Ok(())
            }
            ValueKind::List(list) => {
                for (index, element) in list.as_slice().iter().enumerate() {
                    self.find_derivations(*element, below(&index.to_string()), args, seen, found)?;
                }
                Ok(())
            }
            _ => Err(EvalError::new(
                Pos::NONE,
                "expression does not evaluate to a derivation (or a set or list of those)",
            )),
        }
    }

    /// Whether a set asks to be looked into: `recurseForDerivations = true`.
    ///
    /// # Errors
    ///
    /// If the evaluation of that fails, or it is no Boolean.
    pub fn wants_recursion(&mut self, attrs: Attrs) -> Result<bool> {
        match attrs.get(self.known.recurse_for_derivations) {
            Some(attr) => self.force_bool(
                attr.value,
                attr.pos,
                "while evaluating the attribute `recurseForDerivations`",
            ),
            None => Ok(false),
        }
    }

    fn found_derivation(&mut self, attrs: Attrs, attr_path: String) -> Result<FoundDerivation> {
        let known = self.known;
        let Some(name) = attrs.get(known.name) else {
            return Err(EvalError::new(Pos::NONE, "derivation name missing"));
        };
        let name = self.force_string_no_context(
            name.value,
            name.pos,
            "while evaluating the `name` attribute of a derivation",
        )?;
        let name = String::from_utf8_lossy(name.bytes()).into_owned();
        let Some(drv_path) = attrs.get(known.drv_path) else {
            let message = "derivation does not contain a 'drvPath' attribute";
            return Err(EvalError::new(Pos::NONE, message));
        };
        let mut context = ContextSet::new();
        let text = self.coerce_to_path(
            drv_path.value,
            drv_path.pos,
            &mut context,
            "while evaluating the `drvPath` attribute of a derivation",
        )?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let store_path = StorePath::parse(&text)
            .map_err(|error| EvalError::new(drv_path.pos, error.to_string()))?;
        if !store_path.is_derivation() {
            let base = store_path.base_name();
            let message = format!("store path '{base}' is not a valid derivation path");
            return Err(EvalError::new(drv_path.pos, message));
        }
        let outputs = self.wanted_outputs(attrs)?;
        Ok(FoundDerivation {
            attr_path,
            name,
            drv_path: store_path,
            outputs,
        })
    }

    /// `outputName` where an output was chosen, else the first of `outputs`.
    fn wanted_outputs(&mut self, attrs: Attrs) -> Result<Vec<String>> {
        let known = self.known;
        let name = match attrs.get(known.output_name) {
            Some(attr) => {
                let name = self.force_string(
                    attr.value,
                    attr.pos,
                    "while evaluating the output name of a derivation",
                )?;
                String::from_utf8_lossy(name.bytes()).into_owned()
            }
            None => "out".to_owned(),
        };
        Ok(vec![name])
    }

    /// The text that `--raw` prints: of a string, or of what coerces to one; of a path, that of its copy in the store. `what` says what is being done.
    ///
    /// # Errors
    ///
    /// If the evaluation fails, or the value is of another kind.
    pub fn raw_text(&mut self, value: Value, what: &str) -> Result<Vec<u8>> {
        let mut context = ContextSet::new();
        let text = self.coerce_to_string(
            value,
            Pos::NONE,
            &mut context,
            crate::eval::Coercion::INTERPOLATE,
            what,
        )?;
        Ok(text.bytes().to_vec())
    }

    /// Has the host write everything that it delayed. To be called when an evaluation has ended well.
    ///
    /// # Errors
    ///
    /// If the host cannot.
    pub fn flush(&mut self) -> Result<()> {
        self.host
            .flush()
            .map_err(|error| EvalError::new(Pos::NONE, error.to_string()))
    }

    /// The context elements of a string value as requisites: what must be built for it.
    #[must_use]
    pub fn context_of(&self, value: Value) -> Vec<ContextElem> {
        value
            .as_string()
            .and_then(crate::string::Str::context)
            .unwrap_or_default()
            .to_vec()
    }
}

/// Splits `a."b.c".d` into its names.
///
/// # Errors
///
/// If a quote is not closed, or a name is empty.
pub fn parse_attr_path(path: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut name = String::new();
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match c {
            '.' => names.push(std::mem::take(&mut name)),
            '"' => loop {
                match chars.next() {
                    Some('"') => break,
                    Some(c) => name.push(c),
                    None => {
                        return Err(EvalError::new(
                            Pos::NONE,
                            format!("missing closing quote in selection path '{path}'"),
                        ));
                    }
                }
            },
            c => name.push(c),
        }
    }
    if !name.is_empty() {
        names.push(name);
    }
    if names.iter().any(String::is_empty) {
        return Err(EvalError::new(
            Pos::NONE,
            format!("empty attribute name in selection path '{path}'"),
        ));
    }
    Ok(names)
}

/// Whether an attribute's name can be typed in an attribute path as it is; others are not looked into.
fn is_plain_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_+".contains(&byte))
}
