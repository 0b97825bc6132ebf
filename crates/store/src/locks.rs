//! File locks with the protocol of stock Nix, so that xbuild and Nix can use one store at the same time.
//!
//! A store path is locked by an exclusive `flock` on `<path>.lock` beside it. Whoever is done unlinks the file and then writes a
//! byte to it, still holding the lock. Whoever gets the lock and finds the file not empty holds the lock of a file that is
//! gone, and starts again.
//!
//! We unlock at once but remove the files later, many together ([`Held::sweep`]): a file system without a journal does not give out
//! the inode of a removed file for some seconds, and each new file has to search past all of these. A lock file that nobody holds
//! is as good as none, and a collector removes those of a process that was killed.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashSet;
use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;
use xbuild_store_model::store_path::StorePath;

use crate::error::{Error, Result};
use crate::files;
use crate::layout::Layout;
use crate::options::Hooks;

/// What a stale lock file holds.
const STALE: &[u8] = b"d";

/// Whether a lock may be shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Shared,
    Exclusive,
}

/// To open a file that another process has made. In a store of several users, whoever may write to its directory could have put a symlink
/// there to a file of ours, or a FIFO.
pub(crate) fn of_others() -> OpenOptions {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = File::options();
    options.custom_flags(flags.bits().cast_signed());
    options
}

/// Opens a lock file, creating it.
pub(crate) fn open_lock_file(path: &Path) -> Result<File> {
    let shared = path.parent().is_some_and(files::is_shared);
    let mut options = of_others();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(if shared { 0o660 } else { 0o600 });
    let file =
        open_soon(shared, || options.open(path)).map_err(Error::io("open lock file", path))?;
    if shared {
        // Whatever our umask is. That of another user is open already.
        let _ = rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o660));
    }
    Ok(file)
}

/// Opens a file. In a shared directory, one that another user has just made is opened to the group a moment later.
pub(crate) fn open_soon(
    shared: bool,
    open: impl Fn() -> std::io::Result<File>,
) -> std::io::Result<File> {
    for _ in 0..200 {
        match open() {
            Err(error) if shared && error.kind() == std::io::ErrorKind::PermissionDenied => {
                std::thread::sleep(Duration::from_millis(5));
            }
            opened => return opened,
        }
    }
    open()
}

/// Tries to lock; false if somebody else holds the lock.
pub(crate) fn try_lock(file: &File, mode: Mode, path: &Path) -> Result<bool> {
    let operation = match mode {
        Mode::Shared => FlockOperation::NonBlockingLockShared,
        Mode::Exclusive => FlockOperation::NonBlockingLockExclusive,
    };
    loop {
        match rustix::fs::flock(file, operation) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(error) => return Err(Error::sys("lock", path)(error)),
        }
    }
}

