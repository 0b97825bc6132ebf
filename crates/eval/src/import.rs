//! Reading expressions: files, texts, `import` and `scopedImport`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bumpalo::Bump;
use xbuild_syntax::Lints;
use xbuild_syntax::ast::Expr;
use xbuild_syntax::symbol::Symbol;

use crate::Evaluator;
use crate::attrs::{Attrs, AttrsBuilder};
use crate::compile::{self, Program};
use crate::derivation::{FETCHURL_PATH, FETCHURL_TEXT};
use crate::error::{EvalError, Result};
use crate::eval::{FileError, Links, MAX_LINKS, canonical_path};
use crate::host::{FileType, Host};
use crate::parse_ahead::{Named, ParseAhead};
use crate::position::{Base, Pos};
use crate::string::{ContextElem, ContextSet};
use crate::value::{Builtin, Value};

pub(crate) static TABLE: &[Builtin] = &[
    Builtin {
        name: "import",
        arity: 1,
        run: import,
    },
    Builtin {
        name: "scopedImport",
        arity: 2,
        run: scoped_import,
    },
];

/// What messages call a text that is not in a file.
pub(crate) const TEXT_NAME: &str = "«string»";

/// What a text is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Expression,
    /// Bindings of a set, without its braces.
    Bindings,
}

/// What messages call a text from the standard input.
pub const INPUT_NAME: &str = "«stdin»";

impl Evaluator {
    /// Evaluates a file (of a directory: its `default.nix`), once.
    ///
    /// # Errors
    ///
    /// If it cannot be read, parsed or evaluated.
    pub fn eval_file(&mut self, path: &Path) -> Result<Value> {
        self.import_file(path, Pos::NONE)
    }

    /// Evaluates a text; relative paths in it are relative to `base_dir`.
    ///
    /// # Errors
    ///
    /// If it cannot be parsed or evaluated.
    pub fn eval_expr(&mut self, text: &str, base_dir: &Path) -> Result<Value> {
        let program =
            self.parse_and_compile(text.as_bytes().into(), TEXT_NAME.to_owned(), base_dir, &[])?;
        self.run_program(program, &[])
    }

    /// As [`Evaluator::eval_expr`], but the text is evaluated where its value is asked for.
    ///
    /// # Errors
    ///
    /// If it cannot be parsed.
    pub fn delay_expr(&mut self, text: &str, base_dir: &Path) -> Result<Value> {
        let program =
            self.parse_and_compile(text.as_bytes().into(), TEXT_NAME.to_owned(), base_dir, &[])?;
        let env = self.heap.env(None, program.frame_size as usize);
        Ok(Value::from(self.heap.thunk(program.code, env)))
    }

    /// As [`Evaluator::eval_expr`], for what came from the standard input.
    ///
    /// # Errors
    ///
    /// If it cannot be parsed or evaluated.
    pub fn eval_input(&mut self, text: &[u8], base_dir: &Path) -> Result<Value> {
        let program = self.parse_and_compile(text.into(), INPUT_NAME.to_owned(), base_dir, &[])?;
        self.run_program(program, &[])
    }

    /// Evaluates a text that is part of the program; `name` is its name in traces.
    ///
    /// # Errors
    ///
    /// If it cannot be evaluated.
    pub fn eval_internal(&mut self, name: &str, text: &str) -> Result<Value> {
        let program =
            self.parse_and_compile(text.as_bytes().into(), name.to_owned(), Path::new("/"), &[])?;
        self.run_program(program, &[])
    }

    pub(crate) fn run_program(&mut self, program: Program, values: &[Value]) -> Result<Value> {
        let env = self.heap.env(None, program.frame_size as usize);
        for (slot, value) in values.iter().enumerate() {
            env.set(slot as u32, *value);
        }
        self.eval(program.code, env)
    }

    /// The text of an expression in its normal form, as `nix-instantiate --parse` prints it.
    ///
    /// # Errors
    ///
    /// If it cannot be parsed, or a variable in it is nowhere.
    pub fn show_parsed(&mut self, text: &[u8], name: String, base_dir: &Path) -> Result<Vec<u8>> {
        let text = text.into();
        self.with_parsed(
            Form::Expression,
            text,
            name,
            base_dir,
            |evaluator, expr, base| {
                compile::compile(evaluator, expr, base, &[], None)?;
                Ok(xbuild_syntax::print::show(expr, &evaluator.symbols))
            },
        )
    }

    pub(crate) fn parse_and_compile(
        &mut self,
        text: Box<[u8]>,
        name: String,
        base_dir: &Path,
        names: &[Symbol],
    ) -> Result<Program> {
        self.with_parsed(
            Form::Expression,
            text,
            name,
            base_dir,
            |evaluator, expr, base| compile::compile(evaluator, expr, base, names, None),
        )
    }

