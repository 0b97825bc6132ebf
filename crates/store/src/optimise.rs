//! Storing identical files once: of what is about to be registered, and of what is in the store already.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use rustc_hash::FxHashSet;
use rustix::fs::{AtFlags, CWD, FileType, Stat};
use rustix::io::Errno;
use xbuild_store_model::hash::Hash;

use crate::canonical::MTIME;
use crate::error::{Error, Result};
use crate::files;
use crate::links::{HashError, Links, Parent, Shared, close, hash_file, hash_link};
use crate::scan::FileHashes;
use crate::store::Store;

/// What [`Store::optimise`] has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OptimiseReport {
    /// Store paths looked at.
    pub paths: u64,
    /// Files that are links to others now.
    pub files_linked: u64,
    /// Bytes on disk that are free again.
    pub bytes_freed: u64,
}

/// What identical files save, from the links they share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sharing {
    /// Distinct files in `.links`.
    pub files: u64,
    /// Bytes on disk that they take.
    pub bytes: u64,
    /// Bytes on disk that they would take more if each were stored as often as it occurs.
    pub bytes_saved: u64,
}

impl Store {
    /// The links, if files are to be shared when they come ([`crate::StoreOptions::auto_optimise`]).
    pub(crate) fn links_if_wanted(&self) -> Result<Option<Links<'_>>> {
        if !self.options.auto_optimise || self.options.read_only {
            return Ok(None);
        }
        self.links(false).map(Some)
    }

    pub(crate) fn links(&self, suspicious: bool) -> Result<Links<'_>> {
        Links::open(&self.layout, &self.incoming, &self.hooks, suspicious)
    }

    /// Before a tree is registered: makes its files links to identical ones of the store, by the hashes that
    /// [`Self::scan_and_hash`] has found. A file that was changed since then stays as it is. Does nothing unless
    /// [`crate::StoreOptions::auto_optimise`] was set. With `repair`, the contents of the others are read first: one that is damaged
    /// must not take the place of a sound one. Returns the number of bytes on disk that this frees.
    pub fn share_files(&self, physical: &Path, hashes: &FileHashes, repair: bool) -> Result<u64> {
        if !self.options.auto_optimise || self.options.read_only {
            return Ok(0);
        }
        share_all(&self.links(repair)?, physical, hashes)
    }

    /// The files of `.links` whose contents are not those that their names say.
    pub(crate) fn damaged_links(&self) -> Result<Vec<PathBuf>> {
        let path = self.layout.links_dir();
        let dir = match files::open_dir(&path) {
            Ok(dir) => dir,
            Err(Errno::NOENT) => return Ok(Vec::new()),
            Err(error) => return Err(Error::sys("open directory", path)(error)),
        };
        let names = files::entries(&dir).map_err(Error::sys("read directory", &path))?;
        let damaged: Vec<Option<PathBuf>> = names
            .par_iter()
            .map(|name| {
                self.hooks.check_cancelled()?;
                let link = files::join(&path, name);
                let is_name = |hash: Hash| hash.to_base32().as_bytes() == name.to_bytes();
                match hash_link(dir.as_fd(), name) {
                    Ok(hash) => Ok((!is_name(hash)).then_some(link)),
                    Err(HashError::System(Errno::NOENT)) => Ok(None), // collected meanwhile
                    Err(HashError::System(_)) => Ok(Some(link)),
                    Err(HashError::Store(error)) => Err(error),
                }
            })
            .collect::<Result<_>>()?;
        Ok(damaged.into_iter().flatten().collect())
    }

    /// Removes damaged files of `.links`, so that nothing becomes a link to them any more. What is a link to one already is a damaged
    /// path by itself. Returns what was removed.
    pub fn remove_damaged_links(&self) -> Result<Vec<PathBuf>> {
        self.check_writable("remove damaged links")?;
        let damaged = self.damaged_links()?;
        for link in &damaged {
            std::fs::remove_file(link).map_err(Error::io("delete", link))?;
        }
        Ok(damaged)
    }

    /// Replaces identical files of all valid paths by hard links to one of them. Builds, collectors and stock Nix may run at the
    /// same time: each file is replaced in one step by one with the same contents.
    pub fn optimise(&self) -> Result<OptimiseReport> {
        self.check_writable("optimise")?;
        let links = self.links(false)?;
        let known = self.linked_inodes()?;
        let paths: Vec<_> = self.all_valid()?.into_iter().collect();
        let walk = Walk {
            links: &links,
            known: &known,
            files_linked: AtomicU64::new(0),
            bytes_freed: AtomicU64::new(0),
        };
        let looked_at = AtomicU64::new(0);
        paths.par_iter().try_for_each(|path| {
            self.hooks.check_cancelled()?;
            self.add_temp_root(path)?;
            if !self.is_valid(path)? {
                return Ok(()); // collected meanwhile
            }
            looked_at.fetch_add(1, Ordering::Relaxed);
            let place = self.physical(path);
            let name = files::c_path(&place)?;
            walk.entry(CWD, &name, &place, Parent::Unfinished, 0)
        })?;
        Ok(OptimiseReport {
            paths: looked_at.into_inner(),
            files_linked: walk.files_linked.into_inner(),
            bytes_freed: walk.bytes_freed.into_inner(),
        })
    }

    /// Of a damaged tree that is about to be deleted: removes those entries of `.links` that are its files, if these are what is
    /// damaged.
    pub(crate) fn remove_links_to_damage(&self, tree: &Path) -> Result<()> {
        let mut inodes = FxHashSet::default();
        shared_inodes(tree, &mut inodes, 0)?;
        if inodes.is_empty() {
            return Ok(());
        }
        let links = self.links(true)?;
        let path = self.layout.links_dir();
        let dir = files::open_dir(&path).map_err(Error::sys("open directory", &path))?;
        for name in files::entries(&dir).map_err(Error::sys("read directory", &path))? {
            let Ok(stat) = rustix::fs::statat(&dir, &*name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue; // collected meanwhile
            };
            let entry = name.to_string_lossy();
            if inodes.contains(&stat.st_ino)
                && let Some(hash) = links.hash_of(&entry)?
                && hash.to_base32() != *entry
            {
                links.remove(&entry)?;
            }
        }
        Ok(())
    }

    /// What sharing saves now.
    pub fn sharing(&self) -> Result<Sharing> {
        let mut sharing = Sharing::default();
        self.each_link(|stat| {
            let blocks = u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
            sharing.files += 1;
            sharing.bytes += blocks;
            // One link is the entry itself, and one the first file.
            sharing.bytes_saved += stat.st_nlink.saturating_sub(2) * blocks;
        })?;
        Ok(sharing)
    }

    fn linked_inodes(&self) -> Result<FxHashSet<u64>> {
        let mut inodes = FxHashSet::default();
        self.each_link(|stat| {
            inodes.insert(stat.st_ino);
        })?;
        Ok(inodes)
    }

    fn each_link(&self, mut work: impl FnMut(&Stat)) -> Result<()> {
        let path = self.layout.links_dir();
        let dir = match files::open_dir(&path) {
            Ok(dir) => dir,
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(Error::sys("open directory", path)(error)),
        };
        for name in files::entries(&dir).map_err(Error::sys("read directory", &path))? {
            match rustix::fs::statat(&dir, &*name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => work(&stat),
                Err(Errno::NOENT) => {}
                Err(error) => return Err(Error::sys("examine", files::join(&path, &name))(error)),
            }
        }
        Ok(())
    }
}

