//! `nix/store/.links`: one hard link for each distinct file of the store, by which identical files are stored once.
//!
//! The directory, its names ([`crate::file_hash`]) and its meaning are stock Nix's: a collector, ours or Nix's, deletes the entries
//! that nothing else links to. An entry is only a hint for what comes later, so nothing is lost with it, and two processes that
//! work on it cannot do each other harm.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{AtFlags, CWD, FileType, Mode, Stat};
use rustix::io::Errno;
use xbuild_store_model::hash::Hash;

use crate::canonical::{MTIME, canonical_times};
use crate::error::{Error, Result};
use crate::fault;
use crate::file_hash::{self, FileHasher};
use crate::files;
use crate::layout::Layout;
use crate::options::Hooks;
use crate::scratch::ScratchDirs;

/// The links of a store.
pub(crate) struct Links<'a> {
    path: PathBuf,
    dir: OwnedFd,
    /// Where a link waits that is to be renamed over a file.
    temporary: &'a ScratchDirs,
    hooks: &'a Hooks,
    /// Whether the contents of entries are checked before they are used: for repairs.
    suspicious: bool,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shared {
    /// It is the first of its kind, and has an entry now.
    First,
    /// It was a link to the entry before.
    Already,
    /// It is one now; so many bytes on disk are free again.
    Linked(u64),
    /// It stays as it is: the file system does not allow it.
    Impossible,
}

/// The directory that a file is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parent {
    /// It is being made, or is the store itself: it can be written to, and its metadata do not matter.
    Unfinished,
    /// It is part of a finished object: read-only, with canonical metadata.
    Finished,
}

/// How often an entry that others make or delete at this moment is looked at.
const ATTEMPTS: u32 = 8;

impl<'a> Links<'a> {
    pub(crate) fn open(
        layout: &Layout,
        temporary: &'a ScratchDirs,
        hooks: &'a Hooks,
        suspicious: bool,
    ) -> Result<Self> {
        let path = layout.links_dir();
        files::create_dirs(&path)?;
        let dir = files::open_dir(&path).map_err(Error::sys("open directory", &path))?;
        Ok(Self {
            path,
            dir,
            temporary,
            hooks,
            suspicious,
        })
    }

    /// Makes the file `name` in `dir` a link to the entry for its hash, or makes that entry. `stat` is that of the file when it was
    /// hashed. The file must not be empty: an empty one takes no space, and would use up the links a file can have.
    pub(crate) fn share(
        &self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        hash: &Hash,
        stat: &Stat,
        parent: Parent,
    ) -> Result<Shared> {
        let entry = hash.to_base32();
        fault::point("create a link in", &self.path)?;
        for _ in 0..ATTEMPTS {
            match rustix::fs::linkat(dir, name, &self.dir, &*entry, AtFlags::empty()) {
                Ok(()) => return Ok(Shared::First),
                Err(Errno::EXIST) => {}
                Err(error) if is_no_obstacle(error) => return Ok(Shared::Impossible),
                Err(error) => {
                    return Err(Error::sys("create a link in", &self.path)(error));
                }
            }
            let known = match rustix::fs::statat(&self.dir, &*entry, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(known) => known,
                Err(Errno::NOENT) => continue, // a collector was faster
                Err(error) => return Err(Error::sys("examine", self.path.join(&entry))(error)),
            };
            if (known.st_dev, known.st_ino) == (stat.st_dev, stat.st_ino) {
                return Ok(Shared::Already);
            }
            if !self.is_sound(&entry, hash, stat, &known)? {
                self.hooks.notice(&format!(
                    "'{}' was modified or damaged; it is replaced. Other files may be damaged as well: run `xbuild store verify --check-contents --repair`",
                    self.path.join(&entry).display()
                ));
                self.remove(&entry)?;
                continue;
            }
            match self.replace(dir, name, &entry, parent)? {
                Replaced::Yes => {
                    let freed = if stat.st_nlink <= 1 {
                        u64::try_from(stat.st_blocks).unwrap_or(0) * 512
                    } else {
                        0
                    };
                    return Ok(Shared::Linked(freed));
                }
                Replaced::Vanished => {}
                Replaced::Full => {
                    // The entry has as many links as a file can have. The next ones share this file.
                    return self.succeed(dir, name, &entry);
                }
                Replaced::Impossible => return Ok(Shared::Impossible),
            }
        }
        Ok(Shared::Impossible)
    }

    /// Whether an entry is what its name says, as far as that can be told without reading it.
    fn is_sound(&self, entry: &str, hash: &Hash, stat: &Stat, known: &Stat) -> Result<bool> {
        let is_file = FileType::from_raw_mode(known.st_mode) == FileType::RegularFile;
        if !is_file || known.st_size != stat.st_size || known.st_mode & 0o222 != 0 {
            return Ok(false);
        }
        if !self.suspicious && known.st_mtime == MTIME {
            return Ok(true);
        }
        Ok(self.hash_of(entry)? == Some(*hash))
    }

