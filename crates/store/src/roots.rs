//! Roots: what must not be collected.
//!
//! Everything below `gcroots` and `profiles` counts, as in stock Nix: a symlink into the store; a symlink to such a symlink (an indirect
//! root, such as `gcroots/auto/<hash>` for a user's `result`); a file named like a store path. xbuild's out-links point to the
//! physical place, `ROOT/nix/store/…`, so that they can be used, unless the store is at `/`. Stock Nix does not take such a link for
//! a root; so `gcroots/xbuild/<hash>` holds a direct one beside `gcroots/auto/<hash>`. Our collector removes it when the link is gone.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use xbuild_store_model::base32;
use xbuild_store_model::hash::{Hash, HashAlgo};
use xbuild_store_model::store_path::StorePath;

use crate::error::{Error, Result};
use crate::fault;
use crate::store::Store;
use crate::temp_roots;

/// A root and what it keeps.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Root {
    /// What is kept, with its closure.
    pub path: StorePath,
    /// A file below `gcroots` or `profiles`, the user's link that an indirect root stands for, or `{temp:PID}`.
    pub root: String,
}

impl Store {
    /// Makes `link` point to the physical place of `target`, replacing an older out-link, and registers it as an indirect root. Deleting
    /// the link later frees the target for collection.
    pub fn make_out_link(&self, link: &Path, target: &StorePath) -> Result<()> {
        self.check_writable("make an out-link (`--no-out-link` goes without)")?;
        // Before the link: a collector must not come in between. One of stock Nix that runs already has read the links, and hears of
        // this one so.
        self.temp_roots.renew(target)?;
        if !self.is_valid(target)? {
            return Err(Error::NotValid(target.clone()));
        }
        let link = std::path::absolute(link).map_err(Error::io("find", link))?;
        match std::fs::read_link(&link) {
            Ok(old) if self.logical(&old).is_some() || is_store_link(&old) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Ok(_) | Err(_) => return Err(Error::NotAnOutLink(link)),
        }
        replace_symlink(&self.physical(target), &link)?;
        self.add_indirect_root(&link)
    }

    /// Registers a symlink to a store path, anywhere on the machine, as a root.
    pub fn add_indirect_root(&self, link: &Path) -> Result<()> {
        self.check_writable("add a root")?;
        let link = std::path::absolute(link).map_err(Error::io("find", link))?;
        // Nix's name for it, so that both keep one entry.
        let name = root_name(&link);
        let auto = self.layout.auto_roots_dir();
        crate::files::create_dirs(&auto)?;
        replace_symlink(&link, &auto.join(&name))?;

        let target = std::fs::read_link(&link).map_err(Error::io("read symlink", &link))?;
        let is_logical = target.starts_with(xbuild_store_model::STORE_DIR);
        let direct = self.layout.xbuild_roots_dir().join(&name);
        match self.logical(&target) {
            Some((path, _)) if !is_logical => {
                crate::files::create_dirs(&self.layout.xbuild_roots_dir())?;
                replace_symlink(Path::new(&path.to_string()), &direct)
            }
            _ => match std::fs::remove_file(&direct) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    Err(Error::io("delete", direct)(error))
                }
                _ => Ok(()),
            },
        }
    }

    /// All roots: links, what running programs use, and temporary ones. Also of paths that are not valid.
    pub fn roots(&self) -> Result<Vec<Root>> {
        let mut roots = self.permanent_roots(false)?;
        let running: Vec<Root> = self.runtime_roots().into_iter().collect();
        let valid = self.valid_among(running.iter().map(|root| &root.path))?;
        // Programs also use other stores with the same logical place.
        roots.extend(
            running
                .into_iter()
                .filter(|root| valid.contains(&root.path)),
        );
        for (path, root) in temp_roots::read_all(&self.layout, &self.hooks, false)? {
            roots.push(Root { path, root });
        }
        roots.sort_unstable();
        roots.dedup();
        Ok(roots)
    }

    /// The roots below `gcroots` and `profiles`. With `remove_stale`, indirect roots whose link is gone are removed.
    pub(crate) fn permanent_roots(&self, remove_stale: bool) -> Result<Vec<Root>> {
        let mut finder = Finder {
            store: self,
            remove_stale,
            auto: self.layout.auto_roots_dir(),
            direct: self.layout.xbuild_roots_dir(),
            roots: BTreeSet::new(),
        };
        finder.visit(&self.layout.gc_roots_dir())?;
        finder.visit(&self.layout.profiles_dir())?;
        Ok(finder.roots.into_iter().collect())
    }
}

