//! Where a tree waits whose store path is not known before all of it has been read: in memory, or, once it is too large for
//! that, in a temporary directory of the store.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};

use crate::canonical::canonical_times;
use crate::error::{Error, Result};
use crate::fault;
use crate::file_hash::FileHasher;
use crate::files;
use crate::links::{Links, Parent};
use crate::removal::remove_tree;
use crate::tree::TreeSink;

/// Trees up to this size, in bytes, are kept in memory until it is known that the store does not have them yet. Above it, fresh
/// memory costs as much as the file system's cache does.
const MEMORY_LIMIT: usize = 4 << 20;

enum Event {
    Enter(CString),
    Leave,
    Symlink(CString, CString),
    File(CString, bool, u64),
    Data(Vec<u8>),
    EndFile,
}

/// A tree on its way to the store.
pub(crate) struct Staging<'a> {
    place: &'a Path,
    events: Vec<Event>,
    size: usize,
    writer: Option<TreeWriter<'a>>,
    links: Option<&'a Links<'a>>,
}

impl<'a> Staging<'a> {
    /// `place` is where the tree is written; nothing may be there. With `links`, files that the store has already are not stored
    /// again.
    pub(crate) fn new(place: &'a Path, links: Option<&'a Links<'a>>) -> Self {
        Self {
            place,
            events: Vec::new(),
            size: 0,
            writer: None,
            links,
        }
    }

    /// Writes what is still in memory.
    pub(crate) fn write_out(mut self) -> Result<()> {
        self.spill()?;
        Ok(())
    }

    /// Deletes what has been written.
    pub(crate) fn discard(self) -> Result<()> {
        if self.writer.is_some() {
            remove_tree(self.place)?;
        }
        Ok(())
    }

    fn spill(&mut self) -> Result<&mut TreeWriter<'a>> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            empty => empty.insert(TreeWriter::new(self.place, self.links)?),
        };
        for event in self.events.drain(..) {
            match event {
                Event::Enter(name) => writer.enter(&name)?,
                Event::Leave => writer.leave()?,
                Event::Symlink(name, target) => writer.symlink(&name, &target)?,
                Event::File(name, executable, size) => writer.file(&name, executable, size)?,
                Event::Data(bytes) => writer.data(&bytes)?,
                Event::EndFile => writer.end_file()?,
            }
        }
        Ok(writer)
    }

    fn push(&mut self, event: Event, size: usize) -> Result<()> {
        self.events.push(event);
        self.size += size + size_of::<Event>();
        if self.size > MEMORY_LIMIT {
            self.spill()?;
        }
        Ok(())
    }
}

impl TreeSink for Staging<'_> {
    fn enter(&mut self, name: &CStr) -> Result<()> {
        match &mut self.writer {
            Some(writer) => writer.enter(name),
            None => self.push(Event::Enter(name.to_owned()), name.count_bytes()),
        }
    }

    fn leave(&mut self) -> Result<()> {
        match &mut self.writer {
            Some(writer) => writer.leave(),
            None => self.push(Event::Leave, 0),
        }
    }

    fn symlink(&mut self, name: &CStr, target: &CStr) -> Result<()> {
        match &mut self.writer {
            Some(writer) => writer.symlink(name, target),
            None => {
                let size = name.count_bytes() + target.count_bytes();
                self.push(Event::Symlink(name.to_owned(), target.to_owned()), size)
            }
        }
    }

    fn file(&mut self, name: &CStr, executable: bool, size: u64) -> Result<()> {
        match &mut self.writer {
            Some(writer) => writer.file(name, executable, size),
            None => self.push(
                Event::File(name.to_owned(), executable, size),
                name.count_bytes(),
            ),
        }
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.writer {
            Some(writer) => writer.data(bytes),
            None => self.push(Event::Data(bytes.to_vec()), bytes.len()),
        }
    }

    fn end_file(&mut self) -> Result<()> {
        match &mut self.writer {
            Some(writer) => writer.end_file(),
            None => self.push(Event::EndFile, 0),
        }
    }
}

/// Writes a tree with canonical metadata.
struct TreeWriter<'a> {
    /// Where the top goes.
    parent: OwnedFd,
    top: CString,
    dirs: Vec<OwnedFd>,
    file: Option<Written>,
    path: PathBuf,
    links: Option<&'a Links<'a>>,
}

/// The file that is being written.
struct Written {
    file: File,
    name: CString,
    executable: bool,
    hasher: Option<FileHasher>,
}