/// Locks, waiting as long as it takes, but giving up when the hooks say that we are cancelled. The first wait is announced.
pub(crate) fn lock(
    file: &File,
    mode: Mode,
    path: &Path,
    hooks: &Hooks,
    what: &dyn Fn() -> String,
) -> Result<()> {
    // Asking again and again, and not a blocking flock, since that could not be cancelled.
    let mut pause = Duration::from_micros(200);
    let mut waited = Duration::ZERO;
    let mut announced = false;
    while !try_lock(file, mode, path)? {
        hooks.check_cancelled()?;
        if !announced && waited > Duration::from_secs(1) {
            hooks.notice(&format!("waiting for {}", what()));
            announced = true;
        }
        std::thread::sleep(pause);
        waited += pause;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
    Ok(())
}

/// Gives up a lock without closing the file.
pub(crate) fn unlock(file: &File, path: &Path) -> Result<()> {
    rustix::fs::flock(file, FlockOperation::Unlock).map_err(Error::sys("unlock", path))
}

/// Removes a lock file that is held exclusively, telling those who wait for it. Failures do not matter: a lock file that stays is
/// collected later.
pub(crate) fn remove_lock_file(mut file: &File, path: &Path) {
    let _ = std::fs::remove_file(path);
    let _ = file.write_all(STALE);
}

/// True if the file we hold the lock of has been removed by its former holder.
pub(crate) fn is_stale(file: &File, path: &Path) -> Result<bool> {
    Ok(rustix::fs::fstat(file)
        .map_err(Error::sys("examine", path))?
        .st_size
        != 0)
}

/// Exclusive locks on store paths. Dropping it releases them; the lock files are removed when the store is closed, at the latest.
#[derive(Debug)]
#[must_use = "the paths are locked only as long as this lives"]
pub struct PathLocks {
    locks: Vec<(StorePath, PathBuf, File)>,
    held: Arc<Held>,
}

/// The locks of this process on the paths of one store. Dropped after all of them, it removes what lock files are left.
#[derive(Debug, Default)]
pub(crate) struct Held {
    paths: Mutex<FxHashSet<StorePath>>,
    /// Lock files that were unlocked and not removed.
    retired: Mutex<Vec<PathBuf>>,
}

/// How many lock files may wait to be removed.
const MAX_RETIRED: usize = 4096;

impl Held {
    pub(crate) fn contains(&self, path: &StorePath) -> bool {
        lock_mutex(&self.paths).contains(path)
    }

    /// Releases the lock that `file`, at `place`, holds.
    fn release(&self, path: &StorePath, place: PathBuf, file: File) {
        lock_mutex(&self.paths).remove(path);
        drop(file);
        let mut retired = lock_mutex(&self.retired);
        retired.push(place);
        let full = retired.len() >= MAX_RETIRED;
        drop(retired);
        if full {
            self.sweep();
        }
    }

    /// Removes the lock files of released locks, but for those that somebody has taken since, who will remove them.
    pub(crate) fn sweep(&self) {
        let places = std::mem::take(&mut *lock_mutex(&self.retired));
        for place in places {
            // Failures do not matter: see `remove_lock_file`.
            let Ok(file) = of_others().read(true).write(true).open(&place) else {
                continue;
            };
            if matches!(try_lock(&file, Mode::Exclusive, &place), Ok(true))
                && matches!(is_stale(&file, &place), Ok(false))
            {
                remove_lock_file(&file, &place);
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.sweep();
    }
}

fn lock_mutex<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PathLocks {
    /// Locks in sorted order, so that two who want overlapping sets cannot wait for each other. With `wait` false, `None` if
    /// any is locked by somebody else.
    pub(crate) fn acquire(
        layout: &Layout,
        held: &Arc<Held>,
        paths: &[StorePath],
        wait: bool,
        hooks: &Hooks,
    ) -> Result<Option<Self>> {
        let mut sorted: Vec<&StorePath> = paths.iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        // If this fails half-way, dropping it releases those we have.
        let mut locks = Self {
            locks: Vec::with_capacity(sorted.len()),
            held: Arc::clone(held),
        };
        for path in sorted {
            let mut place = layout.physical(path).into_os_string();
            place.push(".lock");
            let place = PathBuf::from(place);
            let file = loop {
                let file = open_lock_file(&place)?;
                if wait {
                    lock(&file, Mode::Exclusive, &place, hooks, &|| {
                        format!("the lock on '{path}'")
                    })?;
                } else if !try_lock(&file, Mode::Exclusive, &place)? {
                    return Ok(None);
                }
                if !is_stale(&file, &place)? {
                    break file;
                }
            };
            lock_mutex(&held.paths).insert(path.clone());
            locks.locks.push((path.clone(), place, file));
        }
        Ok(Some(locks))
    }

    /// The locked paths, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &StorePath> {
        self.locks.iter().map(|(path, _, _)| path)
    }
}

impl Drop for PathLocks {
    fn drop(&mut self) {
        for (path, place, file) in self.locks.drain(..) {
            self.held.release(&path, place, file);
        }
    }
}