/// Shares the files of a tree whose hashes are known.
pub(crate) fn share_all(links: &Links<'_>, physical: &Path, hashes: &FileHashes) -> Result<u64> {
    let mut freed = 0;
    for (place, files) in &hashes.dirs {
        let whole = physical.join(place);
        // The top of a tree that is one file has the empty name.
        let is_top = files.iter().any(|file| file.name.is_empty());
        let (path, parent) = if is_top {
            let above = whole.parent().unwrap_or(&whole).to_owned();
            (above, Parent::Unfinished)
        } else {
            (whole.clone(), Parent::Finished)
        };
        let dir = files::open_dir(&path).map_err(Error::sys("open directory", &path))?;
        for file in files {
            let name = if is_top {
                files::c_name(&whole)?
            } else {
                file.name.clone()
            };
            let stat = match rustix::fs::statat(&dir, &*name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(Error::sys("examine", files::join(&path, &name))(error)),
            };
            if !file.is_still(&stat) {
                continue;
            }
            if let Shared::Linked(bytes) =
                links.share(dir.as_fd(), &name, &file.hash, &stat, parent)?
            {
                freed += bytes;
            }
        }
    }
    Ok(freed)
}

/// The inodes of files that have other names, too. Nothing at `path` is no error.
fn shared_inodes(path: &Path, inodes: &mut FxHashSet<u64>, depth: usize) -> Result<()> {
    files::check_depth(path, depth)?;
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("examine", path)(error)),
    };
    if meta.is_dir() {
        for entry in std::fs::read_dir(path).map_err(Error::io("read directory", path))? {
            let entry = entry.map_err(Error::io("read directory", path))?;
            shared_inodes(&entry.path(), inodes, depth + 1)?;
        }
    } else if meta.is_file() && meta.nlink() > 1 {
        inodes.insert(meta.ino());
    }
    Ok(())
}

