//! Reading a tree once, in the order of its NAR, and what may be done with what is read: hash it, write a copy.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType as RawType, Mode, OFlags, Stat};
pub use xbuild_store_model::nar::FileType;

use crate::error::{Error, Result};
use crate::fault;
use crate::files;

/// Decides whether an entry of a directory (given by its path and type) goes to the store.
pub type Filter<'a> =
    &'a mut dyn FnMut(&Path, FileType) -> Result<bool, Box<dyn std::error::Error + Send + Sync>>;

/// How much of a file is read at a time, in bytes.
const CHUNK: usize = 256 << 10;

/// Receives a tree. Names are empty for the top of the tree.
pub(crate) trait TreeSink {
    fn enter(&mut self, name: &CStr) -> Result<()>;
    fn leave(&mut self) -> Result<()>;
    fn symlink(&mut self, name: &CStr, target: &CStr) -> Result<()>;
    /// What the system says of the file that follows.
    fn examined(&mut self, _: &Stat) {}
    /// A file of `size` bytes follows, in pieces.
    fn file(&mut self, name: &CStr, executable: bool, size: u64) -> Result<()>;
    fn data(&mut self, bytes: &[u8]) -> Result<()>;
    fn end_file(&mut self) -> Result<()>;
}

/// Reads the tree at `path` into `sink`.
pub(crate) fn read(path: &Path, filter: Option<Filter<'_>>, sink: &mut dyn TreeSink) -> Result<()> {
    let name = CString::new(path.as_os_str().as_bytes())
        .map_err(|_| Error::io("read", path)(std::io::ErrorKind::InvalidInput.into()))?;
    let mut reader = Reader {
        filter,
        sink,
        buffer: Vec::new(),
    };
    reader.entry(CWD, &name, c"", path, 0)
}

/// The type of the file at `path`, not following a symlink.
pub(crate) fn file_type(path: &Path) -> Result<RawType> {
    let stat = rustix::fs::lstat(path).map_err(Error::sys("read", path))?;
    Ok(RawType::from_raw_mode(stat.st_mode))
}

struct Reader<'a, 'f> {
    filter: Option<Filter<'f>>,
    sink: &'a mut dyn TreeSink,
    buffer: Vec<u8>,
}

