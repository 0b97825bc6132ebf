//! Trees of Git repositories.
//!
//! A local repository without a chosen branch or commit is its work tree: the files that Git tracks, as they are. Anything
//! else is a commit, of a local repository or of a clone in the cache.

mod attributes;
mod commit;
mod program;
mod remote;
mod submodules;
mod work_tree;

use std::path::{Path, PathBuf};

use serde_json::Value;
use xbuild_flake_ref::{Input, Url};

pub use work_tree::git_flags;

use crate::error::{Error, Result};
use crate::inputs::{Found, Inputs};
use program::Repository;

/// The commit of a repository that has none.
const NO_REV: &str = "0000000000000000000000000000000000000000";

/// Where a repository is.
enum Place {
    /// With a work tree on this machine.
    Local(PathBuf),
    /// Anywhere else, or without a work tree.
    Remote(String),
}

impl Place {
    fn shown(&self) -> String {
        match self {
            Self::Local(path) => path.display().to_string(),
            Self::Remote(url) => url.clone(),
        }
    }
}

/// What of a tree is wanted.
#[derive(Clone, Copy)]
struct Wants {
    submodules: bool,
    /// Without what `.gitattributes` marks with `export-ignore`.
    export_ignore: bool,
}

impl Wants {
    /// A part of the key of a tree in the cache.
    fn key(self) -> String {
        format!(
            "{}{}",
            if self.submodules { ";s" } else { "" },
            if self.export_ignore { ";e" } else { "" }
        )
    }
}

impl Inputs {
    pub(crate) fn fetch_git(&self, input: &Input) -> Result<Found> {
        if input.flag("lfs") {
            return Err(Error::refused(format!(
                "cannot fetch '{}': xbuild has no Git LFS\n\
                 hint: without `lfs`, the files are the pointers that the repository has",
                input.show()
            )));
        }
        let wants = Wants {
            submodules: input.flag("submodules"),
            export_ignore: input.flag("exportIgnore"),
        };
        if wants.submodules && wants.export_ignore {
            return Err(Error::refused(
                "exportIgnore and submodules are not supported together yet",
            ));
        }
        let place = self.place(input)?;
        match &place {
            Place::Local(path) if input.text("ref").is_none() && input.text("rev").is_none() => {
                self.fetch_work_tree(path, input, wants)
            }
            _ => self.fetch_commit(&place, input, wants),
        }
    }

    fn place(&self, input: &Input) -> Result<Place> {
        let mut url = Url::parse(input.text("url").unwrap_or_default())?;
        if url.scheme == "file" {
            let path = PathBuf::from(url.plain_path());
            let bare = path.exists() && !path.join(".git").exists();
            if !bare {
                if !path.is_absolute() {
                    self.warn(&format!("Fetching Git repository '{url}', which uses a path relative to the current directory. This is not supported and will stop working in a future release. See https://github.com/NixOS/nix/issues/12281 for details."));
                }
                let path = std::path::absolute(&path).map_err(Error::io("find", path))?;
                return Ok(Place::Local(path));
            }
            url.query.clear();
        }
        // Earlier versions of Nix wrote it into lock files; the server would not understand it.
        url.query.remove("dir");
        Ok(Place::Remote(url.to_string()))
    }

    /// The path that a user may edit, if there is one.
    ///
    /// # Errors
    /// If the input's URL is malformed.
    pub fn git_work_tree(&self, input: &Input) -> Result<Option<PathBuf>> {
        Ok(match self.place(input)? {
            Place::Local(path) => Some(path),
            Place::Remote(_) => None,
        })
    }

    /// Writes a file of a work tree and makes Git track it, unless it is ignored; with a message, commits it.
    ///
    /// # Errors
    /// If there is no work tree, the file cannot be written, or `git` fails.
    pub fn put_git_file(
        &self,
        input: &Input,
        name: &str,
        contents: &[u8],
        message: Option<&str>,
    ) -> Result<()> {
        let Some(path) = self.git_work_tree(input)? else {
            return Err(Error::refused(format!(
                "cannot commit '{name}' to Git repository '{}' because it's not a working tree",
                input.show()
            )));
        };
        let file = path.join(name);
        std::fs::write(&file, contents).map_err(Error::io("write", &file))?;
        let repository = Repository::work_tree(&path);
        if repository.succeeds(&["check-ignore", "--quiet", name])? {
            return Ok(());
        }
        let what = || format!("adding '{name}' to the Git repository '{}'", path.display());
        repository.run(&["add", "--intent-to-add", "--", name], what)?;
        if let Some(message) = message {
            let what = || {
                format!(
                    "committing '{name}' to the Git repository '{}'",
                    path.display()
                )
            };
            repository.run_with_input(&["commit", name, "-F", "-"], message.as_bytes(), what)?;
        }
        Ok(())
    }

