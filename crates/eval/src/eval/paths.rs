//! Paths: copying into the store, and what must be built before it can be read.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use xbuild_store_model::store_path::downstream_placeholder;
use xbuild_store_model::{FileIngestionMethod, HashAlgo, StorePath};
use xbuild_syntax::symbol::Symbol;

use super::Evaluator;
use super::links::Links;
use crate::error::{EvalError, Result};
use crate::host::{HostError, Requisite};
use crate::position::Pos;
use crate::string::{ContextElem, ContextSet};
use crate::value::Value;

/// A path of bytes as one of the standard library.
#[must_use]
pub fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

impl Evaluator {
    /// Copies a file tree into the store as interpolating a path does (name: the last component; recursive; SHA-256),
    /// once per evaluation. Gives the symbol of the store path (`/nix/store/…`).
    ///
    /// # Errors
    ///
    /// If it does not exist, may not be read, or cannot be copied.
    pub fn copy_path_to_store(&mut self, path: &[u8], pos: Pos) -> Result<Symbol> {
        if let Some(&store_path) = self.copied.get(path) {
            return Ok(store_path);
        }
        let source = as_path(path);
        let shown = source.display();
        if path.ends_with(b".drv") {
            return Err(EvalError::new(
                Pos::NONE,
                format!("file names are not allowed to end in '.drv' ('{shown}')"),
            ));
        }
        self.check_link_readable(source, pos)?;
        let name = source
            .file_name()
            .map_or_else(|| "source".into(), OsStr::to_string_lossy);
        let failed = |error: HostError| EvalError::new(Pos::NONE, error.to_string());
        let found = self.with_file(source, Links::BeforeLast, |host, source| {
            Ok(host.file_type(source)?.map(|_| source.to_owned()))
        });
        let Some(place) = found.map_err(|error| failed(error.into_reason()))? else {
            let real = self.without_links_before(source);
            return Err(EvalError::new(Pos::NONE, self.missing_file(&real)));
        };
        let (method, algo) = (FileIngestionMethod::NixArchive, HashAlgo::Sha256);
        let added = self.host.add_path(&name, &place, method, algo, None, None);
        let store_path = added.map_err(failed)?;
        self.allow(Path::new(&store_path.to_string()));
        let symbol = self.symbols.intern(store_path.to_string().as_bytes());
        self.copied.insert(path.to_owned(), symbol);
        Ok(symbol)
    }

    /// Coerces a value to the path of a file that is to be read now: what its context says is built first.
    ///
    /// # Errors
    ///
    /// If the evaluation or the build fails, or it is not a path.
    pub fn coerce_to_real_path(&mut self, value: Value, pos: Pos, what: &str) -> Result<PathBuf> {
        let mut context = ContextSet::new();
        let path = self.coerce_to_path(value, pos, &mut context, what)?;
        let realised = self
            .realise_text(&path, &context, Pos::NONE)
            .map_err(|error| self.in_path(error, as_path(&path)))?;
        Ok(as_path(&realised).to_owned())
    }

    /// Has everything of a text's context built or fetched (import from derivation). Gives the text with the paths of what was
    /// built in place of what stood for them.
    ///
    /// # Errors
    ///
    /// If that is not allowed or fails.
    pub fn realise_text(&mut self, text: &[u8], context: &ContextSet, pos: Pos) -> Result<Vec<u8>> {
        let rewrites = self.realise_context(&context.elements(), pos)?;
        Ok(xbuild_derivation::replace_all(text, &rewrites))
    }

    /// Has everything of a context built or fetched. Gives the placeholders of outputs with their paths.
    fn realise_context(
        &mut self,
        context: &[ContextElem],
        pos: Pos,
    ) -> Result<Vec<(String, String)>> {
        let mut wanted = Vec::new();
        for elem in context {
            match *elem {
                ContextElem::Opaque(path) | ContextElem::DrvDeep(path) => {
                    wanted.push(Requisite::Path(self.store_path(path, pos)?));
                }
                ContextElem::Built { drv, output } => {
                    if !self.settings.allow_import_from_derivation {
                        let (drv, output) = (self.name(drv), self.name(output));
                        return Err(EvalError::new(
                            pos,
                            format!(
                                "cannot build '{drv}^{output}' during evaluation because the option 'allow-import-from-derivation' is disabled"
                            ),
                        ));
                    }
                    wanted.push(Requisite::Output(
                        self.store_path(drv, pos)?,
                        self.name(output).into_owned(),
                    ));
                }
            }
        }
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        self.trace_import_from_derivation(&wanted);
        let paths = self
            .host
            .realise(&wanted)
            .map_err(|error| EvalError::host(pos, &error))?;
        self.allow_outputs(&wanted, &paths);
        let rewrite = |(requisite, path): (&Requisite, &StorePath)| match requisite {
            Requisite::Path(_) => None,
            Requisite::Output(drv, output) => {
                Some((downstream_placeholder(drv, output), path.to_string()))
            }
        };
        Ok(wanted.iter().zip(&paths).filter_map(rewrite).collect())
    }

    /// The store path that a context element names.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn store_path(&self, symbol: Symbol, pos: Pos) -> Result<StorePath> {
        if let Some(known) = self.store_paths.borrow().get(&symbol) {
            return Ok(known.clone());
        }
        let path = self.name(symbol);
        if let Some((output, drv)) = crate::builtins::output_of::deriving_path(&path) {
            return Err(EvalError::new(
                pos,
                format!(
                    "the output '{output}' of '{drv}' is a derivation that must be built first, which is not supported yet (dynamic-derivations)"
                ),
            ));
        }
        let parsed =
            StorePath::parse(&path).map_err(|error| EvalError::new(pos, error.to_string()))?;
        self.store_paths.borrow_mut().insert(symbol, parsed.clone());
        Ok(parsed)
    }
}
