//! Reading `flake.nix`: description, inputs and configuration must be written down, nothing is computed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use xbuild_eval::attrs::Attrs as ValueAttrs;
use xbuild_eval::value::{Attr, Value, ValueKind};
use xbuild_eval::{EvalError, Evaluator, Pos, Result};
use xbuild_flake_ref::{AttrValue, Attrs, FlakeRef, ParseOptions, RefError};

use crate::config::ConfigValue;
use crate::lock_file::{InputPath, parse_input_path};

/// What `flake.nix` says of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlakeInput {
    /// What it is; without one, a flake of that name in a registry.
    pub reference: Option<FlakeRef>,
    /// Whether it is a flake, or just a tree.
    pub is_flake: bool,
    /// It is the same as this one.
    pub follows: Option<InputPath>,
    /// What its own inputs are to be.
    pub overrides: BTreeMap<String, FlakeInput>,
}

impl Default for FlakeInput {
    fn default() -> Self {
        Self {
            reference: None,
            is_flake: true,
            follows: None,
            overrides: BTreeMap::new(),
        }
    }
}

/// A flake whose `flake.nix` was read.
#[derive(Debug, Clone)]
pub struct Flake {
    /// As it was asked for.
    pub original: FlakeRef,
    /// What the registries make of that.
    pub resolved: FlakeRef,
    /// What was fetched.
    pub locked: FlakeRef,
    /// `flake.nix`, in the store.
    pub path: PathBuf,
    /// Whether it is not what its commit says, although it looks so: a lock file that is not written.
    pub force_dirty: bool,
    /// `description`
    pub description: Option<String>,
    /// `inputs`, without `self`.
    pub inputs: BTreeMap<String, FlakeInput>,
    /// `inputs.self`
    pub self_attrs: Attrs,
    /// `nixConfig`
    pub config: Vec<(String, ConfigValue)>,
}

impl Flake {
    /// The directory of `flake.nix`.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }
}

pub(crate) fn ref_error(error: &RefError) -> EvalError {
    EvalError::new(Pos::NONE, error.to_string())
}

pub(crate) fn error(text: impl Into<String>) -> EvalError {
    EvalError::new(Pos::NONE, text)
}

/// The three forms of a reference to a flake.
pub(crate) struct References {
    pub(crate) original: FlakeRef,
    pub(crate) resolved: FlakeRef,
    pub(crate) locked: FlakeRef,
}

/// Where a flake is read: `flake.nix` in the store, the root of its tree, and the inputs above it.
pub(crate) struct Reader<'a> {
    pub(crate) ev: &'a mut Evaluator,
    pub(crate) root: &'a Path,
    pub(crate) lock_root: &'a [String],
    pub(crate) dir: PathBuf,
}

