//! Where things are below a store's root. The places are those of stock Nix opened with `local?root=ROOT`
//! (Nix manual, "Local Store"), so that both can use one store.

use std::path::{Path, PathBuf};

use xbuild_store_model::store_path::StorePath;

/// The directories and files of one store.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
    store: PathBuf,
    state: PathBuf,
}

impl Layout {
    /// The layout below `root`, the directory that contains `nix/`. It should be absolute.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            store: root.join("nix/store"),
            state: root.join("nix/var/nix"),
        }
    }

    /// The directory that contains `nix/`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `nix/store`: store objects, their lock files, temporary directories.
    pub fn store_dir(&self) -> &Path {
        &self.store
    }

    /// `nix/store/.links`: where Nix's optimiser keeps one hard link per distinct file.
    pub fn links_dir(&self) -> PathBuf {
        self.store.join(".links")
    }

    /// Where a store path is on this machine.
    pub fn physical(&self, path: &StorePath) -> PathBuf {
        self.store.join(path.base_name())
    }

    /// `nix/var/nix`.
    pub fn state_dir(&self) -> &Path {
        &self.state
    }

    /// `nix/var/nix/db`.
    pub fn db_dir(&self) -> PathBuf {
        self.state.join("db")
    }

    /// The database file.
    pub fn database(&self) -> PathBuf {
        self.state.join("db/db.sqlite")
    }

    /// The file with the schema version.
    pub fn schema_file(&self) -> PathBuf {
        self.state.join("db/schema")
    }

    /// Locked shared by everyone who has the store open, exclusively while the schema is upgraded.
    pub fn big_lock(&self) -> PathBuf {
        self.state.join("db/big-lock")
    }

    /// Space set aside so that garbage can be collected on a full disk.
    pub fn reserved_file(&self) -> PathBuf {
        self.state.join("db/reserved")
    }

    /// Locked exclusively by a running collector, shared while a temporary root is added.
    pub fn gc_lock(&self) -> PathBuf {
        self.state.join("gc.lock")
    }

    /// The directory of the socket on which a running collector hears of new temporary roots.
    pub fn gc_socket_dir(&self) -> PathBuf {
        self.state.join("gc-socket")
    }

    /// The roots.
    pub fn gc_roots_dir(&self) -> PathBuf {
        self.state.join("gcroots")
    }

    /// Indirect roots: symlinks to symlinks anywhere on the machine.
    pub fn auto_roots_dir(&self) -> PathBuf {
        self.state.join("gcroots/auto")
    }

    /// Direct roots that accompany those out-links of ours that point to physical places (see [`crate::roots`]).
    pub fn xbuild_roots_dir(&self) -> PathBuf {
        self.state.join("gcroots/xbuild")
    }

    /// Profiles, which are roots too.
    pub fn profiles_dir(&self) -> PathBuf {
        self.state.join("profiles")
    }

    /// One file for each running process with the paths it needs.
    pub fn temp_roots_dir(&self) -> PathBuf {
        self.state.join("temproots")
    }

    /// Scratch directories of running builds. xbuild's own; stock Nix does not look there.
    pub fn work_dir(&self) -> PathBuf {
        self.root.join("nix/var/xbuild/work")
    }

    /// Durations of earlier builds. xbuild's own.
    pub fn builds_database(&self) -> PathBuf {
        self.root.join("nix/var/xbuild/builds.sqlite")
    }

    /// The log of a derivation's build: `nix/var/log/nix/drvs/<first two characters>/<rest>`. Nix appends `.bz2` when it
    /// compresses; the name here is that of an uncompressed log, which Nix reads as well.
    pub fn log_path(&self, drv: &StorePath) -> PathBuf {
        let name = drv.base_name();
        let (head, tail) = name.split_at(2);
        self.root.join("nix/var/log/nix/drvs").join(head).join(tail)
    }
}
