//! The world outside of the evaluator: files, environment, store. The evaluator reaches it only through [`Host`].

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use xbuild_derivation::Derivation;
use xbuild_flake_ref::Input;
pub use xbuild_store_model::nar::FileType;
use xbuild_store_model::{FileIngestionMethod, Hash, HashAlgo, StorePath};

pub use crate::origin::Origin;

/// Why the host could not do something; the text is for users and names the thing.
#[derive(Debug)]
pub struct HostError {
    cause: Box<dyn std::error::Error + Send + Sync>,
    exit_code: u8,
}

impl HostError {
    /// An error with a text.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            cause: message.into().into(),
            exit_code: 1,
        }
    }

    /// A file could not be opened or read. This and the next three are said in Nix's words.
    #[must_use]
    pub fn opening(path: &Path, error: &std::io::Error) -> Self {
        Self::of_system(&format!("opening file '{}'", path.display()), error)
    }

    /// Nothing could be found out about a file.
    #[must_use]
    pub fn status(path: &Path, error: &std::io::Error) -> Self {
        Self::of_system(&format!("getting status of \"{}\"", path.display()), error)
    }

    /// A link could not be read.
    #[must_use]
    pub fn reading_link(path: &Path, error: &std::io::Error) -> Self {
        Self::of_system(
            &format!("reading symbolic link \"{}\"", path.display()),
            error,
        )
    }

    /// A directory could not be read.
    #[must_use]
    pub fn reading_dir(path: &Path, error: &std::io::Error) -> Self {
        Self::of_system(
            &format!("cannot read directory \"{}\"", path.display()),
            error,
        )
    }

    /// What was going on, and the system's reason, without its number.
    fn of_system(doing: &str, error: &std::io::Error) -> Self {
        let reason = error.to_string();
        let reason = reason.split(" (os error").next().unwrap_or_default();
        Self::new(format!("{doing}: {reason}"))
    }

    /// The same, for which a command ends with another exit code than 1.
    #[must_use]
    pub fn with_exit_code(self, exit_code: u8) -> Self {
        Self { exit_code, ..self }
    }

    /// The exit code of a command that ends with it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.exit_code
    }

    /// The error itself.
    #[must_use]
    pub fn into_cause(self) -> Box<dyn std::error::Error + Send + Sync> {
        self.cause
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for HostError {
    fn from(error: E) -> Self {
        Self {
            cause: Box::new(error),
            exit_code: 1,
        }
    }
}

/// The result of asking the host.
pub type HostResult<T> = Result<T, HostError>;

/// Something to be present before the evaluation can go on (import from derivation).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requisite {
    /// This path must be valid.
    Path(StorePath),
    /// This output of this derivation must be built.
    Output(StorePath, String),
}

/// A download: `builtins.fetchurl`, `builtins.fetchTarball`.
#[derive(Debug, Clone)]
pub struct FetchUrl {
    /// Where from (`https://…`, `file://…`, `mirror://…`).
    pub url: String,
    /// The name part of the store path.
    pub name: String,
    /// The hash of the file, or of the NAR of what is in it if `unpack`.
    pub hash: Option<Hash>,
    /// Whether it is an archive to be unpacked; the store path is then its single top-level directory.
    pub unpack: bool,
    /// Whether the file is to be executable.
    pub executable: bool,
}

/// A tree (or file) that was fetched.
#[derive(Debug, Clone)]
pub struct FetchedTree {
    /// Where it is.
    pub path: StorePath,
    /// What was fetched, with everything that is known of it: `narHash`, `rev`, `lastModified` …
    pub input: Input,
    /// What its files are called in messages, if not by their paths in the store.
    pub origin: Option<Origin>,
}

/// Which registries may say what an indirect input stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registries {
    /// None.
    No,
    /// The global one and what the command line says: what does not depend on the user.
    Limited,
    /// All.
    All,
}

/// A path without `.` and `..`, which are resolved by name: what is a link does not count.
#[must_use]
pub fn normalise(path: &Path) -> PathBuf {
    let mut normal = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir => {
                normal.pop();
            }
            _ => {}
        }
    }
    normal
}

/// The contents of a file: as many bytes as its size says, as Nix reads it. What the kernel only makes up (`/proc`) has none.
///
/// # Errors
///
/// If it cannot be read.
pub fn read_contents(place: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(place)?;
    let metadata = file.metadata()?;
    let mut contents = Vec::new();
    if metadata.file_type().is_fifo() {
        file.read_to_end(&mut contents)?;
    } else {
        let size = metadata.len();
        contents.reserve_exact(usize::try_from(size).unwrap_or(usize::MAX));
        file.take(size).read_to_end(&mut contents)?;
    }
    Ok(contents)
}

/// A predicate on files that are being copied: the path and its type.
pub type PathFilter<'a> = dyn FnMut(&Path, FileType) -> HostResult<bool> + 'a;

