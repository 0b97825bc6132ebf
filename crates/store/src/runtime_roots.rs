//! Roots of running programs: what they run from, have open, have mapped, or name in their environment, as `/proc` tells it.
//!
//! Only what the user may see counts: processes of others are closed to all but root. As in stock Nix; but a process that
//! sees something else by the name of a path, since it is in the sandbox of another store, does not keep that path here.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt as _;
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
            self.link(dir, &dir.join(name));
        }
        for entry in std::fs::read_dir(dir.join("fd"))
            .into_iter()
            .flatten()
            .flatten()
        {
            self.link(dir, &entry.path());
        }
        for name in ["maps", "environ"] {
            let file = dir.join(name);
            if let Ok(text) = std::fs::read(&file) {
                self.text(dir, &text, &file);
            }
        }
    }

    fn link(&mut self, process: &Path, link: &Path) {
        let Ok(target) = std::fs::read_link(link) else {
            return;
        };
        if let Some((path, _)) = self.store.logical(&target) {
            self.found(process, path, &target, link);
        }
        // A file that was deleted is shown with a word behind its name, which a top-level file's is then part of.
        let bytes = target.as_os_str().as_bytes();
        if let Some(bytes) = bytes.strip_suffix(b" (deleted)") {
            let target = PathBuf::from(OsStr::from_bytes(bytes));
            if let Some((path, _)) = self.store.logical(&target) {
                self.found(process, path, &target, link);
            }
        }
    }

    /// Every store path in a text, by its logical or physical place.
    fn text(&mut self, process: &Path, text: &[u8], file: &Path) {
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
                    self.found(process, path, Path::new(OsStr::from_bytes(prefix)), file);
                }
            }
        }
    }

    /// `place` is where the process said it, a logical or physical place.
    fn found(&mut self, process: &Path, path: StorePath, place: &Path, by: &Path) {
        if place.starts_with(STORE_DIR) && self.is_of_another_store(process, &path) {
            return;
        }
        self.roots.insert(Root {
            path,
            root: by.display().to_string(),
        });
    }

    /// Whether the process sees another file of the same file system where this store's is logically.
    fn is_of_another_store(&self, process: &Path, path: &StorePath) -> bool {
        let logical = path.to_string();
        let seen = process.join("root").join(logical.trim_start_matches('/'));
        match (
            std::fs::symlink_metadata(seen),
            std::fs::symlink_metadata(self.store.physical(path)),
        ) {
            (Ok(seen), Ok(ours)) => seen.dev() == ours.dev() && seen.ino() != ours.ino(),
            _ => false,
        }
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
    #[test]
    fn a_process_that_sees_another_store_keeps_nothing_in_this() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store"), StoreOptions::default()).unwrap();
        let path = StorePath::from_base_name(&format!("{}-x", "1".repeat(32))).unwrap();
        std::fs::create_dir_all(store.physical(&path)).unwrap();
        let proc = dir.path().join("proc");
        for process in ["42", "43", "44"] {
            let seen = proc.join(process).join("root/nix/store");
            std::fs::create_dir_all(&seen).unwrap();
            std::fs::write(proc.join(process).join("environ"), format!("A={path}\0")).unwrap();
            let seen = seen.join(path.base_name());
            match process {
                "42" => std::fs::create_dir(seen).unwrap(),
                "43" => symlink("elsewhere", seen).unwrap(),
                _ => {}
            }
        }
        let found = store.runtime_roots_below(&proc);
        let by: Vec<&str> = found.iter().map(|root| root.root.as_str()).collect();
        assert_eq!(by.len(), 1, "{by:?}");
        assert!(by[0].ends_with("/44/environ"), "{by:?}");
    }
}
