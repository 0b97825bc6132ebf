//! The conversation.

use std::path::PathBuf;

use xbuild_eval::scope::{Input, Scope};
use xbuild_eval::show::ShowForm;
use xbuild_eval::string::ContextSet;
use xbuild_eval::{EvalError, Evaluator, Pos, Value, ValueKind, print};
use xbuild_store_model::StorePath;

use crate::actions::Actions;
use crate::command::{self, Command};

/// How many of the names that were bound are shown.
const SHOWN_NAMES: usize = 20;

/// What comes after a text was handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The next one.
    Next,
    /// More of it: it is only the begin of something.
    More,
    /// Nothing: the user wants to leave.
    Leave,
}

/// A conversation: an evaluator, and what was bound so far.
pub struct Repl {
    pub(crate) evaluator: Evaluator,
    pub(crate) scope: Scope,
    /// What relative paths are relative to.
    pub(crate) directory: PathBuf,
    actions: Box<dyn Actions>,
    /// What `:reload` loads again, in the order of loading.
    loaded: Vec<Loaded>,
    /// The names that were bound last.
    last: Option<Vec<String>>,
    show_trace: bool,
    colour: bool,
    /// What went wrong so far: a script may want to know.
    failed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Loaded {
    File(String),
    Flake(String),
    /// A text of the command line.
    Expression(String),
    /// An attribute of a file.
    Attribute(String, String),
    /// An attribute of what a file or an expression gives.
    Within(Box<Self>, String),
}

impl Loaded {
    fn name(&self) -> String {
        match self {
            Self::File(name) | Self::Expression(name) => name.clone(),
            Self::Flake(reference) => format!("flake '{reference}'"),
            Self::Attribute(place, attribute) if attribute.is_empty() => place.clone(),
            Self::Attribute(place, attribute) => format!("{place}#{attribute}"),
            Self::Within(_, attribute) => attribute.clone(),
        }
    }
}

/// What a line printed, for stdout.
type Printed = Vec<u8>;
/// Why a line failed.
enum Problem {
    Eval(EvalError),
    Text(String),
}

impl From<EvalError> for Problem {
    fn from(error: EvalError) -> Self {
        Self::Eval(error)
    }
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Repl {
    /// A conversation in which nothing is bound yet.
    pub fn new(
        evaluator: Evaluator,
        directory: PathBuf,
        actions: Box<dyn Actions>,
        show_trace: bool,
        colour: bool,
    ) -> Self {
        Self {
            evaluator,
            scope: Scope::default(),
            directory,
            actions,
            loaded: Vec::new(),
            last: None,
            show_trace,
            colour,
            failed: false,
        }
    }

    /// Whether any line failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Loads a file, as `:load` does. What went wrong is told; this and its kin say whether nothing did.
    pub fn load_file(&mut self, name: &str) -> bool {
        self.start_with(Loaded::File(name.to_owned()))
    }

    /// Binds the attributes of the set that an expression gives.
    pub fn load_expression(&mut self, text: &str) -> bool {
        self.start_with(Loaded::Expression(text.to_owned()))
    }

    /// Binds the attributes of an attribute of a flake or of the expression in a directory or file; "" is all of it.
    pub fn load_installable(&mut self, place: &str, attribute: &str) -> bool {
        self.start_with(Loaded::Attribute(place.to_owned(), attribute.to_owned()))
    }

    /// Binds the attributes of an attribute of what a file gives, as `nix repl -f FILE ATTRIBUTE` does.
    pub fn load_attribute_of_file(&mut self, name: &str, attribute: &str) -> bool {
        let file = Box::new(Loaded::File(name.to_owned()));
        self.start_with(Loaded::Within(file, attribute.to_owned()))
    }

    /// The same for an expression.
    pub fn load_attribute_of_expression(&mut self, text: &str, attribute: &str) -> bool {
        let expression = Box::new(Loaded::Expression(text.to_owned()));
        self.start_with(Loaded::Within(expression, attribute.to_owned()))
    }

    fn start_with(&mut self, what: Loaded) -> bool {
        note(&format!("Loading {}...", what.name()));
        match self.load(what) {
            Ok(()) => true,
            Err(problem) => {
                self.complain(problem);
                false
            }
        }
    }

    /// Handles a text, which may be several lines; results go to `out`.
    pub fn handle(&mut self, text: &str, out: &mut Vec<u8>) -> After {
        let command = command::parse(text);
        if let Command::Text("") = command {
            return After::Next;
        }
        if let Command::Quit = command {
            return After::Leave;
        }
        // A command's expression may go on in the next line, too.
        let expression = match command {
            Command::Text(text)
            | Command::Add(text)
            | Command::Build(text)
            | Command::BuildAndLink(text)
            | Command::Documentation(text)
            | Command::Edit(text)
            | Command::Log(text)
            | Command::Print(text)
            | Command::Type(text) => Some(text),
            _ => None,
        };
        let input = expression.map(|text| self.evaluator.classify(text, &self.directory));
        if let (Some(Input::Incomplete), false) = (&input, expression == Some("")) {
            return After::More;
        }
        match self.run(command, input) {
            Ok(printed) => out.extend(printed),
            Err(problem) => self.complain(problem),
        }
        After::Next
    }

    /// Says that a text which goes on never did.
    pub fn unfinished(&mut self, text: &str) {
        match self.value_of(text) {
            Ok(_) => {}
            Err(error) => self.complain(error.into()),
        }
    }

    fn complain(&mut self, problem: Problem) {
        self.failed = true;
        match problem {
            Problem::Eval(error) => {
                let text = self.evaluator.render(&error, self.show_trace);
                note(text.trim_end());
            }
            Problem::Text(text) => note(&format!("error: {text}")),
        }
    }

    fn run(&mut self, command: Command<'_>, input: Option<Input>) -> Result<Printed, Problem> {
        match command {
            Command::Text(text) => match input {
                Some(Input::Bindings) => self.bind(text).map(|()| Printed::new()),
                _ => {
                    let value = self.value_of(text)?;
                    self.shown(value, ShowForm::OVERVIEW)
                }
            },
            Command::Print(text) => {
                let value = self.value_of(text)?;
                if let ValueKind::String(string) = value.kind() {
                    return Ok([string.bytes(), b"\n"].concat());
                }
                let form = ShowForm {
                    max_depth: usize::MAX,
                    ..ShowForm::OVERVIEW
                };
                self.shown(value, form)
            }
            Command::Type(text) => {
                let value = self.value_of(text)?;
                let has_context = value
                    .as_string()
                    .is_some_and(|string| string.context().is_some());
                let name = match has_context {
                    true => "a string with context".into(),
                    false => value.kind().type_name(),
                };
                Ok(format!("{name}\n").into())
            }
            Command::Add(text) => {
                let value = self.value_of(text)?;
                self.add(value)?;
                Ok(Printed::new())
            }
            Command::Load(name) => {
                if name.is_empty() {
                    return Err(Problem::Text(":load takes a file".to_owned()));
                }
                self.evaluator.forget_files();
                self.load(Loaded::File(name.to_owned()))?;
                Ok(Printed::new())
            }
            Command::LoadFlake(reference) => {
                if reference.is_empty() {
                    let message = "cannot use ':load-flake' without a path specified. (Use '.' for the current working directory.)";
                    return Err(Problem::Text(message.to_owned()));
                }
                self.evaluator.forget_files();
                self.load(Loaded::Flake(reference.to_owned()))?;
                Ok(Printed::new())
            }
            Command::LastLoaded => match &self.last {
                Some(names) => Ok((names.join("\n") + "\n").into()),
                None => Err(Problem::Text("nothing has been loaded yet".to_owned())),
            },
            Command::Reload => {
                self.reload();
                Ok(Printed::new())
            }
            Command::Build(text) => self.build(text, None),
            Command::BuildAndLink(text) => self.build(text, Some("repl-result")),
            Command::Log(text) => {
                let drv = self.derivation(text)?;
                Ok(self.actions.log(&drv)?)
            }
            Command::Edit(text) => {
                let (file, line) = self.place(text)?;
                self.actions.edit(&file, line)?;
                self.reload();
                Ok(Printed::new())
            }
            Command::Documentation(text) => Ok(self.documentation(text)?.into()),
            Command::TraceEnable(text) => {
                self.show_trace = match text {
                    "" => !self.show_trace,
                    "true" => true,
                    "false" => false,
                    other => {
                        let message = format!("unexpected argument '{other}' to :te");
                        return Err(Problem::Text(message));
                    }
                };
                let not = if self.show_trace { "" } else { "not " };
                Ok(format!("{not}showing error traces\n").into())
            }
            Command::Help => Ok(command::HELP.into()),
            Command::Quit => Ok(Printed::new()),
            Command::NotHere(name, why) => {
                let message = format!("there is no command '{name}' here: {why}");
                Err(Problem::Text(message))
            }
            Command::Unknown(name) => Err(Problem::Text(format!("unknown command '{name}'"))),
        }
    }

    /// Evaluates an expression.
    pub(crate) fn value_of(&mut self, text: &str) -> Result<Value, EvalError> {
        let value = self
            .evaluator
            .eval_in_scope(text, &self.directory, &self.scope)?;
        self.evaluator.force(value, Pos::NONE)
    }

    fn shown(&mut self, value: Value, form: ShowForm) -> Result<Printed, Problem> {
        let form = ShowForm {
            colour: self.colour,
            ..form
        };
        let mut printed = self.evaluator.show_value(value, form)?;
        printed.push(b'\n');
        Ok(printed)
    }

    /// `name = value`. A value is evaluated when it is used.
    fn bind(&mut self, text: &str) -> Result<(), Problem> {
        let value = self
            .evaluator
            .bindings_in_scope(text, &self.directory, &self.scope)?;
        let value = self.evaluator.force(value, Pos::NONE)?;
        let attrs = value.as_attrs().into_iter();
        for attr in attrs.flat_map(xbuild_eval::attrs::Attrs::iter) {
            self.scope.insert(attr.name, attr.value);
        }
        Ok(())
    }

    /// Binds the attributes of a set.
    fn add(&mut self, value: Value) -> Result<(), Problem> {
        let what = "while evaluating an attribute set to be merged in the global scope";
        let attrs = self.evaluator.force_attrs(value, Pos::NONE, what)?;
        let mut names = Vec::new();
        for attr in self.evaluator.sorted_by_name(attrs) {
            self.scope.insert(attr.name, attr.value);
            let mut shown = Vec::new();
            print::print_name(self.evaluator.name(attr.name).as_bytes(), &mut shown);
            names.push(String::from_utf8_lossy(&shown).into_owned());
        }
        note(&format!("Added {} variables.", names.len()));
        let shown = &names[..names.len().min(SHOWN_NAMES)];
        note(&shown.join(", "));
        if names.len() > SHOWN_NAMES {
            note(&format!(
                "... and {} more; view with :ll",
                names.len() - SHOWN_NAMES
            ));
        }
        self.last = Some(names);
        Ok(())
    }

    fn load(&mut self, what: Loaded) -> Result<(), Problem> {
        let value = self.value_to_load(&what)?;
        let value = value.and_then(|value| self.actions.auto_call(&mut self.evaluator, value));
        // As Nix does, also what failed is loaded again by `:reload`, after the user has mended it.
        self.loaded.retain(|loaded| *loaded != what);
        self.loaded.push(what);
        self.add(value?)
    }

    fn value_to_load(&mut self, what: &Loaded) -> Result<Result<Value, EvalError>, Problem> {
        Ok(match what {
            Loaded::File(name) => {
                let file = self.actions.find_file(&mut self.evaluator, name)?;
                self.evaluator.eval_file(&file)
            }
            Loaded::Attribute(place, attribute) => {
                match self.actions.output(&mut self.evaluator, place, attribute)? {
                    Some(value) => Ok(value),
                    None => {
                        let file = self.actions.find_file(&mut self.evaluator, place)?;
                        let root = self.evaluator.eval_file(&file);
                        root.and_then(|root| self.evaluator.select_path(root, attribute))
                    }
                }
            }
            Loaded::Within(whole, attribute) => {
                let root = self.value_to_load(whole)?;
                let root = root.and_then(|root| self.actions.auto_call(&mut self.evaluator, root));
                root.and_then(|root| self.evaluator.select_path(root, attribute))
            }
            Loaded::Flake(reference) => self.actions.flake(&mut self.evaluator, reference),
            Loaded::Expression(text) => self.evaluator.eval_expr(text, &self.directory),
        })
    }

    fn reload(&mut self) {
        self.evaluator.forget_files();
        self.scope = Scope::default();
        for what in std::mem::take(&mut self.loaded) {
            self.start_with(what);
        }
    }

    /// The derivation that an expression gives, which is written into the store.
    fn derivation(&mut self, text: &str) -> Result<StorePath, Problem> {
        let not_one = "expression does not evaluate to a derivation, so I can't build it";
        let value = self.value_of(text)?;
        let Some(attrs) = value.as_attrs() else {
            return Err(Problem::Text(not_one.to_owned()));
        };
        if !self.evaluator.is_derivation(attrs, Pos::NONE)? {
            return Err(Problem::Text(not_one.to_owned()));
        }
        let found = self.evaluator.derivations(value, &[])?;
        self.evaluator.flush()?;
        match found.into_iter().next() {
            Some(found) => Ok(found.drv_path),
            None => Err(Problem::Text(not_one.to_owned())),
        }
    }

    fn build(&mut self, text: &str, link: Option<&str>) -> Result<Printed, Problem> {
        let drv = self.derivation(text)?;
        let outputs = self.actions.build(&drv, link)?;
        let mut printed = "\nThis derivation produced the following outputs:\n".to_owned();
        for (name, path) in outputs {
            let line = match link {
                Some(link) => format!("  ./{link}-{name} -> {path}\n"),
                None => format!("  {name} -> {path}\n"),
            };
            printed.push_str(&line);
        }
        Ok(printed.into())
    }

    /// The file and line where a value comes from.
    fn place(&mut self, text: &str) -> Result<(PathBuf, u32), Problem> {
        let value = self.value_of(text)?;
        if matches!(value.kind(), ValueKind::Path(_) | ValueKind::String(_)) {
            let what = "while evaluating the filename to edit";
            let path =
                self.evaluator
                    .coerce_to_path(value, Pos::NONE, &mut ContextSet::new(), what)?;
            return Ok((
                PathBuf::from(String::from_utf8_lossy(&path).into_owned()),
                0,
            ));
        }
        if let Some(pos) = self.evaluator.function_place(value) {
            return match self.evaluator.position(pos) {
                Some(position) if position.file.starts_with('/') => {
                    Ok((position.file.into(), position.line))
                }
                _ => Err(Problem::Text(format!(
                    "'{}' cannot be shown in an editor",
                    self.evaluator.show_position(pos)
                ))),
            };
        }
        // A package says in `meta.position` where it is.
        let position = self.evaluator.select_path(value, "meta.position");
        let position = position.ok().and_then(Value::as_string);
        let position = position.map(|text| String::from_utf8_lossy(text.bytes()).into_owned());
        let place = position.as_deref().and_then(|text| text.rsplit_once(':'));
        match place.and_then(|(file, line)| Some((file, line.parse().ok()?))) {
            Some((file, line)) => Ok((file.into(), line)),
            None => Err(Problem::Text(format!(
                "cannot find out where '{text}' comes from: it is no path, function, or package with 'meta.position'"
            ))),
        }
    }
}

/// A line for the user.
pub(crate) fn note(text: &str) {
    use std::io::Write as _;
    // Nothing can be told about a stderr that is gone.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
