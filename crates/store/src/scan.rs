//! The NAR hash, NAR size and references of a tree, from one reading of it; and the hashes of its files, if they are wanted.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::Stat;
use xbuild_store_model::hash::{Hash, HashAlgo, Hasher};
use xbuild_store_model::references::RefScanner;
use xbuild_store_model::store_path::StorePath;

use crate::error::Result;
use crate::file_hash::FileHasher;
use crate::offload::Offload;
use crate::tree::{self, ByteSink, NarEncoder, TreeSink};

/// What [`crate::Store::scan_and_hash`] finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    /// SHA-256 of the NAR.
    pub nar_hash: Hash,
    /// Size of the NAR in bytes.
    pub nar_size: u64,
    /// Those candidates whose hash part occurs.
    pub references: BTreeSet<StorePath>,
    /// For [`crate::Store::share_files`]. Empty unless [`crate::StoreOptions::auto_optimise`] is set.
    pub files: FileHashes,
}

/// The hashes of the files of a tree, and what the files were when they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileHashes {
    /// By directory, relative to the tree. A tree that is one file is a file with an empty name.
    pub(crate) dirs: Vec<(PathBuf, Vec<FileHash>)>,
}

/// The hash of one file, which is not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileHash {
    pub(crate) name: CString,
    pub(crate) hash: Hash,
    inode: (u64, u64),
    size: i64,
    /// Seconds and nanoseconds of the last change of contents or metadata.
    changed: (i64, i64),
}

impl FileHash {
    /// Whether a file is the one that was hashed, unchanged. A change of an inode that has several names (here or by a link made
    /// since) counts, too: that file is then left alone.
    pub(crate) fn is_still(&self, stat: &Stat) -> bool {
        identity(stat) == (self.inode, self.size, self.changed)
    }
}

type Identity = ((u64, u64), i64, (i64, i64));

fn identity(stat: &Stat) -> Identity {
    (
        (stat.st_dev, stat.st_ino),
        stat.st_size,
        (
            stat.st_ctime,
            i64::try_from(stat.st_ctime_nsec).unwrap_or(-1),
        ),
    )
}

struct Tee {
    hasher: Hasher,
    scanner: Option<RefScanner>,
}

impl ByteSink for Tee {
    fn bytes(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        if let Some(scanner) = &mut self.scanner {
            scanner.update(bytes);
        }
    }
}

/// Reads the tree at `physical`, looking for the hash parts of `candidates`; with `each_file`, files are hashed by themselves as well.
pub(crate) fn scan_and_hash<'a>(
    physical: &Path,
    candidates: impl IntoIterator<Item = &'a StorePath>,
    each_file: bool,
) -> Result<Scanned> {
    let mut candidates = candidates.into_iter().peekable();
    let scanner = candidates
        .peek()
        .is_some()
        .then(|| RefScanner::new(candidates));
    let encoder = NarEncoder::new(Offload::new(Tee {
        hasher: Hasher::new(HashAlgo::Sha256),
        scanner,
    }));
    let (encoder, files) = if each_file {
        let mut both = EachFile::new(encoder);
        tree::read(physical, None, &mut both)?;
        (both.nar, FileHashes { dirs: both.done })
    } else {
        let mut encoder = encoder;
        tree::read(physical, None, &mut encoder)?;
        (encoder, FileHashes::default())
    };
    let Tee { hasher, scanner } = encoder.finish().finish();
    let nar_size = hasher.count();
    Ok(Scanned {
        nar_hash: hasher.finish(),
        nar_size,
        references: scanner.map(RefScanner::found).unwrap_or_default(),
        files,
    })
}

/// Encodes a tree, and hashes each file by itself: here, on the thread that reads, while the NAR of a large tree is hashed on
/// another.
struct EachFile<S> {
    nar: NarEncoder<S>,
    path: PathBuf,
    /// The directories that we are in, with their files.
    open: Vec<Vec<FileHash>>,
    done: Vec<(PathBuf, Vec<FileHash>)>,
    identity: Option<Identity>,
    current: Option<(CString, FileHasher)>,
}

impl<S> EachFile<S> {
    fn new(nar: NarEncoder<S>) -> Self {
        Self {
            nar,
            path: PathBuf::new(),
            open: Vec::new(),
            done: Vec::new(),
            identity: None,
            current: None,
        }
    }
}

impl<S: ByteSink> TreeSink for EachFile<S> {
    fn enter(&mut self, name: &CStr) -> Result<()> {
        self.path.push(OsStr::from_bytes(name.to_bytes()));
        self.open.push(Vec::new());
        self.nar.enter(name)
    }

    fn leave(&mut self) -> Result<()> {
        if let Some(files) = self.open.pop().filter(|files| !files.is_empty()) {
            self.done.push((self.path.clone(), files));
        }
        if !self.open.is_empty() {
            self.path.pop();
        }
        self.nar.leave()
    }

    fn symlink(&mut self, name: &CStr, target: &CStr) -> Result<()> {
        self.nar.symlink(name, target)
    }

    fn examined(&mut self, stat: &Stat) {
        self.identity = Some(identity(stat));
    }

    fn file(&mut self, name: &CStr, executable: bool, size: u64) -> Result<()> {
        if size > 0 {
            self.current = Some((name.to_owned(), FileHasher::new(executable, size)?));
        }
        self.nar.file(name, executable, size)
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        self.nar.data(bytes)?;
        match &mut self.current {
            Some((_, hasher)) => hasher.data(bytes),
            None => Ok(()),
        }
    }

    fn end_file(&mut self) -> Result<()> {
        if let (Some((name, hasher)), Some((inode, size, changed))) =
            (self.current.take(), self.identity.take())
        {
            let file = FileHash {
                name,
                hash: hasher.finish()?.0,
                inode,
                size,
                changed,
            };
            match self.open.last_mut() {
                Some(files) => files.push(file),
                None => self.done.push((PathBuf::new(), vec![file])),
            }
        }
        self.nar.end_file()
    }
}
