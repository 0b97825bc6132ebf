//! Roots of running programs: what they run from, have open, have mapped, or name in their environment, as `/proc` tells it.
//!
//! Only what the user may see counts: processes of others are closed to all but root. As in stock Nix.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use xbuild_store_model::STORE_DIR;
use xbuild_store_model::store_path::StorePath;

use crate::roots::Root;
use crate::store::Store;

/// How many characters a store path has before its name: the hash part and a dash.
const HASH_AND_DASH: usize = 33;

impl Store {
    /// What running programs use. The paths need not be valid.
    pub(crate) fn runtime_roots(&self) -> BTreeSet<Root> {
        self.runtime_roots_below(Path::new("/proc"))
    }

    fn runtime_roots_below(&self, proc: &Path) -> BTreeSet<Root> {
        let mut found = Found {
            store: self,
            roots: BTreeSet::new(),
        };
        for entry in std::fs::read_dir(proc).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.as_bytes().iter().all(u8::is_ascii_digit) {
                found.process(&entry.path());
            }
        }
        found.roots
    }
}

struct Found<'a> {
    store: &'a Store,
    roots: BTreeSet<Root>,
}

impl Found<'_> {
    /// Whatever cannot be read belongs to others, or to a process that ends at this moment.
    fn process(&mut self, dir: &Path) {
        for name in ["exe", "cwd"] {
            self.link(&dir.join(name));
        }
        for entry in std::fs::read_dir(dir.join("fd"))
            .into_iter()
            .flatten()
            .flatten()
        {
            self.link(&entry.path());
        }
        for name in ["maps", "environ"] {
            let file = dir.join(name);
            if let Ok(text) = std::fs::read(&file) {
                self.text(&text, &file);
            }
        }
    }

    fn link(&mut self, link: &Path) {
        let Ok(target) = std::fs::read_link(link) else {
            return;
        };
        if let Some((path, _)) = self.store.logical(&target) {
            self.found(path, link);
        }
        // A file that was deleted is shown with a word behind its name, which a top-level file's is then part of.
        let bytes = target.as_os_str().as_bytes();
        if let Some(bytes) = bytes.strip_suffix(b" (deleted)") {
            let target = PathBuf::from(OsStr::from_bytes(bytes));
            if let Some((path, _)) = self.store.logical(&target) {
                self.found(path, link);
            }
        }
    }

    /// Every store path in a text, by its logical or physical place.
    fn text(&mut self, text: &[u8], file: &Path) {
        let physical = self
            .store
            .layout
            .store_dir()
            .as_os_str()
            .as_bytes()
            .to_vec();
        for prefix in [STORE_DIR.as_bytes(), &physical] {
            let mut rest = text;
            while let Some(at) = position(rest, prefix) {
                rest = &rest[at + prefix.len()..];
                let Some(name) = rest.strip_prefix(b"/") else {
                    continue;
                };
                let end = name.iter().position(|byte| !is_of_name(*byte));
                let name = &name[..end.unwrap_or(name.len())];
                if name.len() > HASH_AND_DASH
                    && let Some(path) = std::str::from_utf8(name)
                        .ok()
                        .and_then(|name| StorePath::from_base_name(name).ok())
                {
                    self.found(path, file);
                }
            }
        }
    }

    fn found(&mut self, path: StorePath, by: &Path) {
        self.roots.insert(Root {
            path,
            root: by.display().to_string(),
        });
    }
}

fn position(text: &[u8], what: &[u8]) -> Option<usize> {
    let first = *what.first()?;
    let mut from = 0;
    while let Some(at) = text[from..].iter().position(|&byte| byte == first) {
        if text[from + at..].starts_with(what) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+-._?=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::StoreOptions;
    use std::os::unix::fs::symlink;

    #[test]
    fn every_way_in_which_a_process_uses_a_path() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        let path = |letter: &str, name: &str| {
            StorePath::from_base_name(&format!("{}-{name}", letter.repeat(32))).unwrap()
        };
        let proc = dir.path().join("proc");
        let process = proc.join("42");
        std::fs::create_dir_all(process.join("fd")).unwrap();
        std::fs::create_dir_all(proc.join("self")).unwrap();
        let physical = |path: &StorePath| store.physical(path);
        symlink(
            physical(&path("1", "exe")).join("bin/x"),
            process.join("exe"),
        )
        .unwrap();
        symlink(path("2", "cwd").to_string(), process.join("cwd")).unwrap();
        let gone = format!("{} (deleted)", physical(&path("3", "open")).display());
        symlink(gone, process.join("fd/3")).unwrap();
        symlink("socket:[1]", process.join("fd/4")).unwrap();
        let maps = format!(
            "7f00-7f01 r-xp 0 00:00 1   {}/lib/x.so\n",
            path("4", "mapped")
        );
        std::fs::write(process.join("maps"), maps).unwrap();
        let environment = format!(
            "PATH={}/bin:/bin\0A={}\0B=/nix/store/short\0C=/nix/storex\0D=/nix/store",
            path("5", "environment"),
            physical(&path("6", "a-1.0")).display()
        );
        std::fs::write(process.join("environ"), environment).unwrap();

        let found = store.runtime_roots_below(&proc);
        let names: Vec<&str> = found.iter().map(|root| root.path.name()).collect();
        assert_eq!(
            names,
            ["exe", "cwd", "open", "mapped", "environment", "a-1.0"]
        );
        let first = found.first().unwrap();
        assert!(first.root.ends_with("/42/exe"), "{}", first.root);
        assert!(store.runtime_roots_below(&dir.path().join("no")).is_empty());
    }
}
