//! What pure and restricted evaluation may read.
//!
//! As in Nix, access is given to prefixes: the search path (in restricted evaluation), the paths of
//! [`crate::Settings::allowed_paths`], and each store path that the evaluation itself made, fetched or had built. Whatever
//! is on the way to one of them can be seen, too.

use std::path::{Path, PathBuf};

use xbuild_store_model::StorePath;

use super::Evaluator;
use crate::error::{EvalError, Result};
use crate::host::Requisite;
use crate::position::Pos;

impl Evaluator {
    /// Whether access to files is limited.
    pub(crate) fn is_limited(&self) -> bool {
        self.settings.pure || self.settings.restrict
    }

    /// Allows to read `path` and what is below it. Where everything may be read, that is nothing to remember.
    pub(crate) fn allow(&mut self, path: &Path) {
        if self.is_limited() && !self.allowed.contains(path) {
            self.allowed.insert(path.to_owned());
        }
    }

    /// Allows to read a store path with all that it refers to.
    fn allow_closure(&mut self, path: &Path) {
        let store_path = path
            .to_str()
            .and_then(|text| StorePath::parse_prefix(text).ok());
        let Some((store_path, _)) = store_path else {
            return;
        };
        // What is not valid is not there to be read.
        for path in self.host.closure(&store_path).unwrap_or_default() {
            self.allow(Path::new(&path.to_string()));
        }
    }

    /// Allows to read the outputs that were just built.
    pub(super) fn allow_outputs(&mut self, built: &[Requisite], paths: &[StorePath]) {
        if !self.is_limited() {
            return;
        }
        for (requisite, path) in built.iter().zip(paths) {
            if let Requisite::Output(..) = requisite {
                self.allow(Path::new(&path.to_string()));
            }
        }
    }

    /// `trace-import-from-derivation`
    pub(super) fn trace_import_from_derivation(&self, wanted: &[Requisite]) {
        if !self.settings.trace_import_from_derivation {
            return;
        }
        let first = wanted.iter().find_map(|requisite| match requisite {
            Requisite::Output(drv, output) => Some(format!("{drv}^{output}")),
            Requisite::Path(_) => None,
        });
        if let Some(first) = first {
            let text = format!(
                "warning: built '{first}' during evaluation due to an import from derivation"
            );
            self.host.message(text.as_bytes());
        }
    }

    /// Checks that pure or restricted evaluation allows to read a path, and what its links lead to.
    ///
    /// # Errors
    ///
    /// If it does not.
    pub fn check_readable(&mut self, path: &Path, pos: Pos) -> Result<()> {
        if !self.is_limited() {
            return Ok(());
        }
        self.allow_search_path();
        self.check_allowed(path, pos)?;
        // A link to the outside is no way out. What does not exist leads nowhere.
        match self.host.canonicalise(path) {
            Ok(real) if real != path => self.check_allowed(&real, pos),
            _ => Ok(()),
        }
    }

    /// As [`Evaluator::check_readable`], wherever links lead.
    ///
    /// # Errors
    ///
    /// If it may not be read.
    pub(crate) fn check_named(&mut self, path: &Path, pos: Pos) -> Result<()> {
        if !self.is_limited() {
            return Ok(());
        }
        self.allow_search_path();
        self.check_allowed(path, pos)
    }

    /// What the links in a path lead to, if it exists.
    ///
    /// # Errors
    ///
    /// If it may not be read.
    pub(crate) fn readable_target(&self, path: &Path, pos: Pos) -> Result<Option<PathBuf>> {
        let Ok(real) = self.host.canonicalise(path) else {
            return Ok(None);
        };
        if self.is_limited() {
            self.check_allowed(&real, pos)?;
        }
        Ok(Some(real))
    }

    /// As [`Evaluator::check_readable`], for the path itself: if it is a link, for that, not for what it leads to.
    ///
    /// # Errors
    ///
    /// If it may not be read.
    pub(crate) fn check_link_readable(&mut self, path: &Path, pos: Pos) -> Result<()> {
        if !self.is_limited() {
            return Ok(());
        }
        self.allow_search_path();
        self.check_allowed(path, pos)?;
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(());
        };
        match self.host.canonicalise(parent) {
            Ok(real) if real != parent => self.check_allowed(&real.join(name), pos),
            _ => Ok(()),
        }
    }

    /// Whether an entry of a directory can be seen.
    pub(crate) fn can_see(&self, path: &Path) -> bool {
        !self.is_limited() || self.is_allowed(path)
    }

    /// Whether a file may be read before the evaluation asks for it, by itself.
    pub(crate) fn may_read_ahead(&self, path: &Path) -> bool {
        let is_below = |allowed: &PathBuf| path.starts_with(allowed);
        let is_allowed = !self.is_limited()
            || self.allowed.iter().any(is_below)
            || self.settings.allowed_paths.iter().any(is_below);
        is_allowed && self.host.is_plain(path)
    }

    fn is_allowed(&self, path: &Path) -> bool {
        path.ancestors().any(|above| self.allowed.contains(above))
            || self
                .allowed
                .iter()
                .chain(&self.settings.allowed_paths)
                .any(|allowed| allowed.starts_with(path) || path.starts_with(allowed))
    }

    fn check_allowed(&self, path: &Path, pos: Pos) -> Result<()> {
        if self.is_allowed(path) {
            return Ok(());
        }
        let shown = path.display();
        let mode = if self.settings.pure {
            "in pure evaluation mode (use '--impure' to override)"
        } else {
            "in restricted mode"
        };
        Err(EvalError::new(
            pos,
            format!("access to absolute path '{shown}' is forbidden {mode}"),
        ))
    }

    /// The first time, allows what is in the search path.
    fn allow_search_path(&mut self) {
        if self.search_path_allowed || self.settings.pure {
            return;
        }
        self.search_path_allowed = true;
        for entry in self.settings.search_path.clone() {
            let Ok(Some(path)) = self.resolve_search_entry(&entry.path, Pos::NONE) else {
                continue;
            };
            self.allow(&path);
            self.allow_closure(&path);
        }
    }
}

/// The prefixes that may be read.
pub(crate) type Allowed = std::collections::BTreeSet<PathBuf>;
