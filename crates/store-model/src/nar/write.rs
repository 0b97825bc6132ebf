//! Tree to archive.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, RawMode, Stat};

use super::error::{NarError, NarResult};
use super::{MAGIC, MAX_DEPTH, padding};
use crate::hash::{Hash, HashAlgo, Hasher};

/// The type of a file, not following a symlink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileType {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device, socket or pipe: it cannot be archived, but may be left out.
    Unknown,
}

impl FileType {
    /// The name that `builtins.filterSource` and `builtins.readDir` use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FileType::Regular => "regular",
            FileType::Directory => "directory",
            FileType::Symlink => "symlink",
            FileType::Unknown => "unknown",
        }
    }

    fn of(stat: &Stat) -> FileType {
        match rustix::fs::FileType::from_raw_mode(stat.st_mode as RawMode) {
            rustix::fs::FileType::RegularFile => FileType::Regular,
            rustix::fs::FileType::Directory => FileType::Directory,
            rustix::fs::FileType::Symlink => FileType::Symlink,
            _ => FileType::Unknown,
        }
    }
}

impl From<std::fs::FileType> for FileType {
    fn from(kind: std::fs::FileType) -> Self {
        if kind.is_file() {
            Self::Regular
        } else if kind.is_dir() {
            Self::Directory
        } else if kind.is_symlink() {
            Self::Symlink
        } else {
            Self::Unknown
        }
    }
}

/// Decides which objects below the root go into the archive.
pub type Filter<'a> =
    dyn FnMut(&Path, FileType) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> + 'a;

/// Writes the archive of the file, directory or symbolic link at `path`, and
/// returns the archive's size in bytes.
///
/// Data is passed on as it is read, in pieces of up to 256 KiB.
///
/// # Errors
/// When something cannot be read, is not of a kind that an archive can hold,
/// is nested too deeply, or changes its size meanwhile.
pub fn write_path(path: &Path, out: &mut impl Write) -> NarResult<u64> {
    write_path_filtered(path, out, &mut |_, _| Ok(true))
}

/// As [`write_path`], leaving out every object (with all below it) for which
/// `filter` says no. It is asked in the order of the archive, with the path
/// below `path`, and not about `path` itself.
///
/// # Errors
/// As [`write_path`], and [`NarError::Filter`] with the filter's own error.
pub fn write_path_filtered(
    path: &Path,
    out: &mut impl Write,
    filter: &mut Filter<'_>,
) -> NarResult<u64> {
    let mut dump = Dump {
        out: Tokens::new(out),
        filter,
        path: path.to_path_buf(),
        chunk: Vec::new(),
    };
    let name = without_trailing_slashes(path.as_os_str().as_bytes());
    let stat = lstat_at(CWD, name, path)?;
    dump.out.string(MAGIC)?;
    dump.object(CWD, name, &stat, 0)?;
    dump.out.finish()
}

/// The hash of the archive of what is at `path`, and the archive's size.
///
/// # Errors
/// As [`write_path`].
pub fn hash_path(path: &Path, algo: HashAlgo) -> NarResult<(Hash, u64)> {
    let mut hasher = Hasher::new(algo);
    let size = write_path(path, &mut hasher)?;
    Ok((hasher.finish(), size))
}

/// Writes the archive of a regular file with these `contents`, and returns
/// its size in bytes.
///
/// # Errors
/// When `out` fails.
pub fn write_contents(contents: &[u8], executable: bool, out: &mut impl Write) -> NarResult<u64> {
    let mut out = Tokens::new(out);
    out.string(MAGIC)?;
    out.string(b"(")?;
    out.regular(executable, contents.len() as u64)?;
    out.raw(contents)?;
    out.pad(contents.len() as u64)?;
    out.string(b")")?;
    out.finish()
}

/// Collects small strings, so that the receiver gets large pieces.
struct Tokens<'w, W> {
    out: &'w mut W,
    buffer: Vec<u8>,
    /// Bytes passed on already.
    written: u64,
}

