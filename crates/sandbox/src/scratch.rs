//! Scratch directories that are used again.
//!
//! To create and delete a dozen directories costs more than all of a sandbox's namespaces: ext4 does not use a deleted inode again for
//! seconds, and searches past all of these for the next free one. Consecutive builds have mostly the same inputs, so their
//! scratch directories keep the places on which inputs are mounted.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::SandboxError;
use crate::tree::remove_tree;

/// Scratch directories below one parent, which lies on the store's filesystem. Those in the pool are removed with it.
#[derive(Debug)]
pub struct ScratchPool {
    parent: PathBuf,
    free: Mutex<Vec<PathBuf>>,
    next: AtomicU64,
}

impl ScratchPool {
    /// An empty pool. `parent` is an absolute path and is made if it does not exist.
    pub fn new(parent: impl Into<PathBuf>) -> Result<ScratchPool, SandboxError> {
        let parent = parent.into();
        fs::create_dir_all(&parent).map_err(|error| SandboxError::Prepare {
            action: "create the directory",
            path: parent.clone(),
            error,
        })?;
        Ok(ScratchPool {
            parent,
            free: Mutex::new(Vec::new()),
            next: AtomicU64::new(0),
        })
    }

    /// A directory for [`Spec::work_dir`](crate::Spec::work_dir), which belongs to the caller until [`ScratchPool::give_back`]. One
    /// that is not given back (a failed build that is kept) is the caller's for good.
    pub fn take(&self) -> PathBuf {
        let free = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        free.unwrap_or_else(|| {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            // Other processes may use the same parent.
            self.parent
                .join(format!("build-{}-{number}", std::process::id()))
        })
    }

    /// Takes back a directory whose build has ended and whose outputs were moved away, and clears it.
    pub fn give_back(&self, work_dir: PathBuf) -> Result<(), SandboxError> {
        for name in ["build", "tmp"] {
            clear(&work_dir.join(name))?;
        }
        self.free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(work_dir);
        Ok(())
    }
}

impl Drop for ScratchPool {
    fn drop(&mut self) {
        let free = self.free.get_mut().unwrap_or_else(PoisonError::into_inner);
        for directory in free.drain(..) {
            // What cannot be removed is found by the next clean-up of the parent; a destructor has nobody to tell.
            let _ = remove_tree(&directory);
        }
    }
}

/// Empties a directory, or removes what is no readable directory any more.
fn clear(directory: &Path) -> Result<(), SandboxError> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Ok(remove_tree(directory)?);
    };
    for entry in entries {
        match entry {
            Ok(entry) => {
                if remove_tree(&entry.path()).is_err() {
                    // The directory itself may forbid it; as a part of its parent it can go.
                    return Ok(remove_tree(directory)?);
                }
            }
            Err(_) => return Ok(remove_tree(directory)?),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn directories_come_back_empty_and_go_with_the_pool() {
        let scratch = tempfile::tempdir().unwrap();
        let pool = ScratchPool::new(scratch.path().join("pool")).unwrap();
        let first = pool.take();
        let second = pool.take();
        assert_ne!(first, second);
        fs::create_dir_all(first.join("build/a")).unwrap();
        fs::create_dir_all(first.join("tmp")).unwrap();
        fs::write(first.join("build/a/f"), "").unwrap();
        fs::set_permissions(first.join("build/a"), fs::Permissions::from_mode(0o000)).unwrap();
        fs::set_permissions(first.join("build"), fs::Permissions::from_mode(0o500)).unwrap();
        pool.give_back(first.clone()).unwrap();
        assert_eq!(pool.take(), first);
        assert!(fs::read_dir(first.join("build")).map_or(0, Iterator::count) == 0);
        pool.give_back(first.clone()).unwrap();
        drop(pool);
        assert!(!first.exists());
    }
}