    /// Asks for the files that a text names to be parsed ahead.
    pub(crate) fn parse_ahead(&mut self, named: Named) {
        if !self.may_parse_ahead() {
            return;
        }
        let new = named.likely(|path| self.may_read_ahead(path));
        if new.is_empty() {
            return;
        }
        if self.parse_ahead.is_none() {
            let pipe_operators = self.settings.has_feature("pipe-operators");
            self.parse_ahead = ParseAhead::start(pipe_operators, self.home(), self.is_limited());
        }
        if let Some(ahead) = &mut self.parse_ahead {
            ahead.ask(new);
        }
    }

    /// Lints are told of when a file is imported, and by those who see what is imported.
    pub(crate) fn may_parse_ahead(&self) -> bool {
        self.settings.parse_ahead && self.settings.lints.ignore_all()
    }

    /// The home directory, for `~/…`.
    fn home(&self) -> Option<PathBuf> {
        if self.settings.pure {
            return None;
        }
        self.host.env(OsStr::new("HOME")).map(PathBuf::from)
    }

    /// Parses a text and hands the tree to `work`, after which it is thrown away.
    pub(crate) fn with_parsed<T>(
        &mut self,
        form: Form,
        text: Box<[u8]>,
        name: String,
        base_dir: &Path,
        work: impl FnOnce(&mut Self, &Expr<'_>, Base) -> Result<T>,
    ) -> Result<T> {
        let id = self.sources.add(name, text);
        let text = self.sources.text(id).clone();
        let base = self.positions.add(id, text.len());
        let arena = Bump::new();
        let home = self.home();
        let lints = Lints::new(self.settings.lints);
        let features = xbuild_syntax::Features {
            pipe_operators: self.settings.has_feature("pipe-operators"),
            home: home.as_deref(),
            lints: Some(&lints),
            bare_bindings: form == Form::Bindings,
        };
        let expr = xbuild_syntax::parse(&arena, &mut self.symbols, &text, id, base_dir, features);
        for warning in lints.warnings.take() {
            let text = warning.render_warning(&self.sources);
            self.host.message(text.trim_end().as_bytes());
        }
        match expr {
            Ok(expr) => work(self, expr, base),
            Err(error) => Err(EvalError::syntax(
                base.pos(error.span()),
                error,
                &self.sources,
            )),
        }
    }

    /// Evaluates the file that `path` names, and remembers the value.
    pub(crate) fn import_file(&mut self, path: &Path, pos: Pos) -> Result<Value> {
        if let Some(&value) = self.imports.get(path) {
            return self.force(value, pos);
        }
        let file = self.resolve_import(path, pos)?;
        if let Some(&value) = self.imports.get(&file) {
            self.imports.insert(path.to_owned(), value);
            return self.force(value, pos);
        }
        let program = self.load(&file, &[], pos)?;
        // A thunk, so that a file that needs itself is an infinite recursion.
        let env = self.heap.env(None, program.frame_size as usize);
        let value = Value::from(self.heap.thunk(program.code, env));
        self.imports.insert(path.to_owned(), value);
        if file != path {
            self.imports.insert(file.clone(), value);
        }
        self.force(value, pos).map_err(|error| {
            error.context(
                Pos::NONE,
                format!("while evaluating the file '{}':", self.shown_file(&file)),
            )
        })
    }

    pub(crate) fn load(&mut self, file: &Path, names: &[Symbol], pos: Pos) -> Result<Program> {
        if file == Path::new(FETCHURL_PATH) {
            let text = FETCHURL_TEXT.as_bytes();
            return self.parse_and_compile(
                text.into(),
                "«nix-internal»/fetchurl.nix".into(),
                Path::new("/"),
                names,
            );
        }
        self.check_readable(file, pos)?;
        let name = self.shown_file(file);
        let ahead = self.parse_ahead.as_mut();
        if let Some(parsed) = ahead.and_then(|ahead| ahead.take(file)) {
            let id = self.sources.add(name, Arc::clone(&parsed.text));
            let base = self.positions.add(id, parsed.text.len());
            let tree = parsed.tree.borrow_dependent();
            return compile::compile(self, tree, base, names, Some(&parsed.symbols));
        }
        let text = match self.with_file(file, Links::All, Host::read_file) {
            Ok(text) => text,
            Err(_) if matches!(self.host.file_type(file), Ok(None)) => {
                return Err(EvalError::new(pos, self.missing_contents(file)));
            }
            Err(error) => {
                return Err(self.unreadable(file, FileError::File(error.into_reason()), pos));
            }
        };
        let base_dir = file.parent().unwrap_or(Path::new("/")).to_owned();
        self.parse_and_compile(text.into(), name, &base_dir, names)
    }

    /// The file to read: symlinks in the last component are followed, and a directory stands for its `default.nix`.
    fn resolve_import(&mut self, path: &Path, pos: Pos) -> Result<PathBuf> {
        let mut file = path.to_owned();
        if path == Path::new(FETCHURL_PATH) {
            return Ok(file);
        }
        for _ in 0..MAX_LINKS {
            self.check_link_readable(&file, pos)?;
            let found = self.with_file(&file, Links::BeforeLast, |host, file| {
                let kind = host.file_type(file)?;
                let is_link = kind == Some(FileType::Symlink);
                let target = is_link.then(|| host.read_link(file)).transpose()?;
                Ok((kind, target))
            });
            let (kind, target) =
                found.map_err(|error| EvalError::new(pos, error.into_reason().to_string()))?;
            match kind {
                Some(FileType::Symlink) => {
                    let target = target.unwrap_or_default();
                    let joined = file.parent().unwrap_or(Path::new("/")).join(target);
                    let canonical = canonical_path(joined.as_os_str().as_bytes());
                    file = PathBuf::from(OsStr::from_bytes(&canonical));
                }
                Some(FileType::Directory) => return Ok(file.join("default.nix")),
                Some(_) => return Ok(file),
                None => {
                    let real = self.without_links_before(&file);
                    return Err(EvalError::new(pos, self.missing_file(&real)));
                }
            }
        }
        Err(EvalError::new(
            pos,
            format!(
                "too many symbolic links encountered while traversing the path '{}'",
                path.display()
            ),
        ))
    }

    /// The value of `import path.drv`: a set with the outputs, as a derivation has them.
    fn import_derivation(&mut self, path: &str, pos: Pos) -> Result<Option<Value>> {
        if !path.ends_with(".drv") {
            return Ok(None);
        }
        let Ok(store_path) = xbuild_store_model::StorePath::parse(path) else {
            return Ok(None);
        };
        if !self.host.is_valid(&store_path).unwrap_or(false) {
            return Ok(None);
        }
        let derivation = self
            .host
            .read_derivation(&store_path)
            .map_err(|error| EvalError::new(pos, error.to_string()))?;
        let drv = self.symbols.intern(path.as_bytes());
        let mut attrs = AttrsBuilder::new();
        let mut context = ContextSet::new();
        context.insert(ContextElem::DrvDeep(drv));
        attrs.insert(
            self.known.drv_path,
            self.string_with(path.as_bytes(), &context),
            Pos::NONE,
        );
        let name = derivation
            .env
            .get(b"name".as_slice())
            .cloned()
            .unwrap_or_else(|| derivation.name.clone().into_bytes());
        attrs.insert(self.known.name, self.string(&name), Pos::NONE);
        let mut outputs = Vec::new();
        for (name, output) in &derivation.outputs {
            let symbol = self.symbols.intern(name.as_bytes());
            let value = self.output_value(drv, &store_path, name, output.path());
            attrs.insert(symbol, value, Pos::NONE);
            outputs.push(self.string(name.as_bytes()));
        }
        attrs.insert(self.known.outputs, self.list(&outputs), Pos::NONE);
        let attrs = self.attrs(attrs);
        let wrapper = self.eval_internal(
            "«nix-internal»/imported-drv-to-derivation.nix",
            IMPORTED_DERIVATION,
        )?;
        self.call(wrapper, &[attrs], pos).map(Some)
    }
}

/// What an imported `.drv` becomes: as `derivation` returns it, of what its file tells.
const IMPORTED_DERIVATION: &str = r#"
drv:
let
  shared = builtins.listToAttrs every // { all = map (output: output.value) every; inherit (drv) drvPath name; type = "derivation"; };
  every = map (name: { inherit name; value = shared // { outPath = drv.${name}; outputName = name; }; }) drv.outputs;
in (builtins.head every).value
"#;

fn import(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let path = ev.coerce_to_real_path(args[0], pos, "while realising the context of a path")?;
    if let Some(text) = path.to_str()
        && let Some(value) = ev.import_derivation(text, pos)?
    {
        return Ok(value);
    }
    ev.import_file(&path, pos)
}

fn scoped_import(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let path = ev.coerce_to_real_path(args[1], pos, "while realising the context of a path")?;
    let scope: Attrs = ev.force_attrs(
        args[0],
        pos,
        "while evaluating the first argument passed to builtins.scopedImport",
    )?;
    let file = ev.resolve_import(&path, pos)?;
    let names: Vec<Symbol> = scope.iter().map(|attr| attr.name).collect();
    let values: Vec<Value> = scope.iter().map(|attr| attr.value).collect();
    let program = ev.load(&file, &names, pos)?;
    ev.run_program(program, &values)
}