struct Finder<'a> {
    store: &'a Store,
    remove_stale: bool,
    auto: PathBuf,
    direct: PathBuf,
    roots: BTreeSet<Root>,
}

impl Finder<'_> {
    fn visit(&mut self, place: &Path) -> Result<()> {
        match self.examine(place) {
            // Somebody else's directory, or one that disappears just now, holds no root for us. As in Nix.
            Err(Error::Io { source, path, .. })
                if matches!(
                    source.kind(),
                    ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::NotADirectory
                ) =>
            {
                if source.kind() == ErrorKind::PermissionDenied {
                    self.store.hooks.notice(&format!(
                        "cannot read potential root '{}': {source}",
                        path.display()
                    ));
                }
                Ok(())
            }
            other => other,
        }
    }

    fn examine(&mut self, place: &Path) -> Result<()> {
        let meta = std::fs::symlink_metadata(place).map_err(Error::io("examine", place))?;
        if meta.is_dir() {
            for entry in std::fs::read_dir(place).map_err(Error::io("read directory", place))? {
                self.visit(&entry.map_err(Error::io("read directory", place))?.path())?;
            }
        } else if meta.is_symlink() {
            let target = std::fs::read_link(place).map_err(Error::io("read symlink", place))?;
            if self.is_stale_companion(place, &target) {
                self.remove_companion(place);
            } else if let Some((path, _)) = self.store.logical(&target) {
                // What stands beside an out-link is known by that.
                let link = place
                    .strip_prefix(&self.direct)
                    .ok()
                    .and_then(|name| std::fs::read_link(self.auto.join(name)).ok());
                self.found(path, link.as_deref().unwrap_or(place));
            } else {
                self.indirect(place, &target)?;
            }
        } else if meta.is_file() {
            let name = place
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if let Ok(path) = StorePath::from_base_name(name) {
                self.found(path, place);
            }
        }
        Ok(())
    }

    fn indirect(&mut self, place: &Path, target: &Path) -> Result<()> {
        let link = place.parent().unwrap_or(place).join(target);
        if self.follow(&link)? || !place.starts_with(&self.auto) {
            return Ok(());
        }
        self.remove(place);
        // Between the look at the link and the removal, somebody may have made it anew, and found its entry still there.
        if self.remove_stale && self.follow(&link)? {
            replace_symlink(target, place)?;
        }
        Ok(())
    }

    /// Notes what a link that is registered leads to. Returns whether there is anything in its place.
    fn follow(&mut self, link: &Path) -> Result<bool> {
        match std::fs::symlink_metadata(link) {
            Ok(meta) if meta.is_symlink() => {
                let target = std::fs::read_link(link).map_err(Error::io("read symlink", link))?;
                if let Some((path, _)) = self.store.logical(&target) {
                    self.found(path, link);
                }
                Ok(true)
            }
            Ok(_) => Ok(true),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                Ok(false)
            }
            Err(error) => Err(Error::io("examine", link)(error)),
        }
    }

    /// True for an entry of `gcroots/xbuild` whose out-link is gone or points elsewhere by now.
    fn is_stale_companion(&self, place: &Path, target: &Path) -> bool {
        let Ok(name) = place.strip_prefix(&self.direct) else {
            return false;
        };
        let Some((path, _)) = self.store.logical(target) else {
            return true;
        };
        // While one is made or replaced, what will be it has another name.
        let name = name.to_str().unwrap_or_default();
        match self.out_link_target(finished_name(name).unwrap_or(name)) {
            Ok(current) => self
                .store
                .logical(&current)
                .is_none_or(|(current, _)| current != path),
            Err(error) => matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidInput
            ),
        }
    }

    /// Where the out-link leads to that is registered under `name`.
    fn out_link_target(&self, name: impl AsRef<Path>) -> std::io::Result<PathBuf> {
        std::fs::read_link(self.auto.join(name)).and_then(std::fs::read_link)
    }

    fn remove_companion(&self, place: &Path) {
        self.remove(place);
        // Between the look at it and its removal, whoever makes the out-link anew may have replaced it.
        let remade = place
            .strip_prefix(&self.direct)
            .ok()
            .and_then(|name| self.out_link_target(name).ok())
            .filter(|target| !target.starts_with(xbuild_store_model::STORE_DIR))
            .and_then(|target| self.store.logical(&target).map(|(path, _)| path));
        if let Some(path) = remade
            && self.remove_stale
        {
            let _ = replace_symlink(Path::new(&path.to_string()), place);
        }
    }

    fn remove(&self, place: &Path) {
        if self.remove_stale {
            self.store
                .hooks
                .notice(&format!("removing stale root '{}'", place.display()));
            let _ = std::fs::remove_file(place);
        }
    }

    fn found(&mut self, path: StorePath, root: &Path) {
        self.roots.insert(Root {
            path,
            root: root.display().to_string(),
        });
    }
}

