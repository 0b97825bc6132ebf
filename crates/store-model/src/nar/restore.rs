//! Archive to file system.

use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};

use super::error::NarResult;
use super::read::{Limits, NarSink, read, read_embedded};

/// Creates the tree of the archive at `path`, which must not exist yet while
/// its parent must; returns the archive's size in bytes.
///
/// Files get mode 0444, or 0555 if they are executable; directories stay
/// writable by their owner (0755). Everything is created anew, by name in a
/// directory that was created just before, so no link is ever followed. After
/// an error nothing is left at `path`.
///
/// # Errors
/// As [`read`], and when something cannot be created.
pub fn restore(source: impl Read, path: &Path) -> NarResult<u64> {
    unpack(path, |sink| read(source, sink, &Limits::default()))
}

/// As [`restore`], for an archive in a longer stream.
///
/// # Errors
/// As [`read_embedded`], and when something cannot be created.
pub fn restore_embedded(source: &mut impl BufRead, path: &Path) -> NarResult<u64> {
    unpack(path, |sink| read_embedded(source, sink, &Limits::default()))
}

fn unpack(path: &Path, run: impl FnOnce(&mut Restore<'_>) -> NarResult<u64>) -> NarResult<u64> {
    let mut sink = Restore {
        root: path,
        created: false,
        dirs: Vec::new(),
        buffer: Vec::new(),
    };
    let result = run(&mut sink);
    if result.is_err() && sink.created {
        // The error that matters is the first one.
        let _ = match std::fs::symlink_metadata(path) {
            Ok(meta) if meta.is_dir() => std::fs::remove_dir_all(path),
            _ => std::fs::remove_file(path),
        };
    }
    result
}

/// How much is copied at once.
const CHUNK: usize = 128 * 1024;

struct Restore<'p> {
    root: &'p Path,
    /// Whether the root is ours: only then it may be removed again.
    created: bool,
    /// The open directories, innermost last.
    dirs: Vec<OwnedFd>,
    buffer: Vec<u8>,
}

impl Restore<'_> {
    /// Where an object goes: its directory, and its name there.
    fn place<'a>(&'a self, name: &'a [u8]) -> (BorrowedFd<'a>, &'a [u8]) {
        match self.dirs.last() {
            Some(dir) => (dir.as_fd(), name),
            None => (CWD, self.root.as_os_str().as_bytes()),
        }
    }

    /// Says which file it was.
    fn named(&self, action: &str, name: &[u8], error: rustix::io::Errno) -> io::Error {
        let (_, name) = self.place(name);
        let hint = if error == rustix::io::Errno::EXIST && self.dirs.is_empty() {
            "; remove it first, an archive is only unpacked to a new place"
        } else {
            ""
        };
        let error = io::Error::from(error);
        let message = format!(
            "cannot {action} '{}': {error}{hint}",
            String::from_utf8_lossy(name)
        );
        io::Error::new(error.kind(), message)
    }
}

impl NarSink for Restore<'_> {
    fn regular(
        &mut self,
        name: &[u8],
        executable: bool,
        _size: u64,
        contents: &mut dyn Read,
    ) -> io::Result<()> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(if executable { 0o555 } else { 0o444 });
        let (dir, place) = self.place(name);
        let file = rustix::fs::openat(dir, place, flags, mode)
            .map_err(|error| self.named("create file", name, error))?;
        self.created = true;
        // The process's umask may have taken bits away.
        rustix::fs::fchmod(&file, mode)
            .map_err(|error| self.named("set the mode of", name, error))?;
        let mut file = File::from(file);
        self.buffer.resize(CHUNK, 0);
        loop {
            match contents.read(&mut self.buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => file.write_all(&self.buffer[..n]).map_err(|error| {
                    let message = format!(
                        "cannot write file '{}': {error}",
                        String::from_utf8_lossy(name)
                    );
                    io::Error::new(error.kind(), message)
                })?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn symlink(&mut self, name: &[u8], target: &[u8]) -> io::Result<()> {
        let (dir, place) = self.place(name);
        rustix::fs::symlinkat(target, dir, place)
            .map_err(|error| self.named("create symbolic link", name, error))?;
        self.created = true;
        Ok(())
    }

    fn begin_directory(&mut self, name: &[u8]) -> io::Result<()> {
        let (dir, place) = self.place(name);
        rustix::fs::mkdirat(dir, place, Mode::from_raw_mode(0o755))
            .map_err(|error| self.named("create directory", name, error))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(dir, place, flags, Mode::empty())
            .map_err(|error| self.named("open directory", name, error))?;
        self.created = true;
        self.dirs.push(opened);
        Ok(())
    }

    fn end_directory(&mut self) -> io::Result<()> {
        self.dirs.pop();
        Ok(())
    }
}
