//! Opening directories relative to directories, without ever following a symlink.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags};
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

/// The entries of an open directory but `.` and `..`, unsorted.
pub(crate) fn entries(dir: impl AsFd) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
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
        .map_err(|_| Error::io("examine", path)(std::io::ErrorKind::InvalidInput.into()))
}

/// The last component of a path, for the system.
pub(crate) fn c_name(path: &Path) -> Result<CString> {
    let name = path.file_name().unwrap_or_default();
    CString::new(name.as_bytes())
        .map_err(|_| Error::io("examine", path)(std::io::ErrorKind::InvalidInput.into()))
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

/// Creates a directory and those above it.
pub(crate) fn create_dirs(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(path).map_err(Error::io("create directory", path))
}