    /// Clones the repository of an input to a new directory; where the input is a commit, that is checked out.
    ///
    /// # Errors
    /// If there is no such repository or commit, or `git` fails. The clone stays where only the commit is missing.
    pub fn clone_git(&self, input: &Input, to: &Path) -> Result<()> {
        let place = self.place(input)?;
        if let Place::Local(path) = &place
            && !path.exists()
        {
            return Err(missing(path));
        }
        program::clone(&place.shown(), input.text("ref"), to)?;
        let Some(rev) = input.text("rev") else {
            return Ok(());
        };
        let clone = Repository::work_tree(to);
        if !clone.succeeds(&["cat-file", "-e", &format!("{rev}^{{commit}}")])? {
            // Of no branch: a server may give it all the same.
            let what = || format!("fetching the commit '{rev}' into '{}'", to.display());
            clone.run(&["fetch", "--quiet", "origin", rev], what)?;
        }
        let what = || format!("checking out the commit '{rev}' in '{}'", to.display());
        clone.run(&["checkout", "--quiet", "--detach", rev], what)?;
        Ok(())
    }

    /// Makes Git track files of a directory, if that is a work tree, whether they are ignored or not.
    ///
    /// # Errors
    /// If `git` fails.
    pub fn track_git_files(&self, directory: &Path, files: &[PathBuf]) -> Result<()> {
        if files.is_empty() || !directory.join(".git").exists() {
            return Ok(());
        }
        let mut args = vec!["add", "--intent-to-add", "--force", "--"];
        args.extend(files.iter().filter_map(|file| file.to_str()));
        let what = || {
            format!(
                "adding files to the Git repository '{}'",
                directory.display()
            )
        };
        Repository::work_tree(directory).run(&args, what)?;
        Ok(())
    }

    /// The time of a commit, in seconds since 1970.
    fn commit_time(&self, repository: &Repository<'_>, rev: &str) -> Result<u64> {
        self.commit_number(repository, rev, "git-time", &["log", "-1", "--format=%ct"])
    }

    /// How many commits a commit has before it, with itself.
    fn commit_count(&self, repository: &Repository<'_>, rev: &str) -> Result<u64> {
        self.commit_number(repository, rev, "git-count", &["rev-list", "--count"])
    }

    fn commit_number(
        &self,
        repository: &Repository<'_>,
        rev: &str,
        kind: &str,
        question: &[&str],
    ) -> Result<u64> {
        let key = format!("{kind} {rev}");
        if let Some(number) = self
            .cache
            .get(&key)
            .and_then(|known| known.number("number"))
        {
            return Ok(number);
        }
        let mut args = vec!["-c", "log.showSignature=false"];
        args.extend(question);
        args.push(rev);
        let text = repository.text(&args, || format!("looking at the Git commit '{rev}'"))?;
        let number = text.trim().parse().map_err(|_| {
            Error::refused(format!("git says '{}' of the commit '{rev}'", text.trim()))
        })?;
        self.cache.put(&key, &[("number", Value::from(number))]);
        Ok(number)
    }

    /// A tree by its key, if it is known and the store has it.
    fn known_tree(&self, key: &str, name: &str) -> Result<Option<xbuild_store_model::StorePath>> {
        match self.cache.get(key) {
            Some(known) => self.valid_text(name, known.text("narHash")),
            None => Ok(None),
        }
    }

    fn remember_tree(&self, key: &str, path: &xbuild_store_model::StorePath) -> Result<()> {
        let hash = self.nar_hash(path)?;
        self.cache.put(key, &[("narHash", Value::from(hash))]);
        Ok(())
    }
}

/// The repository that `path` has, for a message.
fn missing(path: &Path) -> Error {
    Error::refused(format!(
        "Git repository \"{}\" does not exist.",
        path.display()
    ))
}
