//! Removing and handing over trees that a builder made: directories without permissions, any depth, any names.
//!
//! Nothing here follows a symlink, recurses, or holds more than two descriptors, so a hostile tree is removed like any other. The
//! processes that made the tree must have ended.

use std::ffi::{CStr, CString};
use std::io;
use std::path::{Path, PathBuf};

use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat, Uid, chmodat, chownat, fstat, openat,
    statat, unlinkat,
};
use rustix::io::Errno;

/// Why a tree could not be removed or handed over.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} {}: {error}", path.display())]
pub struct TreeError {
    action: &'static str,
    path: PathBuf,
    error: io::Error,
}

/// Removes `path` and all below it. That it does not exist is no error. Directories without write permission are given it first.
///
/// `path` itself must not change hands meanwhile, and `..` in it is the caller's affair.
pub fn remove_tree(path: &Path) -> Result<(), TreeError> {
    walk(path, &Remove)
}

/// Gives `path` and all below it to `uid` and `gid`, symlinks themselves included. Needs the right to change owners unless nothing changes.
pub fn give_tree(path: &Path, uid: u32, gid: u32) -> Result<(), TreeError> {
    walk(path, &Give { uid, gid })
}

/// Takes `path` back from processes of other users that have ended: gives it and all they may have made below it to `uid` and `gid`.
///
/// A directory that belongs to these already, and that nobody else may write to, holds nothing of others and is not entered.
pub(crate) fn reclaim_tree(path: &Path, uid: u32, gid: u32) -> Result<(), TreeError> {
    walk(path, &Reclaim(Give { uid, gid }))
}

/// What is done with each entry, a directory's content before the directory.
trait Visit {
    const ACTION: &'static str;
    /// Makes a directory readable (and its entries removable) before it is opened. Returns whether it is to be.
    fn enter(&self, parent: &OwnedFd, name: &CStr, stat: &Stat) -> Result<bool, Errno>;
    fn leave(&self, parent: &OwnedFd, name: &CStr, stat: &Stat) -> Result<(), Errno>;
}

struct Remove;

impl Visit for Remove {
    const ACTION: &'static str = "remove";

    fn enter(&self, parent: &OwnedFd, name: &CStr, stat: &Stat) -> Result<bool, Errno> {
        if stat.st_mode & 0o700 != 0o700 {
            chmodat(parent, name, Mode::from_raw_mode(0o700), AtFlags::empty())?;
        }
        Ok(true)
    }

    fn leave(&self, parent: &OwnedFd, name: &CStr, stat: &Stat) -> Result<(), Errno> {
        let flags = if is_dir(stat) {
            AtFlags::REMOVEDIR
        } else {
            AtFlags::empty()
        };
        match unlinkat(parent, name, flags) {
            Err(Errno::NOENT) => Ok(()),
            other => other,
        }
    }
}

struct Give {
    uid: u32,
    gid: u32,
}

impl Visit for Give {
    const ACTION: &'static str = "change the owner of";

    fn enter(&self, _: &OwnedFd, _: &CStr, _: &Stat) -> Result<bool, Errno> {
        Ok(true)
    }

    fn leave(&self, parent: &OwnedFd, name: &CStr, stat: &Stat) -> Result<(), Errno> {
        if self.have(stat) {
            return Ok(());
        }
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        chownat(
            parent,
            name,
            Some(uid),
            Some(gid),
            AtFlags::SYMLINK_NOFOLLOW,
        )
    }
}

impl Give {
    fn have(&self, stat: &Stat) -> bool {
        (stat.st_uid, stat.st_gid) == (self.uid, self.gid)
    }
}

struct Reclaim(Give);

impl Visit for Reclaim {
    const ACTION: &'static str = Give::ACTION;

    fn enter(&self, _: &OwnedFd, _: &CStr, stat: &Stat) -> Result<bool, Errno> {
        Ok(!self.0.have(stat) || stat.st_mode & 0o022 != 0)
    }

    fn leave(&self, parent: &OwnedFd, name: &CStr, stat: &Stat) -> Result<(), Errno> {
        self.0.leave(parent, name, stat)
    }
}