/// Which directory it is, and when something was last added to it or removed: what a cache of its entries is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirState {
    device: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl DirState {
    /// `None` for what is no directory, and for one that has changed in the last two seconds: it could do so again within
    /// the resolution of a file system's clock.
    #[must_use]
    pub fn new(metadata: &Metadata) -> Option<Self> {
        let settled = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .is_ok_and(|now| now.as_secs().cast_signed() - metadata.ctime() > 2);
        (metadata.is_dir() && settled).then(|| Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// Files, environment and store.
///
/// Paths given to the file methods are logical: one below `/nix/store` is in the store, wherever that physically is;
/// the implementation translates.
pub trait Host {
    /// The contents of a file, as [`read_contents`] reads it.
    fn read_file(&self, path: &Path) -> HostResult<Vec<u8>>;
    /// Whether the system finds a file by the path that the evaluation has for it, so that others than the host may read it.
    fn is_plain(&self, _path: &Path) -> bool {
        false
    }
    /// The entries of a directory, in any order, without `.` and `..`.
    fn read_dir(&self, path: &Path) -> HostResult<Vec<(OsString, FileType)>>;
    /// What tells one state of a directory from another; `None` if nothing does.
    fn dir_state(&self, _path: &Path) -> Option<DirState> {
        None
    }
    /// The type of a file, not following a symlink in the last component; `None` if there is nothing.
    fn file_type(&self, path: &Path) -> HostResult<Option<FileType>>;
    /// The target of a symlink.
    fn read_link(&self, path: &Path) -> HostResult<PathBuf>;
    /// The path without symlinks; fails if it does not exist.
    fn canonicalise(&self, path: &Path) -> HostResult<PathBuf>;
    /// A variable of the environment.
    fn env(&self, name: &OsStr) -> Option<OsString>;
    /// Seconds since 1970.
    fn current_time(&self) -> i64;

    /// A line for the user on stderr: `builtins.trace`, `builtins.warn`.
    fn message(&self, text: &[u8]);

    /// Adds a text file (`builtins.toFile`).
    fn add_text(
        &self,
        name: &str,
        contents: &[u8],
        references: &[StorePath],
    ) -> HostResult<StorePath>;
    /// Copies a file tree. `expected` is the hash it must have; if a path with that is valid already, `source` need not exist.
    fn add_path(
        &self,
        name: &str,
        source: &Path,
        method: FileIngestionMethod,
        algo: HashAlgo,
        filter: Option<&mut PathFilter<'_>>,
        expected: Option<Hash>,
    ) -> HostResult<StorePath>;
    /// Writes a derivation, the ATerm of which is given too; it may be delayed until [`Host::flush`] or until something asks
    /// for it.
    fn add_derivation(&self, derivation: &Derivation, aterm: Vec<u8>) -> HostResult<StorePath>;
    /// A derivation that is in the store (or was added).
    fn read_derivation(&self, path: &StorePath) -> HostResult<Derivation>;
    /// A path with everything it refers to, directly or not, in any order. Of a derivation that was added, that is its
    /// inputs, their inputs, and so on.
    fn closure(&self, path: &StorePath) -> HostResult<Vec<StorePath>>;
    /// Whether a path is valid in the store.
    fn is_valid(&self, path: &StorePath) -> HostResult<bool>;
    /// What a valid path refers to; `builtins.readFile` passes on those that a file in it has.
    fn references(&self, path: &StorePath) -> HostResult<Vec<StorePath>>;
    /// Builds or substitutes what the evaluation needs now. Gives the path of each.
    fn realise(&self, wanted: &[Requisite]) -> HostResult<Vec<StorePath>>;
    /// Where a store path is on disk.
    fn physical(&self, path: &StorePath) -> PathBuf;
    /// Downloads a file into the store.
    fn fetch_url(&self, fetch: &FetchUrl) -> HostResult<StorePath>;
    /// Fetches an input (`builtins.fetchTree`) into the store.
    fn fetch_tree(&self, input: &Input) -> HostResult<FetchedTree> {
        Err(HostError::new(format!(
            "cannot fetch '{}': there is no store to fetch into",
            input.show()
        )))
    }
    /// Fetches inputs again that may have changed, when they are asked for the next time.
    fn forget_unlocked_inputs(&self) {}
    /// What an input stands for by the registries, and the directory there, if a registry names one.
    fn resolve_input(
        &self,
        input: &Input,
        registries: Registries,
    ) -> HostResult<(Input, Option<String>)> {
        if input.is_direct() || registries == Registries::No {
            return Ok((input.clone(), None));
        }
        Err(HostError::new(format!(
            "cannot find flake '{}' in the flake registries",
            input.show()
        )))
    }
    /// Writes everything that was delayed.
    fn flush(&self) -> HostResult<()>;
}