impl<'a> TreeWriter<'a> {
    fn new(place: &Path, links: Option<&'a Links<'a>>) -> Result<Self> {
        let invalid = || Error::io("create", place)(std::io::ErrorKind::InvalidInput.into());
        let (Some(parent), Some(name)) = (place.parent(), place.file_name()) else {
            return Err(invalid());
        };
        let top =
            CString::new(std::os::unix::ffi::OsStrExt::as_bytes(name)).map_err(|_| invalid())?;
        let parent = files::open_dir(parent).map_err(Error::sys("open directory", parent))?;
        Ok(Self {
            parent,
            top,
            dirs: Vec::new(),
            file: None,
            path: place.to_owned(),
            links,
        })
    }

    fn target<'s>(&'s self, name: &'s CStr) -> (rustix::fd::BorrowedFd<'s>, &'s CStr) {
        match self.dirs.last() {
            Some(dir) => (dir.as_fd(), name),
            None => (self.parent.as_fd(), &self.top),
        }
    }
}

impl TreeSink for TreeWriter<'_> {
    fn enter(&mut self, name: &CStr) -> Result<()> {
        fault::point("create a directory in", &self.path)?;
        let (dir, name) = self.target(name);
        rustix::fs::mkdirat(dir, name, Mode::RWXU)
            .map_err(Error::sys("create a directory in", &self.path))?;
        let fd =
            files::open_dir_at(dir, name).map_err(Error::sys("open a directory in", &self.path))?;
        self.dirs.push(fd);
        Ok(())
    }

    fn leave(&mut self) -> Result<()> {
        let Some(dir) = self.dirs.pop() else {
            return Ok(());
        };
        fault::point("set the metadata of a directory in", &self.path)?;
        rustix::fs::fchmod(&dir, Mode::from_raw_mode(0o555))
            .and_then(|()| rustix::fs::futimens(&dir, &canonical_times()))
            .map_err(Error::sys("set the metadata of a directory in", &self.path))
    }

    fn symlink(&mut self, name: &CStr, target: &CStr) -> Result<()> {
        fault::point("create a symlink in", &self.path)?;
        let (dir, name) = self.target(name);
        rustix::fs::symlinkat(target, dir, name)
            .and_then(|()| {
                rustix::fs::utimensat(dir, name, &canonical_times(), AtFlags::SYMLINK_NOFOLLOW)
            })
            .map_err(Error::sys("create a symlink in", &self.path))
    }

    fn file(&mut self, name: &CStr, executable: bool, size: u64) -> Result<()> {
        fault::point("create a file in", &self.path)?;
        let (dir, place) = self.target(name);
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(dir, place, flags, Mode::RUSR | Mode::WUSR)
            .map_err(Error::sys("create a file in", &self.path))?;
        let hasher = match self.links {
            Some(_) if size > 0 => Some(FileHasher::new(executable, size)?),
            _ => None,
        };
        self.file = Some(Written {
            file: File::from(fd),
            name: name.to_owned(),
            executable,
            hasher,
        });
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(written) = &mut self.file else {
            return Ok(());
        };
        fault::point("write a file in", &self.path)?;
        if let Some(hasher) = &mut written.hasher {
            hasher.data(bytes)?;
        }
        written
            .file
            .write_all(bytes)
            .map_err(Error::io("write a file in", self.path.as_path()))
    }

    fn end_file(&mut self) -> Result<()> {
        let Some(written) = self.file.take() else {
            return Ok(());
        };
        finish_file(&written.file, written.executable)
            .map_err(Error::sys("set the metadata of a file in", &self.path))?;
        if let (Some(links), Some(hasher)) = (self.links, written.hasher) {
            let stat = rustix::fs::fstat(&written.file)
                .map_err(Error::sys("examine a file in", &self.path))?;
            drop(written.file);
            let (hash, _) = hasher.finish()?;
            let (dir, name) = self.target(&written.name);
            links.share(dir, name, &hash, &stat, Parent::Unfinished)?;
        }
        Ok(())
    }
}

/// Canonical metadata for a file just written.
pub(crate) fn finish_file(file: &File, executable: bool) -> Result<(), rustix::io::Errno> {
    rustix::fs::fchmod(
        file,
        Mode::from_raw_mode(if executable { 0o555 } else { 0o444 }),
    )?;
    rustix::fs::futimens(file, &canonical_times())
}