impl Reader<'_, '_> {
    /// `place` is relative to `dir`; `name` is what the sink is told.
    fn entry(
        &mut self,
        dir: BorrowedFd<'_>,
        place: &CStr,
        name: &CStr,
        path: &Path,
        depth: usize,
    ) -> Result<()> {
        files::check_depth(path, depth)?;
        let stat = rustix::fs::statat(dir, place, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(Error::sys("read", path))?;
        match RawType::from_raw_mode(stat.st_mode) {
            RawType::RegularFile => {
                let executable = stat.st_mode & 0o100 != 0;
                self.file(dir, place, name, executable, path)
            }
            RawType::Directory => {
                let fd =
                    files::open_dir_at(dir, place).map_err(Error::sys("open directory", path))?;
                let mut names = files::entries(&fd).map_err(Error::sys("read directory", path))?;
                names.sort_unstable_by(|a, b| a.to_bytes().cmp(b.to_bytes()));
                self.sink.enter(name)?;
                for child in &names {
                    let child_path = files::join(path, child);
                    if self.accepts(fd.as_fd(), child, &child_path)? {
                        self.entry(fd.as_fd(), child, child, &child_path, depth + 1)?;
                    }
                }
                self.sink.leave()
            }
            RawType::Symlink => {
                let target = rustix::fs::readlinkat(dir, place, Vec::new())
                    .map_err(Error::sys("read symlink", path))?;
                self.sink.symlink(name, &target)
            }
            other => Err(Error::UnsupportedFileType {
                path: path.to_owned(),
                kind: files::kind_name(other),
            }),
        }
    }

    fn accepts(&mut self, dir: BorrowedFd<'_>, name: &CStr, path: &Path) -> Result<bool> {
        let Some(filter) = &mut self.filter else {
            return Ok(true);
        };
        let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(Error::sys("read", path))?;
        let kind = match RawType::from_raw_mode(stat.st_mode) {
            RawType::RegularFile => FileType::Regular,
            RawType::Directory => FileType::Directory,
            RawType::Symlink => FileType::Symlink,
            _ => FileType::Unknown,
        };
        filter(path, kind).map_err(Error::Filter)
    }

    fn file(
        &mut self,
        dir: BorrowedFd<'_>,
        place: &CStr,
        name: &CStr,
        executable: bool,
        path: &Path,
    ) -> Result<()> {
        fault::point("read", path)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = rustix::fs::openat(dir, place, flags, Mode::empty())
            .map_err(Error::sys("open", path))?;
        let stat = rustix::fs::fstat(&fd).map_err(Error::sys("read", path))?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        self.sink.examined(&stat);
        self.sink.file(name, executable, size)?;
        // One byte more than is expected, so that the end is found without reading again.
        let wanted = usize::try_from(size)
            .unwrap_or(usize::MAX)
            .saturating_add(1)
            .clamp(4096, CHUNK);
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        let mut total = 0_u64;
        while total <= size {
            let count = match rustix::io::read(&fd, &mut self.buffer[..]) {
                Ok(0) => break,
                Ok(count) => count,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(Error::sys("read", path)(error)),
            };
            total += count as u64;
            if total > size {
                break;
            }
            self.sink.data(&self.buffer[..count])?;
            if total == size && count < wanted {
                break;
            }
        }
        if total != size {
            return Err(Error::FileChanged {
                path: path.to_owned(),
                before: size,
                after: total,
            });
        }
        self.sink.end_file()
    }
}

/// Encodes a tree as a NAR (Nix manual, "Nix Archive (NAR) format") into a writer that cannot fail, such as a hasher.
pub(crate) struct NarEncoder<W> {
    out: W,
    small: Vec<u8>,
    /// How many directories we are in.
    depth: usize,
    /// Size of the file that is being encoded.
    file_size: u64,
}

/// Takes bytes.
pub(crate) trait ByteSink {
    fn bytes(&mut self, bytes: &[u8]);
}

impl<W: ByteSink> NarEncoder<W> {
    pub(crate) fn new(out: W) -> Self {
        Self {
            out,
            small: Vec::with_capacity(512),
            depth: 0,
            file_size: 0,
        }
    }

    pub(crate) fn finish(self) -> W {
        self.out
    }

    fn string(&mut self, bytes: &[u8]) {
        self.small
            .extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.small.extend_from_slice(bytes);
        self.pad(bytes.len() as u64);
    }

    fn pad(&mut self, length: u64) {
        let padding = [0_u8; 8];
        self.small
            .extend_from_slice(&padding[..(length.wrapping_neg() % 8) as usize]);
    }

    fn flush(&mut self) {
        self.out.bytes(&self.small);
        self.small.clear();
    }

    fn begin(&mut self, name: &CStr, kind: &[u8]) {
        if self.depth == 0 {
            self.string(b"nix-archive-1");
        } else {
            for word in [&b"entry"[..], b"(", b"name", name.to_bytes(), b"node"] {
                self.string(word);
            }
        }
        for word in [&b"("[..], b"type", kind] {
            self.string(word);
        }
    }

    fn end(&mut self) {
        self.string(b")");
        if self.depth != 0 {
            self.string(b")");
        }
        if self.small.len() >= 256 || self.depth == 0 {
            self.flush();
        }
    }
}

impl<W: ByteSink> TreeSink for NarEncoder<W> {
    fn enter(&mut self, name: &CStr) -> Result<()> {
        self.begin(name, b"directory");
        self.depth += 1;
        Ok(())
    }

    fn leave(&mut self) -> Result<()> {
        self.depth -= 1;
        self.end();
        Ok(())
    }

    fn symlink(&mut self, name: &CStr, target: &CStr) -> Result<()> {
        self.begin(name, b"symlink");
        self.string(b"target");
        self.string(target.to_bytes());
        self.end();
        Ok(())
    }

    fn file(&mut self, name: &CStr, executable: bool, size: u64) -> Result<()> {
        self.begin(name, b"regular");
        if executable {
            self.string(b"executable");
            self.string(b"");
        }
        self.string(b"contents");
        self.small.extend_from_slice(&size.to_le_bytes());
        self.file_size = size;
        self.flush();
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.bytes(bytes);
        Ok(())
    }

    fn end_file(&mut self) -> Result<()> {
        self.pad(self.file_size);
        self.end();
        Ok(())
    }
}