    /// The hash of an entry's contents; `None` if it is gone.
    pub(crate) fn hash_of(&self, entry: &str) -> Result<Option<Hash>> {
        let path = self.path.join(entry);
        match hash_file(self.dir.as_fd(), entry) {
            Ok(hash) => Ok(Some(hash)),
            Err(HashError::System(Errno::NOENT)) => Ok(None),
            Err(HashError::System(error)) => Err(Error::sys("read", path)(error)),
            Err(HashError::Store(error)) => Err(error),
        }
    }

    pub(crate) fn remove(&self, entry: &str) -> Result<()> {
        match rustix::fs::unlinkat(&self.dir, entry, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(Error::sys("delete", self.path.join(entry))(error)),
        }
    }

    /// Puts a link to the entry in the place of the file, in one step.
    fn replace(
        &self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        entry: &str,
        parent: Parent,
    ) -> Result<Replaced> {
        let temporary = self.temporary.place()?;
        let from = temporary.path();
        fault::point("create link", from)?;
        match rustix::fs::linkat(&self.dir, entry, CWD, from, AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(Replaced::Vanished),
            Err(Errno::MLINK) => return Ok(Replaced::Full),
            Err(error) if is_no_obstacle(error) => return Ok(Replaced::Impossible),
            Err(error) => return Err(Error::sys("create link", from)(error)),
        }
        let finished = parent == Parent::Finished;
        if finished {
            match rustix::fs::fchmod(dir, Mode::from_raw_mode(0o755)) {
                Ok(()) => {}
                Err(Errno::PERM) => return Ok(Replaced::Impossible), // somebody else's
                Err(error) => return Err(Error::sys("make writable the parent of", from)(error)),
            }
        }
        let renamed = match fault::point("replace by a link", from) {
            Ok(()) => rustix::fs::renameat(CWD, from, dir, name),
            Err(_) => Err(Errno::IO),
        };
        if finished {
            close(dir).map_err(Error::sys("set the metadata of a directory in", &self.path))?;
        }
        match renamed {
            Ok(()) => Ok(Replaced::Yes),
            // Some file systems count one link too many for a moment.
            Err(Errno::MLINK) => Ok(Replaced::Full),
            Err(error) => {
                let name = std::ffi::OsStr::from_bytes(name.to_bytes());
                Err(Error::sys("replace by a link", name)(error))
            }
        }
    }

    /// Makes the file the entry in place of the one that is there.
    fn succeed(&self, dir: BorrowedFd<'_>, name: &CStr, entry: &str) -> Result<Shared> {
        let temporary = self.temporary.place()?;
        let from = temporary.path();
        match rustix::fs::linkat(dir, name, CWD, from, AtFlags::empty()) {
            Ok(()) => {}
            Err(error) if is_no_obstacle(error) => return Ok(Shared::Impossible),
            Err(error) => return Err(Error::sys("create link", from)(error)),
        }
        rustix::fs::renameat(CWD, from, &self.dir, entry)
            .map_err(Error::sys("create a link in", &self.path))?;
        Ok(Shared::First)
    }
}

enum Replaced {
    Yes,
    /// The entry is gone.
    Vanished,
    /// The entry has as many links as it can have.
    Full,
    Impossible,
}

/// What the file system does not allow is no reason to fail: files are then stored twice. (`PERM`: no hard links there, or not to
/// files of others; `MLINK`: the file has too many; `NOSPC`: also a directory that is full.)
fn is_no_obstacle(error: Errno) -> bool {
    matches!(
        error,
        Errno::PERM | Errno::XDEV | Errno::MLINK | Errno::NOSPC | Errno::OPNOTSUPP | Errno::NOSYS
    )
}

/// Makes a directory of a finished object what it was before it was changed.
pub(crate) fn close(dir: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::fs::fchmod(dir, Mode::from_raw_mode(0o555))?;
    rustix::fs::futimens(dir, &canonical_times())
}

/// Why a file could not be hashed.
pub(crate) enum HashError {
    System(Errno),
    Store(Error),
}

impl From<Errno> for HashError {
    fn from(error: Errno) -> Self {
        Self::System(error)
    }
}

impl From<Error> for HashError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// The hash of the regular file `name` in `dir`.
pub(crate) fn hash_file(
    dir: BorrowedFd<'_>,
    name: impl rustix::path::Arg,
) -> Result<Hash, HashError> {
    use rustix::fs::OFlags;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&fd)?;
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let mut hasher = FileHasher::new(stat.st_mode & 0o100 != 0, size)?;
    let wanted = usize::try_from(size).unwrap_or(usize::MAX);
    let mut buffer = vec![0; wanted.saturating_add(1).clamp(4096, 256 << 10)];
    loop {
        match rustix::io::read(&fd, &mut buffer[..]) {
            Ok(0) => break,
            Ok(count) => hasher.data(&buffer[..count])?,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(hasher.finish()?.0)
}

/// The same of an entry, which stock Nix also makes for symlinks.
pub(crate) fn hash_link(dir: BorrowedFd<'_>, name: &CStr) -> Result<Hash, HashError> {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        return hash_file(dir, name);
    }
    let target = rustix::fs::readlinkat(dir, name, Vec::new())?;
    Ok(file_hash::of_symlink(&target)?)
}