impl Reader<'_> {
    pub(crate) fn read(mut self, references: References) -> Result<Flake> {
        let path = self.dir.join("flake.nix");
        let set = self.ev.literal_set_of_file(&path)?;
        let mut flake = Flake {
            original: references.original,
            resolved: references.resolved,
            locked: references.locked,
            path,
            force_dirty: false,
            description: None,
            inputs: BTreeMap::new(),
            self_attrs: Attrs::new(),
            config: Vec::new(),
        };
        if let Some(attr) = self.get(set, "description") {
            flake.description = Some(self.text(attr)?);
        }
        if let Some(attr) = self.get(set, "inputs") {
            let (inputs, self_attrs) = self.inputs(attr, true)?;
            flake.inputs = inputs;
            flake.self_attrs = self_attrs;
        }
        let Some(outputs) = self.get(set, "outputs") else {
            return Err(error(format!(
                "flake '{}' lacks attribute 'outputs'",
                flake.resolved.show()
            )));
        };
        let function = self.ev.force_literal(outputs.value)?;
        if !is_function(function) {
            return Err(self.unexpected("a function", function, outputs.pos));
        }
        if let Some(closure) = function.as_lambda()
            && let Some(formals) = &closure.code.formals
        {
            for formal in formals.formals {
                let name = self.ev.name(formal.name).into_owned();
                if name == "self" || flake.inputs.contains_key(&name) {
                    continue;
                }
                let reference = FlakeRef::parse(&name, ParseOptions::default(), &mut |_| {})
                    .map_err(|error| ref_error(&error))?;
                let input = FlakeInput {
                    reference: Some(reference),
                    ..FlakeInput::default()
                };
                flake.inputs.insert(name, input);
            }
        }
        if let Some(attr) = self.get(set, "nixConfig") {
            flake.config = self.config(attr)?;
        }
        for attr in self.sorted(set) {
            let name = self.ev.name(attr.name);
            if !["description", "inputs", "outputs", "nixConfig"].contains(&&*name) {
                return Err(error(format!(
                    "flake '{}' has an unsupported attribute '{name}', at {}",
                    flake.resolved.show(),
                    self.ev.show_position(attr.pos)
                )));
            }
        }
        Ok(flake)
    }

    fn get(&mut self, set: ValueAttrs, name: &str) -> Option<Attr> {
        let name = self.ev.intern(name.as_bytes());
        set.get(name)
    }

    /// In the order of the names.
    fn sorted(&self, set: ValueAttrs) -> Vec<Attr> {
        let mut attrs: Vec<Attr> = set.iter().collect();
        attrs.sort_by_key(|attr| self.ev.symbols.name(attr.name));
        attrs
    }

    fn unexpected(&self, expected: &str, found: Value, pos: Pos) -> EvalError {
        error(format!(
            "expected {expected} but got {} at {}",
            found.kind().type_name(),
            self.ev.show_position(pos)
        ))
    }

    fn text(&mut self, attr: Attr) -> Result<String> {
        let value = self.ev.force_literal(attr.value)?;
        match value.as_string() {
            Some(text) => Ok(String::from_utf8_lossy(text.bytes()).into_owned()),
            None => Err(self.unexpected("a string", value, attr.pos)),
        }
    }

    fn set(&mut self, attr: Attr) -> Result<ValueAttrs> {
        let value = self.ev.force_literal(attr.value)?;
        match value.as_attrs() {
            Some(set) => Ok(set),
            None => Err(self.unexpected("a set", value, attr.pos)),
        }
    }

    fn inputs(
        &mut self,
        attr: Attr,
        allow_self: bool,
    ) -> Result<(BTreeMap<String, FlakeInput>, Attrs)> {
        let set = self.set(attr)?;
        let mut inputs = BTreeMap::new();
        let mut self_attrs = Attrs::new();
        for attr in self.sorted(set) {
            let name = self.ev.name(attr.name).into_owned();
            if name == "self" {
                if !allow_self {
                    return Err(error(format!(
                        "'self' input attribute not allowed at {}",
                        self.ev.show_position(attr.pos)
                    )));
                }
                let own = self.set(attr)?;
                for attr in self.sorted(own) {
                    let (name, value) = self.attribute(attr)?;
                    self_attrs.insert(name, value);
                }
            } else {
                let input = self.input(attr)?;
                inputs.insert(name, input);
            }
        }
        Ok((inputs, self_attrs))
    }

    /// An attribute of a reference.
    fn attribute(&mut self, attr: Attr) -> Result<(String, AttrValue)> {
        let name = self.ev.name(attr.name).into_owned();
        let value = match attr.value.kind() {
            ValueKind::String(text) => {
                AttrValue::Str(String::from_utf8_lossy(text.bytes()).into_owned())
            }
            ValueKind::Bool(value) => AttrValue::Bool(value),
            ValueKind::Int(number) => AttrValue::Int(u64::try_from(number).map_err(|_| {
                error(format!(
                    "negative value given for flake input attribute {name}: {number}"
                ))
            })?),
            other => {
                return Err(error(format!(
                    "flake input attribute '{name}' is {} while a string, Boolean, or integer is expected",
                    other.type_name()
                )));
            }
        };
        Ok((name, value))
    }

    fn input(&mut self, attr: Attr) -> Result<FlakeInput> {
        let pos = attr.pos;
        let set = self.set(attr)?;
        let mut input = FlakeInput::default();
        let mut attrs = Attrs::new();
        let mut url = None;
        for attr in self.sorted(set) {
            let name = self.ev.name(attr.name).into_owned();
            let done = match name.as_str() {
                "url" => self.url(attr).map(|text| {
                    attrs.insert("url".to_owned(), text.as_str().into());
                    url = Some(text);
                }),
                "flake" => self.flag(attr).map(|value| input.is_flake = value),
                "inputs" => self
                    .inputs(attr, false)
                    .map(|(overrides, _)| input.overrides = overrides),
                "follows" => self.follows(attr).map(|path| input.follows = Some(path)),
                _ => self.attribute(attr).map(|(name, value)| {
                    attrs.insert(name, value);
                }),
            };
            done.map_err(|error| {
                error.context(
                    attr.pos,
                    format!("while evaluating flake attribute '{name}'"),
                )
            })?;
        }
        if attrs.contains_key("type") {
            let reference = FlakeRef::from_attrs(attrs)
                .map_err(|error| ref_error(&error).context(pos, "while evaluating flake input"))?;
            input.reference = Some(reference);
        } else {
            attrs.remove("url");
            if let Some(name) = attrs.keys().next() {
                return Err(error(format!(
                    "unexpected flake input attribute '{name}', at {}",
                    self.ev.show_position(pos)
                )));
            }
            if let Some(url) = url {
                let options = ParseOptions {
                    base_dir: None,
                    allow_missing: true,
                    is_flake: input.is_flake,
                    keep_relative: true,
                };
                let reference = FlakeRef::parse(&url, options, &mut |_| {})
                    .map_err(|error| ref_error(&error))?;
                input.reference = Some(reference);
            }
        }
        if input.reference.is_some() && input.follows.is_some() {
            return Err(error(format!(
                "flake input has both a flake reference and a follows attribute, at {}",
                self.ev.show_position(pos)
            )));
        }
        Ok(input)
    }

    /// A string, or a path in the same tree.
    fn url(&mut self, attr: Attr) -> Result<String> {
        let value = self.ev.force_literal(attr.value)?;
        match value.kind() {
            ValueKind::String(text) => Ok(String::from_utf8_lossy(text.bytes()).into_owned()),
            ValueKind::Path(path) => {
                let text = String::from_utf8_lossy(path.as_slice()).into_owned();
                if !Path::new(&text).starts_with(self.root) {
                    return Err(error(format!(
                        "input attribute path '{text}' at {} must be in the same source tree as {}",
                        self.ev.show_position(attr.pos),
                        self.ev.shown_file(&self.dir)
                    )));
                }
                Ok(format!("path:{}", relative(&self.dir, Path::new(&text))))
            }
            other => Err(error(format!(
                "expected a string or a path but got {} at {}",
                other.type_name(),
                self.ev.show_position(attr.pos)
            ))),
        }
    }

    fn flag(&mut self, attr: Attr) -> Result<bool> {
        let value = self.ev.force_literal(attr.value)?;
        match value.kind() {
            ValueKind::Bool(value) => Ok(value),
            _ => Err(self.unexpected("a Boolean", value, attr.pos)),
        }
    }

    fn follows(&mut self, attr: Attr) -> Result<InputPath> {
        let text = self.text(attr)?;
        let path = parse_input_path(&text).map_err(error)?;
        Ok(self.lock_root.iter().cloned().chain(path).collect())
    }

    fn config(&mut self, attr: Attr) -> Result<Vec<(String, ConfigValue)>> {
        let set = self.set(attr)?;
        let mut settings = Vec::new();
        for attr in self.sorted(set) {
            let name = self.ev.name(attr.name).into_owned();
            let value = self.ev.force_literal(attr.value)?;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let value = match value.kind() {
                ValueKind::String(string) => ConfigValue::Text(text(string.bytes())),
                ValueKind::Path(path) => {
                    let copied = self.ev.copy_path_to_store(path.as_slice(), attr.pos)?;
                    ConfigValue::Text(self.ev.name(copied).into_owned())
                }
                ValueKind::Int(number) => ConfigValue::Int(number),
                ValueKind::Bool(value) => ConfigValue::Bool(value),
                ValueKind::List(list) => {
                    let mut words = Vec::new();
                    for element in list.as_slice() {
                        let Some(word) = element.as_string() else {
                            return Err(error(format!(
                                "list element in flake configuration setting '{name}' is {} while a string is expected",
                                value.kind().type_name()
                            )));
                        };
                        words.push(text(word.bytes()));
                    }
                    ConfigValue::List(words)
                }
                other => {
                    return Err(error(format!(
                        "flake configuration setting '{name}' is {}",
                        other.type_name()
                    )));
                }
            };
            settings.push((name, value));
        }
        Ok(settings)
    }
}

fn is_function(value: Value) -> bool {
    matches!(
        value.kind(),
        ValueKind::Lambda(_) | ValueKind::Builtin(_) | ValueKind::Partial(_)
    )
}

/// The way from a directory to a path, both absolute and without `..`.
fn relative(from: &Path, to: &Path) -> String {
    let common = from
        .components()
        .zip(to.components())
        .take_while(|(a, b)| a == b)
        .count();
    let up = from.components().skip(common).map(|_| "..".to_owned());
    let down = to
        .components()
        .skip(common)
        .map(|part| part.as_os_str().to_string_lossy().into_owned());
    let parts: Vec<String> = up.chain(down).collect();
    if parts.is_empty() {
        ".".to_owned()
    } else {
        parts.join("/")
    }
}
