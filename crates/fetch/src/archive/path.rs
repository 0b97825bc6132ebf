//! Paths inside archives.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The longest path that is accepted, in bytes: Linux's PATH_MAX.
const MAX_LENGTH: usize = 4096;

/// A path below the root of a tree: components that are not empty, `.` or `..`, joined by `/`. The root itself is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryPath(Vec<u8>);

impl EntryPath {
    /// The path that an archive's entry names.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(name: &[u8]) -> Result<Self, &'static str> {
        if name.is_empty() {
            return Err("it has no name");
        }
        if name.starts_with(b"/") {
            return Err("its path is absolute");
        }
        Self::default().join(name, |_| Err("its path contains '..'"))
    }

    /// The path that `target` means, when a symbolic link in this directory has it as its target and the tree is the whole file system.
    pub(crate) fn resolve(&self, target: &[u8]) -> Result<Self, &'static str> {
        let start = if target.starts_with(b"/") {
            Self::default()
        } else {
            self.clone()
        };
        start.join(target, |path| {
            if path.0.is_empty() {
                return Err("its target leads out of the tree");
            }
            *path = path.parent();
            Ok(())
        })
    }

    fn join(
        mut self,
        name: &[u8],
        up: impl Fn(&mut Self) -> Result<(), &'static str>,
    ) -> Result<Self, &'static str> {
        if name.contains(&0) {
            return Err("its path contains a NUL byte");
        }
        if name.len() > MAX_LENGTH {
            return Err("its path is too long");
        }
        for component in name.split(|&byte| byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => up(&mut self)?,
                _ => self.push(component),
            }
        }
        Ok(self)
    }

    fn push(&mut self, component: &[u8]) {
        if !self.0.is_empty() {
            self.0.push(b'/');
        }
        self.0.extend_from_slice(component);
    }

    /// This path, put below the directory `name`.
    pub(crate) fn below(&self, name: &str) -> Self {
        let mut path = Self(name.as_bytes().to_vec());
        if !self.is_root() {
            path.push(&self.0);
        }
        path
    }

    /// What has the name `name` in this directory.
    pub(crate) fn child(&self, name: &str) -> Self {
        let mut path = self.clone();
        path.push(name.as_bytes());
        path
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0
            .split(|&byte| byte == b'/')
            .filter(|component| !component.is_empty())
    }

    /// The directory that it is in; the root's is the root.
    pub(crate) fn parent(&self) -> Self {
        let end = self.0.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        Self(self.0[..end].to_vec())
    }

    /// The directories that it is in, from the top downwards, without the root.
    pub(crate) fn ancestors(&self) -> impl Iterator<Item = Self> {
        let ends = self
            .0
            .iter()
            .enumerate()
            .filter(|&(_, &byte)| byte == b'/')
            .map(|(at, _)| at);
        ends.map(|end| Self(self.0[..end].to_vec()))
    }

    /// Whether it is `directory` or in it.
    pub(crate) fn is_in(&self, directory: &[u8]) -> bool {
        self.0
            .strip_prefix(directory)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    }

    /// The target of a symbolic link in this directory that leads to `path`.
    pub(crate) fn relative(&self, path: &Self) -> Vec<u8> {
        let common = self
            .components()
            .zip(path.components())
            .take_while(|(ours, theirs)| ours == theirs)
            .count();
        let up = std::iter::repeat_n(&b".."[..], self.components().count() - common);
        let target = up
            .chain(path.components().skip(common))
            .collect::<Vec<_>>()
            .join(&b'/');
        if target.is_empty() {
            b".".to_vec()
        } else {
            target
        }
    }

    /// The file that it is below `root`.
    pub(crate) fn on_disk(&self, root: &Path) -> PathBuf {
        if self.is_root() {
            root.to_owned()
        } else {
            root.join(OsStr::from_bytes(&self.0))
        }
    }

    /// For messages.
    pub(crate) fn display(&self) -> String {
        self.0.escape_ascii().to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> EntryPath {
        EntryPath::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn parse() {
        assert_eq!(path("./a//b/./c/").as_bytes(), b"a/b/c");
        assert!(path("./").is_root());
        for bad in [
            "",
            "/",
            "/etc/passwd",
            "a/../b",
            "..",
            "a/..",
            "a\0b",
            &"a/".repeat(5000),
        ] {
            assert!(EntryPath::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn links() {
        let resolve = |from: &str, target: &str| {
            path(from)
                .resolve(target.as_bytes())
                .map(|path| path.display())
        };
        assert_eq!(
            resolve("usr/lib", "../share/x").as_deref(),
            Ok("usr/share/x")
        );
        assert_eq!(resolve("usr/lib", "/lib/x/").as_deref(), Ok("lib/x"));
        assert_eq!(
            resolve("usr/lib", "../../.."),
            Err("its target leads out of the tree")
        );
        assert_eq!(
            resolve("usr/lib", "/../etc"),
            Err("its target leads out of the tree")
        );
        assert_eq!(path("usr/lib").relative(&path("usr/lib")), b".");
        assert_eq!(path("usr/lib").relative(&path("usr/lib/x/y")), b"x/y");
        assert_eq!(path(".").relative(&path("usr/bin")), b"usr/bin");
        assert_eq!(path("a/b/c").relative(&path("a/d")), b"../../d");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_relative_link_leads_back(from in "([abc]/){0,4}", to in "([abc]/){0,4}") {
            let (from, to) = (path(&format!("./{from}")), path(&format!("./{to}")));
            prop_assert_eq!(from.resolve(&from.relative(&to)), Ok(to));
        }

        #[test]
        fn no_name_leads_out(name in proptest::collection::vec(prop_oneof![Just(b'/'), Just(b'.'), any::<u8>()], 0..40)) {
            if let Ok(path) = EntryPath::parse(&name) {
                prop_assert!(path.components().all(|component| component != b".." && component != b"."));
                prop_assert!(!path.as_bytes().starts_with(b"/"));
            }
        }
    }
}
