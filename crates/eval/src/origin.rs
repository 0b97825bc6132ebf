//! Where fetched trees are from. In pure evaluation, messages and printed paths name the files of a tree by that, not by its copy
//! in the store.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::Evaluator;
use crate::derivation::INTERNAL_FILES;

/// Where a fetched tree is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The work tree of a Git repository on this machine, of which the fetched tree has the files that Git tracks.
    WorkTree(PathBuf),
    /// Anything else, by its URL.
    Url(String),
}

impl Origin {
    /// What stands for the tree's root in front of the path of a file.
    fn prefix(&self) -> Cow<'_, [u8]> {
        match self {
            Self::WorkTree(path) => Cow::Borrowed(path.as_os_str().as_bytes()),
            Self::Url(url) => Cow::Owned(format!("«{url}»").into_bytes()),
        }
    }
}

/// What is left of a path below `root`, which begins with a slash if it is not empty.
fn below<'p>(path: &'p [u8], root: &[u8]) -> Option<&'p [u8]> {
    path.strip_prefix(root)
        .filter(|rest| rest.first().is_none_or(|&byte| byte == b'/'))
}

impl Evaluator {
    /// Remembers where a tree in the store is from. Where the evaluation is not pure, files are called what the user may look at.
    pub(crate) fn remember_origin(&mut self, tree: &str, origin: Option<Origin>) {
        if !self.settings.pure {
            return;
        }
        self.origins.retain(|(other, _)| other != tree);
        if let Some(origin) = origin {
            self.origins.push((tree.to_owned(), origin));
        }
    }

    fn origin_of<'p>(&self, path: &'p [u8]) -> Option<(&Origin, &'p [u8])> {
        self.origins
            .iter()
            .find_map(|(tree, origin)| Some((origin, below(path, tree.as_bytes())?)))
    }

    /// A path as it is shown: files of fetched trees by where these are from, those that come with the language by the name that
    /// finds them.
    #[must_use]
    pub fn shown_path<'p>(&self, path: &'p [u8]) -> Cow<'p, [u8]> {
        if let Some(rest) = path.strip_prefix(INTERNAL_FILES.as_bytes()) {
            return Cow::Owned([b"<nix", rest, b">"].concat());
        }
        match self.origin_of(path) {
            Some((origin, b"")) => Cow::Owned([&*origin.prefix(), b"/"].concat()),
            Some((origin, rest)) => Cow::Owned([&*origin.prefix(), rest].concat()),
            None => Cow::Borrowed(path),
        }
    }

    /// The same as text.
    #[must_use]
    pub fn shown_file(&self, path: &Path) -> String {
        let shown = self.shown_path(path.as_os_str().as_bytes());
        String::from_utf8_lossy(&shown).into_owned()
    }

    /// The file that is shown as `name`.
    pub(crate) fn file_shown_as<'n>(&self, name: &'n str) -> Cow<'n, str> {
        let file = self.origins.iter().find_map(|(tree, origin)| {
            let rest = below(name.as_bytes(), &origin.prefix())?;
            Some(format!("{tree}{}", String::from_utf8_lossy(rest)))
        });
        file.map_or(Cow::Borrowed(name), Cow::Owned)
    }

    /// The message of a file that is not there. Of a work tree, it may only be unknown to Git.
    #[must_use]
    pub fn missing_file(&self, path: &Path) -> String {
        let Some((Origin::WorkTree(work_tree), rest)) = self.origin_of(path.as_os_str().as_bytes())
        else {
            return format!("path '{}' does not exist", self.shown_file(path));
        };
        let rest = rest.strip_prefix(b"/").unwrap_or(rest);
        self.missing_in_work_tree(work_tree, Path::new(OsStr::from_bytes(rest)))
    }

    /// The same of a file whose contents are wanted.
    #[must_use]
    pub fn missing_contents(&self, path: &Path) -> String {
        match self.origin_of(path.as_os_str().as_bytes()) {
            Some((Origin::Url(_), _)) => format!("'{}' does not exist", self.shown_file(path)),
            _ => self.missing_file(path),
        }
    }

    /// The message of a file that is not among those that Git tracks in a work tree.
    #[must_use]
    pub fn missing_in_work_tree(&self, work_tree: &Path, file: &Path) -> String {
        let (shown, name) = (work_tree.display(), file.display());
        match self.host.file_type(&work_tree.join(file)) {
            Ok(Some(_)) => format!(
                "Path '{name}' in the repository \"{shown}\" is not tracked by Git.\n\nTo make it visible to Nix, run:\n\ngit -C \"{shown}\" add \"{name}\""
            ),
            _ => format!("Path '{name}' does not exist in Git repository \"{shown}\"."),
        }
    }
}