/// How much is collected before it is passed on, and the size of reads.
const CHUNK: usize = 256 * 1024;

/// Files up to this size are read straight into the collected strings.
const SMALL_FILE: u64 = 64 * 1024;

impl<'w, W: Write> Tokens<'w, W> {
    fn new(out: &'w mut W) -> Self {
        Tokens {
            out,
            buffer: Vec::with_capacity(8 * 1024),
            written: 0,
        }
    }

    fn string(&mut self, text: &[u8]) -> NarResult<()> {
        self.buffer
            .extend_from_slice(&(text.len() as u64).to_le_bytes());
        self.buffer.extend_from_slice(text);
        self.pad(text.len() as u64)?;
        if self.buffer.len() >= CHUNK {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Everything about a regular file up to its contents.
    fn regular(&mut self, executable: bool, size: u64) -> NarResult<()> {
        self.string(b"type")?;
        self.string(b"regular")?;
        if executable {
            self.string(b"executable")?;
            self.string(b"")?;
        }
        self.string(b"contents")?;
        self.buffer.extend_from_slice(&size.to_le_bytes());
        Ok(())
    }

    fn pad(&mut self, len: u64) -> NarResult<()> {
        self.buffer.extend_from_slice(&[0; 8][..padding(len)]);
        Ok(())
    }

    fn raw(&mut self, data: &[u8]) -> NarResult<()> {
        self.flush()?;
        self.out
            .write_all(data)
            .map_err(|error| NarError::Write { error })?;
        self.written += data.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> NarResult<()> {
        self.out
            .write_all(&self.buffer)
            .map_err(|error| NarError::Write { error })?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> NarResult<u64> {
        self.flush()?;
        self.out
            .flush()
            .map_err(|error| NarError::Write { error })?;
        Ok(self.written)
    }
}

struct Dump<'a, 'f, W> {
    out: Tokens<'a, W>,
    filter: &'a mut Filter<'f>,
    /// Where we are: for the filter and for messages only. Files are opened
    /// by name in their directory, so deep trees and renames are no problem.
    path: PathBuf,
    chunk: Vec<u8>,
}

impl<W: Write> Dump<'_, '_, W> {
    fn object(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        stat: &Stat,
        depth: usize,
    ) -> NarResult<()> {
        if depth >= MAX_DEPTH {
            return Err(NarError::PathTooDeep {
                path: self.path.clone(),
                limit: MAX_DEPTH,
            });
        }
        self.out.string(b"(")?;
        match FileType::of(stat) {
            FileType::Regular => self.regular(dir, name)?,
            FileType::Directory => self.directory(dir, name, depth)?,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(dir, name, Vec::new())
                    .map_err(|error| self.file_error("read symbolic link", error.into()))?;
                self.out.string(b"type")?;
                self.out.string(b"symlink")?;
                self.out.string(b"target")?;
                self.out.string(target.as_bytes())?;
            }
            FileType::Unknown => {
                return Err(NarError::UnsupportedType {
                    path: self.path.clone(),
                    kind: kind_name(stat),
                });
            }
        }
        self.out.string(b")")
    }

    fn regular(&mut self, dir: BorrowedFd<'_>, name: &[u8]) -> NarResult<()> {
        let mut file = File::from(self.open(dir, name, OFlags::empty())?);
        // The size and mode of what was opened, whatever was there before.
        let stat = rustix::fs::fstat(&file)
            .map_err(|error| self.file_error("read the size of", error.into()))?;
        if FileType::of(&stat) != FileType::Regular {
            return Err(NarError::UnsupportedType {
                path: self.path.clone(),
                kind: kind_name(&stat),
            });
        }
        let size = stat.st_size as u64;
        self.out.regular(stat.st_mode & 0o100 != 0, size)?;
        if size <= SMALL_FILE {
            let start = self.out.buffer.len();
            self.out.buffer.resize(start + size as usize, 0);
            let read = read_full(&mut file, &mut self.out.buffer[start..]);
            let found = read.map_err(|error| self.file_error("read", error))? as u64;
            if found < size {
                return Err(NarError::Changed {
                    path: self.path.clone(),
                    expected: size,
                    found,
                });
            }
        } else {
            self.chunk.resize(CHUNK, 0);
            let mut left = size;
            while left > 0 {
                let want = left.min(CHUNK as u64) as usize;
                let n = match file.read(&mut self.chunk[..want]) {
                    Ok(0) => {
                        let found = size - left;
                        let path = self.path.clone();
                        return Err(NarError::Changed {
                            path,
                            expected: size,
                            found,
                        });
                    }
                    Ok(n) => n,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(self.file_error("read", error)),
                };
                self.out.raw(&self.chunk[..n])?;
                left -= n as u64;
            }
        }
        self.out.pad(size)
    }

    fn directory(&mut self, dir: BorrowedFd<'_>, name: &[u8], depth: usize) -> NarResult<()> {
        self.out.string(b"type")?;
        self.out.string(b"directory")?;
        let dir = self.open(dir, name, OFlags::DIRECTORY)?;
        for name in self.sorted_names(&dir)? {
            self.path.push(std::ffi::OsStr::from_bytes(&name));
            let stat = lstat_at(dir.as_fd(), &name, &self.path)?;
            if (self.filter)(&self.path, FileType::of(&stat)).map_err(NarError::Filter)? {
                self.out.string(b"entry")?;
                self.out.string(b"(")?;
                self.out.string(b"name")?;
                self.out.string(&name)?;
                self.out.string(b"node")?;
                self.object(dir.as_fd(), &name, &stat, depth + 1)?;
                self.out.string(b")")?;
            }
            self.path.pop();
        }
        Ok(())
    }

    fn sorted_names(&self, dir: &OwnedFd) -> NarResult<Vec<Vec<u8>>> {
        let list = || -> rustix::io::Result<Vec<Vec<u8>>> {
            let mut names = Vec::new();
            for entry in Dir::read_from(dir)? {
                let entry = entry?;
                let name = entry.file_name().to_bytes();
                if name != b"." && name != b".." {
                    names.push(name.to_vec());
                }
            }
            Ok(names)
        };
        let mut names = list().map_err(|error| self.file_error("list directory", error.into()))?;
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, dir: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> NarResult<OwnedFd> {
        // Without NONBLOCK, a pipe put in the file's place would block us.
        let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        rustix::fs::openat(dir, name, flags, Mode::empty())
            .map_err(|error| self.file_error("open", error.into()))
    }

    fn file_error(&self, action: &'static str, error: io::Error) -> NarError {
        NarError::File {
            action,
            path: self.path.clone(),
            error,
        }
    }
}

/// A path that ends in a slash would mean what a link points to.
fn without_trailing_slashes(path: &[u8]) -> &[u8] {
    match path {
        [shorter @ .., b'/'] if !shorter.is_empty() => without_trailing_slashes(shorter),
        _ => path,
    }
}

fn lstat_at(dir: BorrowedFd<'_>, name: &[u8], path: &Path) -> NarResult<Stat> {
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|error| NarError::File {
        action: "read the attributes of",
        path: path.to_path_buf(),
        error: error.into(),
    })
}

/// Reads until `buf` is full or the file ends.
fn read_full(file: &mut File, buf: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buf.len() {
        match file.read(&mut buf[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn kind_name(stat: &Stat) -> &'static str {
    use rustix::fs::FileType as Kind;
    match Kind::from_raw_mode(stat.st_mode as RawMode) {
        Kind::Fifo => "a named pipe",
        Kind::Socket => "a socket",
        Kind::CharacterDevice => "a character device",
        Kind::BlockDevice => "a block device",
        Kind::RegularFile => "a regular file",
        Kind::Directory => "a directory",
        Kind::Symlink => "a symbolic link",
        _ => "of an unknown kind",
    }
}
