//! How much space store paths take.

use rustc_hash::FxHashSet;
use rustix::fs::{AtFlags, FileType};
use std::ffi::CStr;
use std::os::fd::BorrowedFd;
use std::path::Path;
use xbuild_store_model::store_path::StorePath;

use crate::error::{Error, Result};
use crate::files;
use crate::store::Store;

/// What one path takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskUsage {
    /// The path.
    pub path: StorePath,
    /// Bytes of its NAR.
    pub nar_size: u64,
    /// Bytes of the NARs of its closure.
    pub closure_size: u64,
    /// Bytes on disk. A file with several names counts for the first path that has it.
    pub disk: u64,
}

impl Store {
    /// What valid paths take, each by itself, in their order.
    pub fn usage(&self, paths: &[StorePath]) -> Result<Vec<DiskUsage>> {
        let mut seen = FxHashSet::default();
        let sizes = self.nar_sizes()?;
        let size = |path: &StorePath| sizes.get(path).copied().unwrap_or(0);
        let mut usages = Vec::with_capacity(paths.len());
        for path in paths {
            self.hooks.check_cancelled()?;
            let closure = self.closure(std::slice::from_ref(path))?;
            let place = self.physical(path);
            let name = files::c_path(&place)?;
            usages.push(DiskUsage {
                path: path.clone(),
                nar_size: size(path),
                closure_size: closure.iter().map(size).sum(),
                disk: on_disk(rustix::fs::CWD, &name, &place, &mut seen, 0)?,
            });
        }
        Ok(usages)
    }
}

/// The bytes on disk of a tree, without the files that were seen.
fn on_disk(
    dir: BorrowedFd<'_>,
    name: &CStr,
    path: &Path,
    seen: &mut FxHashSet<u64>,
    depth: usize,
) -> Result<u64> {
    use std::os::fd::AsFd;
    files::check_depth(path, depth)?;
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(Error::sys("examine", path))?;
    let mut bytes = u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        let fd = files::open_dir_at(dir, name).map_err(Error::sys("open directory", path))?;
        for child in files::entries(&fd).map_err(Error::sys("read directory", path))? {
            let child_path = files::join(path, &child);
            bytes += on_disk(fd.as_fd(), &child, &child_path, seen, depth + 1)?;
        }
    } else if stat.st_nlink > 1 && !seen.insert(stat.st_ino) {
        bytes = 0;
    }
    Ok(bytes)
}
