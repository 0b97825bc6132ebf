//! Files by their paths: what links lead to, and why a file cannot be read.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use xbuild_store_model::STORE_DIR;

use super::Evaluator;
use crate::error::EvalError;
use crate::host::{FileType, Host, HostError, HostResult};
use crate::position::Pos;

/// How many symlinks are followed for one path before they are taken for a loop (as Nix does).
pub(crate) const MAX_LINKS: usize = 1024;

/// The names in a path, and the steps upwards.
fn components(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

/// Which links in a path are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    /// All.
    All,
    /// Those before the last component.
    BeforeLast,
}

/// Why nothing could be done with a file.
#[derive(Debug)]
pub(crate) enum FileError {
    /// Its path leads nowhere.
    Path(HostError),
    /// It could not be done with the file itself.
    File(HostError),
}

impl FileError {
    /// The reason.
    pub(crate) fn into_reason(self) -> HostError {
        match self {
            Self::Path(error) | Self::File(error) => error,
        }
    }
}

/// The message of a directory of which the contents were wanted, as if it were a file.
pub(crate) fn directory_contents(path: &Path) -> String {
    // The number of bytes is that of a buffer.
    format!(
        "read of 4096 bytes: Is a directory\nhint: '{}' is a directory, not a file",
        path.display()
    )
}

impl Evaluator {
    /// What `operation` does with the file at `path`. Where it fails, it is tried on what the links in the path lead to: the
    /// system follows fewer of them than Nix.
    pub(crate) fn with_file<T>(
        &self,
        path: &Path,
        links: Links,
        operation: impl Fn(&(dyn Host + 'static), &Path) -> HostResult<T>,
    ) -> Result<T, FileError> {
        let error = match operation(&*self.host, path) {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        match self.resolve_links(path, links) {
            Ok(real) if real == path => Err(FileError::File(error)),
            Ok(real) => operation(&*self.host, &real).map_err(FileError::File),
            Err(error) => Err(FileError::Path(error)),
        }
    }

    /// The path with what its links lead to, whether that exists or not.
    ///
    /// # Errors
    ///
    /// If there are too many, or one cannot be read.
    pub(crate) fn resolve_links(&self, path: &Path, links: Links) -> HostResult<PathBuf> {
        let mut rest: Vec<OsString> = components(path).rev().collect();
        let mut real = PathBuf::from("/");
        let mut depth = 0;
        // How deep there is nothing any more.
        let mut nothing: Option<usize> = None;
        let mut followed = 0;
        while let Some(name) = rest.pop() {
            if name == ".." {
                depth -= usize::from(real.pop());
                nothing = nothing.filter(|&nothing| depth >= nothing);
                continue;
            }
            real.push(name);
            depth += 1;
            if nothing.is_some() || (links == Links::BeforeLast && rest.is_empty()) {
                continue;
            }
            match self.host.file_type(&real)? {
                Some(FileType::Symlink) => {
                    if followed == MAX_LINKS {
                        let path = self.shown_file(path);
                        return Err(HostError::new(format!(
                            "infinite symlink recursion in path '{path}'"
                        )));
                    }
                    followed += 1;
                    let target = self.host.read_link(&real)?;
                    if target.is_absolute() {
                        real = PathBuf::from("/");
                        depth = 0;
                    } else {
                        real.pop();
                        depth -= 1;
                    }
                    rest.extend(components(&target).rev());
                }
                Some(_) => {}
                // The store need not be where its paths say.
                None if Path::new(STORE_DIR).starts_with(&real) => {}
                None => nothing = Some(depth),
            }
        }
        Ok(real)
    }

    /// The path with what its links lead to, whether that exists or not, as messages name it.
    pub(crate) fn without_links(&self, path: &Path) -> PathBuf {
        self.resolve_links(path, Links::All)
            .unwrap_or_else(|_| path.to_owned())
    }

    /// The same with the last component as it is.
    pub(crate) fn without_links_before(&self, path: &Path) -> PathBuf {
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => self.without_links(parent).join(name),
            _ => path.to_owned(),
        }
    }

    /// The error of a file or directory that could not be read; it names what links in the path lead to.
    pub(crate) fn unreadable(&self, path: &Path, error: FileError, pos: Pos) -> EvalError {
        let error = match error {
            FileError::File(error) => error,
            FileError::Path(error) => return self.misleading(path, &error),
        };
        let real = self.without_links(path);
        match self.host.file_type(&real) {
            Ok(None) => EvalError::new(Pos::NONE, self.missing_contents(&real)),
            Ok(Some(FileType::Directory)) => EvalError::new(pos, directory_contents(&real)),
            _ => EvalError::new(pos, error.to_string()),
        }
    }

    /// The error of a path that leads nowhere.
    pub(crate) fn misleading(&self, path: &Path, error: &HostError) -> EvalError {
        self.in_path(EvalError::new(Pos::NONE, error.to_string()), path)
    }

    /// An error of the way to a file, from what the path depends on to what its links lead to.
    pub(crate) fn in_path(&self, error: EvalError, path: &Path) -> EvalError {
        let path = self.shown_file(path);
        error.context(
            Pos::NONE,
            format!("while realising the context of path '{path}'"),
        )
    }
}
