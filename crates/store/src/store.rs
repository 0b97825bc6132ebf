//! An open store, and what can be asked of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use xbuild_store_model::store_path::StorePath;

use crate::auto_gc::AutoGcState;
use crate::builds::Builds;
use crate::database::Database;
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::locks::{Held, PathLocks};
use crate::options::{Hooks, StoreOptions};
use crate::path_info::PathInfo;
use crate::scan::{self, Scanned};
use crate::schema;
use crate::scratch::{Scratch, ScratchDirs};
use crate::temp_roots::TempRoots;

/// An open store. Any number of threads may use it, and any number of processes may have the same store open.
pub struct Store {
    pub(crate) layout: Layout,
    pub(crate) options: StoreOptions,
    pub(crate) hooks: Hooks,
    pub(crate) db: Database,
    pub(crate) temp_roots: TempRoots,
    pub(crate) held: Arc<Held>,
    /// Temporary directories within `nix/store`, for what is renamed to its place.
    pub(crate) incoming: ScratchDirs,
    /// Directories for builds.
    work: ScratchDirs,
    builds: OnceLock<Builds>,
    pub(crate) auto_gc: AutoGcState,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("root", &self.layout.root())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store below `root`, the directory that contains `nix/`; makes it if there is none, unless
    /// [`StoreOptions::read_only`].
    pub fn open(root: &Path, options: StoreOptions) -> Result<Self> {
        if !options.read_only {
            crate::files::create_dirs(root)?;
        }
        let root = match std::fs::canonicalize(root) {
            Ok(root) => root,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NoStore {
                    root: root.to_owned(),
                    missing: root.to_owned(),
                });
            }
            Err(error) => return Err(Error::io("open store", root)(error)),
        };
        let layout = Layout::new(&root);
        let hooks = Hooks {
            notify: options.notify.clone(),
            cancelled: options.cancelled.clone(),
        };
        // Hashes and links speak of the logical store; a symlink in between would let two places be one.
        for dir in [root.join("nix"), layout.store_dir().to_owned()] {
            if std::fs::symlink_metadata(&dir).is_ok_and(|meta| meta.is_symlink()) {
                return Err(Error::SymlinkedStore(dir));
            }
        }
        if !options.read_only {
            schema::create_directories(&layout)?;
        }
        let db = Database::open(&layout, &options, &hooks)?;
        Ok(Self {
            temp_roots: TempRoots::new(&layout, &hooks),
            held: Arc::default(),
            // The prefix is the one for which Nix's collector looks whether the directory is locked.
            incoming: ScratchDirs::new(layout.store_dir().to_owned(), "tmp-xbuild"),
            work: ScratchDirs::new(layout.work_dir(), "build"),
            builds: OnceLock::new(),
            auto_gc: AutoGcState::default(),
            layout,
            options,
            hooks,
            db,
        })
    }

    /// Where things are.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The directory that contains `nix/`, absolute and without symlinks.
    pub fn root(&self) -> &Path {
        self.layout.root()
    }

    /// Where a path is on this machine.
    pub fn physical(&self, path: &StorePath) -> PathBuf {
        self.layout.physical(path)
    }

    /// The store path that a physical or logical path is or is in, with the rest of the path; `None` if it is not in the store.
    pub fn logical<'p>(&self, path: &'p Path) -> Option<(StorePath, &'p Path)> {
        let below = path
            .strip_prefix(self.layout.store_dir())
            .or_else(|_| path.strip_prefix(xbuild_store_model::STORE_DIR))
            .ok()?;
        let mut components = below.components();
        let name = components.next()?.as_os_str().to_str()?;
        Some((StorePath::from_base_name(name).ok()?, components.as_path()))
    }

    /// Where the log of a derivation's build is kept.
    pub fn log_path(&self, drv: &StorePath) -> PathBuf {
        self.layout.log_path(drv)
    }

    /// Whether the path is registered. Temporary roots ([`Self::add_temp_root`]) make sure that it stays so.
    pub fn is_valid(&self, path: &StorePath) -> Result<bool> {
        self.db
            .read(|connection| Ok(self.db.id(connection, path)?.is_some()))
    }

    /// Those of `paths` that are valid.
    pub fn valid_among<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<BTreeSet<StorePath>> {
        let paths: Vec<&StorePath> = paths.into_iter().collect();
        self.db.read(|connection| {
            let mut valid = BTreeSet::new();
            for &path in &paths {
                if self.db.id(connection, path)?.is_some() {
                    valid.insert(path.clone());
                }
            }
            Ok(valid)
        })
    }

    /// What is known of a path; `None` if it is not valid.
    pub fn query_path_info(&self, path: &StorePath) -> Result<Option<PathInfo>> {
        self.db
            .read(|connection| self.db.path_info(connection, path))
    }

    /// What a valid path refers to.
    pub fn references(&self, path: &StorePath) -> Result<BTreeSet<StorePath>> {
        let references = self
            .db
            .read(|connection| self.db.references(connection, path))?;
        references.ok_or_else(|| Error::NotValid(path.clone()))
    }

    /// The valid paths that refer to a path.
    pub fn referrers(&self, path: &StorePath) -> Result<BTreeSet<StorePath>> {
        self.db
            .read(|connection| self.db.referrers(connection, path))
    }

    /// The paths themselves and everything they need, references before their referrers. An error if one of `roots` is not
    /// valid.
    pub fn closure(&self, roots: &[StorePath]) -> Result<Vec<StorePath>> {
        self.db
            .read(|connection| self.db.closure(connection, roots))?
            .map_err(Error::NotValid)
    }

    /// The valid derivations that have the path among their outputs.
    pub fn derivers(&self, path: &StorePath) -> Result<BTreeSet<StorePath>> {
        self.db
            .read(|connection| self.db.derivers(connection, path))
    }

    /// The output paths of a valid derivation by output name; the outputs need not be valid. Empty if the derivation is not valid.
    pub fn deriver_outputs(&self, drv: &StorePath) -> Result<BTreeMap<String, StorePath>> {
        self.db.read(|connection| self.db.outputs(connection, drv))
    }

    /// The valid path with a hash part, the 32 characters before the name.
    pub fn path_from_hash_part(&self, hash_part: &str) -> Result<Option<StorePath>> {
        self.db
            .read(|connection| self.db.by_hash_part(connection, hash_part))
    }

    /// All valid paths.
    pub fn all_valid(&self) -> Result<BTreeSet<StorePath>> {
        self.db.read(|connection| self.db.all_valid(connection))
    }

    /// Keeps collectors, ours and Nix's, from deleting the path until this store is closed, even if it is not valid yet.
    pub fn add_temp_root(&self, path: &StorePath) -> Result<()> {
        self.add_temp_roots([path])
    }

    /// The same for many; cheaper than one after the other.
    pub fn add_temp_roots<'a>(&self, paths: impl IntoIterator<Item = &'a StorePath>) -> Result<()> {
        if self.options.read_only {
            return Ok(()); // nothing can be deleted
        }
        self.temp_roots.add(paths)
    }

    /// Locks paths exclusively, waiting for whoever has them. They become temporary roots too. Do not lock a path twice in one
    /// process: it would wait for itself.
    pub fn lock_paths(&self, paths: &[StorePath]) -> Result<PathLocks> {
        self.check_writable("lock paths")?;
        self.add_temp_roots(paths)?;
        match PathLocks::acquire(&self.layout, &self.held, paths, true, &self.hooks)? {
            Some(locks) => Ok(locks),
            None => Err(Error::Interrupted), // not reached: with `wait`, there is always a result
        }
    }

    /// The same without waiting; `None` if somebody else has any of them.
    pub fn try_lock(&self, paths: &[StorePath]) -> Result<Option<PathLocks>> {
        self.check_writable("lock paths")?;
        self.add_temp_roots(paths)?;
        PathLocks::acquire(&self.layout, &self.held, paths, false, &self.hooks)
    }

    /// Makes a tree's metadata canonical; see [`crate::canonical::canonicalise`].
    pub fn canonicalise(&self, path: &Path) -> Result<()> {
        crate::canonical::canonicalise(path)
    }

    /// Computes the NAR hash, NAR size and references of a tree in one reading. `candidates` are the paths that could be
    /// referred to.
    pub fn scan_and_hash<'a>(
        &self,
        physical: &Path,
        candidates: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<Scanned> {
        scan::scan_and_hash(physical, candidates, self.options.auto_optimise)
    }

    /// A new directory for a build, on the store's file system. It is deleted when dropped, or, should this process die, by the
    /// next collection.
    pub fn work_dir(&self) -> Result<Scratch> {
        self.check_writable("make a build directory")?;
        self.work.create()
    }

    /// How long earlier builds took.
    pub fn builds(&self) -> Result<&Builds> {
        if let Some(builds) = self.builds.get() {
            return Ok(builds);
        }
        let opened = Builds::open(&self.layout.builds_database(), self.options.read_only)?;
        Ok(self.builds.get_or_init(|| opened))
    }

    pub(crate) fn check_writable(&self, action: &'static str) -> Result<()> {
        match self.options.read_only {
            true => Err(self.read_only(action)),
            false => Ok(()),
        }
    }

    /// That `action` needs a store that can be written to.
    pub(crate) fn read_only(&self, action: &'static str) -> Error {
        Error::ReadOnly {
            action,
            root: self.layout.root().to_owned(),
            because: self.options.read_only_because.clone(),
        }
    }
}