/// `gcroots/auto/<this>`: the SHA-1 of the link's path in base 32.
fn root_name(link: &Path) -> String {
    base32::encode(Hash::of(HashAlgo::Sha1, link.as_os_str().as_bytes()).digest())
}

/// True if a link looks like an out-link of any store.
fn is_store_link(target: &Path) -> bool {
    let in_store = target
        .parent()
        .is_some_and(|parent| parent.ends_with("nix/store"));
    let name = target
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    in_store && StorePath::from_base_name(name).is_ok()
}

/// Stands in the name of a symlink that is to replace another, between that one's name and what tells such names apart.
const TEMPORARY: &str = ".xbuild-";

/// The name that the link called `temporary` is going to have.
fn finished_name(temporary: &str) -> Option<&str> {
    let (name, _) = temporary.strip_prefix('.')?.rsplit_once(TEMPORARY)?;
    Some(name)
}

/// Makes a symlink, replacing one that is there in one step.
pub(crate) fn replace_symlink(target: &Path, link: &Path) -> Result<()> {
    if std::fs::read_link(link).is_ok_and(|old| old == target) {
        return Ok(());
    }
    fault::point("create symlink", link)?;
    let mut attempt = 0_u32;
    loop {
        let mut name = std::ffi::OsString::from(".");
        name.push(link.file_name().unwrap_or_default());
        name.push(format!("{TEMPORARY}{}-{attempt}", std::process::id()));
        let temporary = link.with_file_name(name);
        match symlink(target, &temporary) {
            Ok(()) => match std::fs::rename(&temporary, link) {
                Ok(()) => return Ok(()),
                // A collector has taken it for what a process left that was killed.
                Err(error) if error.kind() == ErrorKind::NotFound && attempt < 1000 => {
                    attempt += 1;
                }
                Err(error) => {
                    let _ = std::fs::remove_file(&temporary);
                    return Err(Error::io("create symlink", link)(error));
                }
            },
            Err(error) if error.kind() == ErrorKind::AlreadyExists && attempt < 1000 => {
                attempt += 1;
            }
            Err(error) => return Err(Error::io("create symlink", link)(error)),
        }
    }
}
