//! The search path: what `<name>` means.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use xbuild_flake_ref::{FlakeRef, ParseOptions};

use super::Evaluator;
use super::coerce::canonical_path;
use super::paths::as_path;
use crate::derivation::INTERNAL_FILES;
use crate::error::{EvalError, Result};
use crate::host::Registries;
use crate::position::Pos;
use crate::settings::SearchPathEntry;
use crate::value::Value;

impl Evaluator {
    /// `<name>`
    pub(super) fn search_path_value(&mut self, name: &'static [u8], pos: Pos) -> Result<Value> {
        if let Some(&value) = self.search_cache.get(name) {
            return Ok(value);
        }
        let entries = self.settings.search_path.clone();
        let value = self
            .find_file(&entries, name, Pos::NONE)
            .map_err(|error| error.in_builtin(pos, "findFile"))?;
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
            self.check_named(&base, pos)?;
            // `..` in a name leads no further than to the entry.
            let below = canonical_path(format!("/{rest}").as_bytes());
            let candidate = [base.as_os_str().as_bytes(), &below].concat();
            let canonical = canonical_path(&candidate);
            self.check_named(as_path(&canonical), pos)?;
            // Where links lead is what is found.
            if let Some(real) = self.readable_target(as_path(&canonical), pos)? {
                return Ok(self.path(real.as_os_str().as_bytes()));
            }
        }
        // `<nix/fetchurl.nix>` comes with every Nix. Of other files there, it shows later that they do not exist.
        if let Some(file) = text.strip_prefix("nix/") {
            let path = format!("{INTERNAL_FILES}/{file}");
            return Ok(self.path(&canonical_path(path.as_bytes())));
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

    /// The directory of a search path entry: a path, or a tarball's URL or `channel:NAME`, which are fetched. One that
    /// cannot be had is told of once, and left out, as in Nix.
    ///
    /// # Errors
    ///
    /// If pure or restricted evaluation forbids it.
    pub fn resolve_search_entry(&mut self, entry: &str, pos: Pos) -> Result<Option<PathBuf>> {
        if let Some(known) = self.search_entries.get(entry) {
            return Ok(known.clone());
        }
        let resolved = self.find_search_entry(entry, pos)?;
        if resolved.is_none() {
            let text = format!("warning: Nix search path entry '{entry}' does not exist, ignoring");
            self.host.message(text.as_bytes());
        }
        self.search_entries
            .insert(entry.to_owned(), resolved.clone());
        Ok(resolved)
    }

    fn find_search_entry(&mut self, entry: &str, pos: Pos) -> Result<Option<PathBuf>> {
        if is_pseudo_url(entry) {
            let fetch = crate::host::FetchUrl {
                url: channel_url(entry),
                name: "source".into(),
                hash: None,
                unpack: true,
                executable: false,
            };
            match self.host.fetch_url(&fetch) {
                Ok(fetched) => {
                    let path = PathBuf::from(fetched.to_string());
                    self.allow(&path);
                    return Ok(Some(path));
                }
                Err(error) => {
                    let text = format!(
                        "warning: Nix search path entry '{entry}' cannot be downloaded, ignoring\n         {error}"
                    );
                    self.host.message(text.as_bytes());
                }
            }
        }
        if let Some(reference) = entry.strip_prefix("flake:") {
            return self.flake_source(reference).map(Some);
        }
        let Ok(path) = std::path::absolute(entry) else {
            return Ok(None);
        };
        let path = as_path(&canonical_path(path.as_os_str().as_bytes())).to_owned();
        if self.host.canonicalise(&path).is_ok() {
            return Ok(Some(path));
        }
        if self.is_limited() {
            self.check_readable(&path, pos)?;
        }
        Ok(None)
    }

    /// The source of a flake, which `flake:REFERENCE` in the search path is.
    fn flake_source(&mut self, reference: &str) -> Result<PathBuf> {
        self.require_feature("flakes")?;
        let failed = |message: String| EvalError::new(Pos::NONE, message);
        let options = ParseOptions {
            allow_missing: true,
            ..ParseOptions::default()
        };
        let mut input = FlakeRef::parse(reference, options, &mut |_| {})
            .map_err(|error| failed(error.to_string()))?
            .input;
        if !input.is_direct() {
            let resolved = self.host.resolve_input(&input, Registries::All);
            input = resolved.map_err(|error| failed(error.to_string()))?.0;
        }
        let fetched = self
            .fetch_tree(&input)
            .map_err(|error| failed(error.to_string()))?;
        Ok(PathBuf::from(fetched.path.to_string()))
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

/// Whether a search path entry, or a file of the command line, is fetched (`EvalSettings::isPseudoUrl` of Nix).
#[must_use]
pub fn is_pseudo_url(text: &str) -> bool {
    const SCHEMES: [&str; 7] = ["http", "https", "file", "channel", "git", "s3", "ssh"];
    text.starts_with("channel:")
        || text
            .split_once("://")
            .is_some_and(|(scheme, _)| SCHEMES.contains(&scheme))
}

/// The URL that `channel:NAME` stands for; others are themselves.
#[must_use]
pub fn channel_url(url: &str) -> String {
    match url.strip_prefix("channel:") {
        Some(channel) => format!("https://channels.nixos.org/{channel}/nixexprs.tar.xz"),
        None => url.to_owned(),
    }
}