/// Looks for files that have no entry yet.
struct Walk<'a> {
    links: &'a Links<'a>,
    /// The inodes of the entries.
    known: &'a FxHashSet<u64>,
    files_linked: AtomicU64,
    bytes_freed: AtomicU64,
}

impl Walk<'_> {
    fn entry(
        &self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        path: &Path,
        parent: Parent,
        depth: usize,
    ) -> Result<()> {
        files::check_depth(path, depth)?;
        let stat = match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(()), // `verify` tells that
            Err(error) => return Err(Error::sys("examine", path)(error)),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let fd =
                    files::open_dir_at(dir, name).map_err(Error::sys("open directory", path))?;
                let names = files::entries(&fd).map_err(Error::sys("read directory", path))?;
                for child in &names {
                    let child_path: PathBuf = files::join(path, child);
                    self.entry(fd.as_fd(), child, &child_path, Parent::Finished, depth + 1)?;
                }
                // One who died while he replaced a file has left it so.
                if stat.st_mode & 0o7777 != 0o555 || stat.st_mtime != MTIME {
                    match close(fd.as_fd()) {
                        Ok(()) | Err(Errno::PERM) => {}
                        Err(error) => return Err(Error::sys("set the metadata of", path)(error)),
                    }
                }
                Ok(())
            }
            FileType::RegularFile => self.file(dir, name, path, &stat, parent),
            _ => Ok(()),
        }
    }

    fn file(
        &self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        path: &Path,
        stat: &Stat,
        parent: Parent,
    ) -> Result<()> {
        let is_canonical = stat.st_mode & 0o222 == 0 && stat.st_mtime == MTIME;
        let is_known = stat.st_nlink > 1 && self.known.contains(&stat.st_ino);
        // What was tampered with must not become the copy for all.
        if stat.st_size == 0 || is_known || !is_canonical {
            return Ok(());
        }
        let hash = match hash_file(dir, name) {
            Ok(hash) => hash,
            Err(HashError::System(error)) => return Err(Error::sys("read", path)(error)),
            Err(HashError::Store(error)) => return Err(error),
        };
        // A path from the working directory is none in the directory of the path's parent.
        let shared = if parent == Parent::Unfinished {
            let above = path.parent().unwrap_or(path);
            let dir = files::open_dir(above).map_err(Error::sys("open directory", above))?;
            let name: CString = files::c_name(path)?;
            self.links.share(dir.as_fd(), &name, &hash, stat, parent)?
        } else {
            self.links.share(dir, name, &hash, stat, parent)?
        };
        if let Shared::Linked(bytes) = shared {
            self.files_linked.fetch_add(1, Ordering::Relaxed);
            self.bytes_freed.fetch_add(bytes, Ordering::Relaxed);
        }
        Ok(())
    }
}