fn is_dir(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// A directory that is being walked, and the one place where it is remembered how to come back to it.
struct Level {
    /// Its name in its parent, and what it was when it was entered.
    name: CString,
    stat: Stat,
    /// Entries still to be visited.
    rest: Vec<CString>,
}

fn walk<V: Visit>(path: &Path, visit: &V) -> Result<(), TreeError> {
    let mut levels: Vec<Level> = Vec::new();
    walk_from(path, visit, &mut levels).map_err(|(errno, name)| {
        let mut full = path.to_owned();
        // The first level is `path` itself.
        let inner = levels.iter().skip(1).map(|level| level.name.as_c_str());
        for name in inner.chain(name.as_deref()) {
            full.push(std::ffi::OsStr::from_bytes(name.to_bytes()));
        }
        TreeError {
            action: V::ACTION,
            path: full,
            error: errno.into(),
        }
    })
}

type Failed = (Errno, Option<CString>);

fn walk_from<V: Visit>(path: &Path, visit: &V, levels: &mut Vec<Level>) -> Result<(), Failed> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let plain = |errno| (errno, None);
    let (parent, name) = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if !parent.as_os_str().is_empty() => (parent, name),
        (_, Some(name)) => (Path::new("."), name),
        _ => return Err(plain(Errno::INVAL)),
    };
    let top = match openat(
        CWD,
        parent,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Err(Errno::NOENT) => return Ok(()),
        other => other.map_err(plain)?,
    };
    let name = CString::new(name.as_bytes()).map_err(|_| plain(Errno::INVAL))?;
    let stat = match statat(&top, &name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(()),
        other => other.map_err(plain)?,
    };
    if !is_dir(&stat) || !visit.enter(&top, &name, &stat).map_err(plain)? {
        return visit.leave(&top, &name, &stat).map_err(plain);
    }
    let mut here = openat(&top, &name, flags, Mode::empty()).map_err(plain)?;
    let rest = entries(&here).map_err(plain)?;
    levels.push(Level { name, stat, rest });
    loop {
        let Some(level) = levels.last_mut() else {
            return Ok(());
        };
        if let Some(name) = level.rest.pop() {
            let wrong = |errno| (errno, Some(name.clone()));
            let stat = match statat(&here, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                other => other.map_err(wrong)?,
            };
            if !is_dir(&stat) || !visit.enter(&here, &name, &stat).map_err(wrong)? {
                visit.leave(&here, &name, &stat).map_err(wrong)?;
                continue;
            }
            let next = openat(&here, &name, flags, Mode::empty()).map_err(wrong)?;
            let rest = entries(&next).map_err(wrong)?;
            here = next;
            levels.push(Level { name, stat, rest });
            continue;
        }
        // Done here: back to the parent, which must be the one we came from.
        if levels.len() == 1 {
            drop(here);
            visit
                .leave(&top, &levels[0].name, &levels[0].stat)
                .map_err(plain)?;
            return Ok(());
        }
        let up = openat(&here, c"..", flags, Mode::empty()).map_err(plain)?;
        let expected = &levels[levels.len() - 2].stat;
        let found = fstat(up.as_fd()).map_err(plain)?;
        if (found.st_dev, found.st_ino) != (expected.st_dev, expected.st_ino) {
            return Err(plain(Errno::AGAIN));
        }
        here = up;
        if let Some(done) = levels.pop() {
            visit
                .leave(&here, &done.name, &done.stat)
                .map_err(|errno| (errno, Some(done.name)))?;
        }
    }
}

fn entries(directory: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    #[test]
    fn removes_what_a_builder_may_leave() {
        let scratch = tempfile::tempdir().unwrap();
        let outside = scratch.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("keep"), "").unwrap();
        let tree = scratch.path().join("tree");
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::write(tree.join("a/b/file"), "").unwrap();
        fs::write(tree.join(OsStr::from_bytes(b"\xff\n -rf")), "").unwrap();
        symlink(&outside, tree.join("link")).unwrap();
        symlink("/does/not/exist", tree.join("dangling")).unwrap();
        for (path, mode) in [("a/b", 0o000), ("a", 0o555), ("", 0o000)] {
            fs::set_permissions(tree.join(path), Permissions::from_mode(mode)).unwrap();
        }
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        assert!(outside.join("keep").exists());
        remove_tree(&tree).unwrap();
        remove_tree(&outside.join("keep")).unwrap();
        assert!(outside.exists() && !outside.join("keep").exists());
    }

    #[test]
    fn depth_needs_neither_stack_nor_descriptors() {
        let scratch = tempfile::tempdir().unwrap();
        let tree = scratch.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut here = openat(CWD, &tree, flags, Mode::empty()).unwrap();
        for _ in 0..1500 {
            rustix::fs::mkdirat(&here, c"directory", Mode::from_raw_mode(0o755)).unwrap();
            here = openat(&here, c"directory", flags, Mode::empty()).unwrap();
        }
        let metadata = tree.metadata().unwrap();
        give_tree(&tree, metadata.uid(), metadata.gid()).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
    }

    #[test]
    fn owners_change_and_errors_name_the_path() {
        if rustix::process::geteuid().is_root() {
            let scratch = tempfile::tempdir().unwrap();
            fs::create_dir(scratch.path().join("d")).unwrap();
            fs::write(scratch.path().join("d/f"), "").unwrap();
            give_tree(scratch.path(), 12345, 12346).unwrap();
            let owner = || {
                let found = scratch.path().join("d/f").metadata().unwrap();
                (found.uid(), found.gid())
            };
            assert_eq!(owner(), (12345, 12346));
            // What nobody else could write to is not looked through; what others could is.
            let directory = scratch.path().join("d");
            std::os::unix::fs::chown(&directory, Some(0), Some(0)).unwrap();
            fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
            reclaim_tree(scratch.path(), 0, 0).unwrap();
            assert_eq!(owner(), (12345, 12346));
            fs::set_permissions(&directory, Permissions::from_mode(0o757)).unwrap();
            reclaim_tree(&directory, 0, 0).unwrap();
            assert_eq!(owner(), (0, 0));
        }
        let error = remove_tree(Path::new("/proc/self/status"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("/proc/self/status"), "{error}");
    }
}
