//! Paths: copying into the store, the search path, and what may be read.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use xbuild_store_model::{FileIngestionMethod, HashAlgo, STORE_DIR, StorePath};
use xbuild_syntax::symbol::Symbol;

use super::Evaluator;
use super::coerce::canonical_path;
use crate::error::{EvalError, Result};
use crate::host::Requisite;
use crate::position::Pos;
use crate::settings::SearchPathEntry;
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
                pos,
                format!("file names are not allowed to end in '.drv' ('{shown}')"),
            ));
        }
        self.check_readable(source, pos)?;
        let name = source
            .file_name()
            .map_or_else(|| "source".into(), OsStr::to_string_lossy);
        match self.host.file_type(source) {
            Ok(Some(_)) => {}
            Ok(None) => {
                return Err(EvalError::new(
                    pos,
                    format!("path '{shown}' does not exist"),
                ));
            }
            Err(error) => return Err(EvalError::new(pos, error.to_string())),
        }
        let added = self.host.add_path(
            &name,
            source,
            FileIngestionMethod::NixArchive,
            HashAlgo::Sha256,
            None,
            None,
        );
        let store_path = match added {
            Ok(store_path) => store_path,
            Err(error) => return Err(EvalError::new(pos, error.to_string())),
        };
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
        self.realise_context(&context.elements(), pos)?;
        Ok(as_path(&path).to_owned())
    }

    /// Has everything of a context built or fetched (import from derivation).
    ///
    /// # Errors
    ///
    /// If that is not allowed or fails.
    pub fn realise_context(&mut self, context: &[ContextElem], pos: Pos) -> Result<()> {
        let mut wanted = Vec::new();
        for elem in context {
            match *elem {
                ContextElem::Opaque(path) | ContextElem::DrvDeep(path) => {
                    wanted.push(Requisite::Path(self.store_path(path, pos)?));
                }
                ContextElem::Built { drv, output } => {
                    if !self.settings.allow_import_from_derivation {
                        let drv = self.name(drv);
                        return Err(EvalError::new(
                            pos,
                            format!(
                                "cannot build '{drv}' during evaluation because the option 'allow-import-from-derivation' is disabled"
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
            return Ok(());
        }
        self.host
            .realise(&wanted)
            .map_err(|error| EvalError::new(pos, error.to_string()))
    }

    /// The store path that a context element names.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn store_path(&self, path: Symbol, pos: Pos) -> Result<StorePath> {
        StorePath::parse(&self.name(path)).map_err(|error| EvalError::new(pos, error.to_string()))
    }

    /// Checks that pure or restricted evaluation allows to read a path.
    ///
    /// # Errors
    ///
    /// If it does not.
    pub fn check_readable(&self, path: &Path, pos: Pos) -> Result<()> {
        let settings = &self.settings;
        if !(settings.pure || settings.restrict) || path.starts_with(STORE_DIR) {
            return Ok(());
        }
        let in_search_path = || {
            settings.restrict
                && !settings.pure
                && settings
                    .search_path
                    .iter()
                    .any(|entry| path.starts_with(&entry.path))
        };
        if settings
            .allowed_paths
            .iter()
            .any(|allowed| path.starts_with(allowed))
            || in_search_path()
        {
            return Ok(());
        }
        let shown = path.display();
        Err(EvalError::new(
            pos,
            if settings.pure {
                format!(
                    "access to absolute path '{shown}' is forbidden in pure evaluation mode (use '--impure' to override)"
                )
            } else {
                format!("access to absolute path '{shown}' is forbidden in restricted mode")
            },
        ))
    }

    /// `<name>`
    pub(super) fn search_path_value(&mut self, name: &'static [u8], pos: Pos) -> Result<Value> {
        if let Some(&value) = self.search_cache.get(name) {
            return Ok(value);
        }
        let entries = self.settings.search_path.clone();
        let value = self.find_file(&entries, name, pos)?;
        self.search_cache.insert(name.to_vec(), value);
        Ok(value)
    }

    /// Looks a name up in search path entries (`builtins.findFile`).
    ///
    /// # Errors
    ///
    /// If it is in none of them.
    pub fn find_file(
        &mut self,
        entries: &[SearchPathEntry],
        name: &[u8],
        pos: Pos,
    ) -> Result<Value> {
        let text = String::from_utf8_lossy(name).into_owned();
        for entry in entries {
            let Some(rest) = strip_search_prefix(&entry.prefix, &text) else {
                continue;
            };
            let base = match self.resolve_search_entry(&entry.path, pos)? {
                Some(base) => base,
                None => continue,
            };
            let candidate = if rest.is_empty() {
                base
            } else {
                base.join(rest)
            };
            let canonical = canonical_path(candidate.as_os_str().as_bytes());
            if matches!(self.host.file_type(as_path(&canonical)), Ok(Some(_))) {
                return Ok(self.path(&canonical));
            }
        }
        // `<nix/fetchurl.nix>` comes with every Nix.
        if text == "nix/fetchurl.nix" {
            return Ok(self.path(crate::derivation::FETCHURL_PATH.as_bytes()));
        }
        let message = if self.settings.pure {
            format!(
                "cannot look up '<{text}>' in pure evaluation mode (use '--impure' to override)"
            )
        } else {
            format!(
                "file '{text}' was not found in the Nix search path (add it using $NIX_PATH or -I)"
            )
        };
        Err(EvalError::throw(pos, message))
    }

    /// The directory of a search path entry: a path, or a tarball's URL, which is fetched.
    ///
    /// # Errors
    ///
    /// If fetching fails.
    pub fn resolve_search_entry(&mut self, path: &str, pos: Pos) -> Result<Option<PathBuf>> {
        if path.contains("://") {
            let fetch = crate::host::FetchUrl {
                url: path.to_owned(),
                name: "source".into(),
                hash: None,
                unpack: true,
                executable: false,
            };
            let fetched = self
                .host
                .fetch_url(&fetch)
                .map_err(|error| EvalError::new(pos, error.to_string()))?;
            return Ok(Some(PathBuf::from(fetched.to_string())));
        }
        let path = PathBuf::from(path);
        Ok(if path.is_absolute() {
            Some(path)
        } else {
            std::path::absolute(path).ok()
        })
    }
}

/// What remains of `name` below a search path prefix: all of it below an empty prefix.
#[must_use]
pub fn strip_search_prefix<'n>(prefix: &str, name: &'n str) -> Option<&'n str> {
    if prefix.is_empty() {
        return Some(name);
    }
    let rest = name.strip_prefix(prefix)?;
    if rest.is_empty() {
        Some(rest)
    } else {
        rest.strip_prefix('/')
    }
}
