//! What is in a store path: for `xbuild store ls` and `cat`.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use xbuild_store_model::store_path::StorePath;

use crate::error::{Error, Result};
use crate::files;
use crate::store::Store;

/// An object in a store path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A file.
    Regular {
        /// Its size in bytes.
        size: u64,
        /// Whether it may be run.
        executable: bool,
    },
    /// A symbolic link.
    Symlink {
        /// Where it leads to, as it stands there.
        target: PathBuf,
    },
    /// A directory.
    Directory {
        /// What is in it, by name; `None` if that was not asked for.
        entries: Option<BTreeMap<Vec<u8>, Node>>,
    },
}

/// How far below the object a listing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The object by itself.
    Itself,
    /// What is in it, if it is a directory.
    Entries,
    /// Everything below it.
    All,
}

/// The names that lead to `rest`. As with Nix, `..` takes back the one before it, and does not lead out of the store path.
fn names(rest: &Path) -> Vec<&OsStr> {
    let mut names = Vec::new();
    for component in rest.components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::ParentDir => drop(names.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    names
}

impl Store {
    /// Lists what is at `rest` in a valid path. No symlink is followed.
    pub fn list(&self, path: &StorePath, rest: &Path, depth: Depth) -> Result<Node> {
        let (dir, name, physical) = self.find(path, rest)?;
        let levels = match depth {
            Depth::Itself => 0,
            Depth::Entries => 1,
            Depth::All => usize::MAX,
        };
        node(&dir, &name, &physical, levels, 0)
    }

    /// Opens the regular file at `rest` in a valid path. No symlink is followed.
    pub fn open_file(&self, path: &StorePath, rest: &Path) -> Result<impl Read + use<>> {
        let (dir, name, physical) = self.find(path, rest)?;
        let stat = rustix::fs::statat(&dir, &*name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(Error::sys("read", &physical))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::RegularFile {
            return Err(Error::NotAFile {
                path: physical,
                kind: files::kind_name(kind),
            });
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        rustix::fs::openat(&dir, &*name, flags, Mode::empty())
            .map(File::from)
            .map_err(Error::sys("open", physical))
    }

    /// The directory that `rest` is in, its name there, and its place for messages.
    fn find(&self, path: &StorePath, rest: &Path) -> Result<(OwnedFd, CString, PathBuf)> {
        if !self.is_valid(path)? {
            return Err(Error::NotValid(path.clone()));
        }
        let store = self.layout.store_dir();
        let mut dir = files::open_dir(store).map_err(Error::sys("open directory", store))?;
        let top = self.physical(path);
        let mut name = files::c_name(&top)?;
        let mut physical = top;
        for next in names(rest) {
            dir = match files::open_dir_at(&dir, &*name) {
                Ok(dir) => dir,
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    return Err(Error::io("look into", physical)(
                        std::io::ErrorKind::NotADirectory.into(),
                    ));
                }
                Err(error) => return Err(Error::sys("open directory", physical)(error)),
            };
            physical.push(next);
            name = files::c_name(&physical)?;
        }
        Ok((dir, name, physical))
    }
}

fn node(dir: impl AsFd, name: &CStr, path: &Path, levels: usize, depth: usize) -> Result<Node> {
    files::check_depth(path, depth)?;
    let stat = rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(Error::sys("read", path))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(Node::Regular {
            size: u64::try_from(stat.st_size).unwrap_or(0),
            executable: stat.st_mode & 0o100 != 0,
        }),
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(&dir, name, Vec::new())
                .map_err(Error::sys("read symlink", path))?;
            Ok(Node::Symlink {
                target: PathBuf::from(OsStr::from_bytes(target.to_bytes())),
            })
        }
        FileType::Directory if levels == 0 => Ok(Node::Directory { entries: None }),
        FileType::Directory => {
            let fd = files::open_dir_at(&dir, name).map_err(Error::sys("open directory", path))?;
            let mut entries = BTreeMap::new();
            for child in files::entries(&fd).map_err(Error::sys("read directory", path))? {
                let child_path = files::join(path, &child);
                let below = node(&fd, &child, &child_path, levels - 1, depth + 1)?;
                entries.insert(child.into_bytes(), below);
            }
            Ok(Node::Directory {
                entries: Some(entries),
            })
        }
        other => Err(Error::UnsupportedFileType {
            path: path.to_owned(),
            kind: files::kind_name(other),
        }),
    }
}
