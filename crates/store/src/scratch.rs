//! Temporary directories that outlive a crash only until the next collection.
//!
//! Each process (each open store) makes one directory, holds an `flock` on it as long as it lives, and makes what it needs
//! within. A directory that can be locked is left over from a process that is gone. Nix's collector, too, deletes `tmp-…` directories
//! of the store only when it can lock them.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::fault;
use crate::files;
use crate::removal::remove_tree;

/// Makes scratch directories of one kind.
pub(crate) struct ScratchDirs {
    parent: PathBuf,
    prefix: &'static str,
    base: Mutex<Option<Arc<Base>>>,
    next: AtomicU64,
}

/// The locked directory of this process.
struct Base {
    path: PathBuf,
    _lock: OwnedFd,
}

impl Drop for Base {
    fn drop(&mut self) {
        let _ = remove_tree(&self.path);
    }
}

/// A place for temporary files, deleted when this is dropped.
pub struct Scratch {
    path: PathBuf,
    keep: bool,
    _base: Arc<Base>,
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Scratch {
    /// The place.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Moves it to `to` and does not delete it: for `--keep-failed`.
    pub fn persist(mut self, to: &Path) -> Result<()> {
        std::fs::rename(&self.path, to).map_err(Error::io("move a build directory to", to))?;
        self.keep = true;
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be deleted now is collected later.
            let _ = remove_tree(&self.path);
        }
    }
}

impl ScratchDirs {
    pub(crate) fn new(parent: PathBuf, prefix: &'static str) -> Self {
        Self {
            parent,
            prefix,
            base: Mutex::default(),
            next: AtomicU64::new(0),
        }
    }

    /// An empty new directory.
    pub(crate) fn create(&self) -> Result<Scratch> {
        let scratch = self.place()?;
        std::fs::create_dir(&scratch.path).map_err(Error::io("create directory", &scratch.path))?;
        Ok(scratch)
    }

    /// A place where nothing is yet.
    pub(crate) fn place(&self) -> Result<Scratch> {
        let base = self.base()?;
        let path = base
            .path
            .join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        Ok(Scratch {
            path,
            keep: false,
            _base: base,
        })
    }

    fn base(&self) -> Result<Arc<Base>> {
        let mut base = self.base.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(base) = &*base {
            return Ok(Arc::clone(base));
        }
        files::create_dirs(&self.parent)?;
        fault::point("create directory", &self.parent)?;
        let pid = std::process::id();
        let mut number = 0_u64;
        let made = loop {
            let path = self.parent.join(format!("{}-{pid}-{number}", self.prefix));
            number += 1;
            match rustix::fs::mkdir(&path, rustix::fs::Mode::RWXU) {
                Ok(()) => {}
                Err(Errno::EXIST) => continue,
                Err(error) => return Err(Error::sys("create directory", path)(error)),
            }
            // A collector may delete it before we have locked it.
            let lock = match files::open_dir(&path) {
                Ok(lock) => lock,
                Err(Errno::NOENT) => continue,
                Err(error) => {
                    let _ = rustix::fs::rmdir(&path);
                    return Err(Error::sys("open directory", path)(error));
                }
            };
            if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
                && same_file(&lock, &path)
            {
                break Arc::new(Base { path, _lock: lock });
            }
        };
        *base = Some(Arc::clone(&made));
        Ok(made)
    }
}

fn same_file(fd: &OwnedFd, path: &Path) -> bool {
    match (rustix::fs::fstat(fd), rustix::fs::lstat(path)) {
        (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
        _ => false,
    }
}

/// Takes over a directory whose process is gone; `None` if the process lives. As long as the lock is held, nobody begins to use
/// the directory, so it can be deleted.
pub(crate) fn claim(path: &Path) -> Option<Claim> {
    match files::open_dir(path) {
        Ok(fd) => {
            let locked = rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive).is_ok();
            locked.then_some(Claim { _lock: Some(fd) })
        }
        // Not a directory: nobody's.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Some(Claim { _lock: None }),
        Err(_) => None,
    }
}

/// The right to delete a scratch directory.
pub(crate) struct Claim {
    _lock: Option<OwnedFd>,
}
