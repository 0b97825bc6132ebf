//! Opening directories relative to directories, without ever following a symlink.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{self, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, RawDir, SeekFrom};
use rustix::io::Errno;

use xbuild_store_model::nar::MAX_DEPTH;

use crate::error::{Error, Result};

/// Fails for what lies too deep in a tree to be part of a NAR; the tree's root is at depth 0.
pub(crate) fn check_depth(path: &Path, depth: usize) -> Result<()> {
    if depth < MAX_DEPTH {
        return Ok(());
    }
    Err(Error::TooDeep {
        path: path.to_owned(),
        limit: MAX_DEPTH,
    })
}

/// Opens a directory for walking; fails if it is a symlink.
pub(crate) fn open_dir_at(
    parent: impl AsFd,
    name: impl rustix::path::Arg,
) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// The same with a path from the working directory.
pub(crate) fn open_dir(path: &Path) -> Result<OwnedFd, Errno> {
    open_dir_at(CWD, path)
}

/// The bytes of a file of a store object, which may be a symlink to anywhere: that is not followed.
///
/// # Errors
/// What the system says, or that it is a symlink.
pub fn read_no_follow(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::LOOP => io::Error::other("it is a symlink, not a regular file"),
        errno => errno.into(),
    })?;
    let mut bytes = Vec::new();
    File::from(file).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The entries of an open directory but `.` and `..`, unsorted.
pub(crate) fn entries(dir: impl AsFd) -> Result<Vec<CString>, Errno> {
    let mut buffer = [MaybeUninit::uninit(); 16 << 10];
    let mut names = Vec::new();
    rustix::fs::seek(&dir, SeekFrom::Start(0))?;
    let mut found = RawDir::new(dir, &mut buffer);
    while let Some(entry) = found.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// `dir/name`, for messages.
pub(crate) fn join(dir: &Path, name: &CStr) -> PathBuf {
    dir.join(OsStr::from_bytes(name.to_bytes()))
}

/// A path for the system.
pub(crate) fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| Error::io("examine", path)(io::ErrorKind::InvalidInput.into()))
}

/// The last component of a path, for the system.
pub(crate) fn c_name(path: &Path) -> Result<CString> {
    let name = path.file_name().unwrap_or_default();
    CString::new(name.as_bytes())
        .map_err(|_| Error::io("examine", path)(io::ErrorKind::InvalidInput.into()))
}

/// The word for a file type in messages.
pub(crate) fn kind_name(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "regular file",
        FileType::Directory => "directory",
        FileType::Symlink => "symlink",
        FileType::Fifo => "FIFO",
        FileType::Socket => "socket",
        FileType::CharacterDevice => "character device",
        FileType::BlockDevice => "block device",
        FileType::Unknown => "file of unknown type",
    }
}

/// Creates a directory and those above it. In a shared directory ([`is_shared`]), they are shared as well.
pub fn create_dirs(path: &Path) -> Result<()> {
    make_dirs(path).map_err(Error::io("create directory", path))
}

fn make_dirs(path: &Path) -> io::Result<()> {
    // One look: between two, another process may make it.
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
        Err(_) => {}
    }
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => make_dirs(parent)?,
        _ => {}
    }
    match std::fs::create_dir(path) {
        Ok(()) => share_with_group(path, 0o2775),
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether what is in a directory belongs to a group of users: its group may write to it, and what is made in it has its group (as
/// after `git init --shared`).
pub(crate) fn is_shared(dir: &Path) -> bool {
    rustix::fs::stat(dir).is_ok_and(|stat| stat.st_mode & 0o2020 == 0o2020)
}

/// Opens what we have just made to the group, if the directory it is in is shared.
pub(crate) fn share(path: &Path, mode: u32) -> Result<()> {
    share_with_group(path, mode).map_err(Error::io("change the mode of", path))
}

fn share_with_group(path: &Path, mode: u32) -> io::Result<()> {
    if path.parent().is_some_and(is_shared) {
        match rustix::fs::chmod(path, Mode::from_raw_mode(mode)) {
            // Somebody else's: made at the same time, and opened by them.
            Ok(()) | Err(Errno::PERM | Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Makes an empty file that a group can write to, if the directory is shared; for databases, whose other files get the same mode.
pub(crate) fn prepare_database(path: &Path) -> Result<()> {
    if path.parent().is_some_and(is_shared) && !path.exists() {
        match File::options().write(true).create_new(true).open(path) {
            Ok(_) => share(path, 0o664)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io("create", path)(error)),
        }
    }
    Ok(())
}
