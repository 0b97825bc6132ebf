//! Deleting trees that are read-only, deep or hostile: never follows a symlink, never leaves the tree, and holds a
//! bounded number of open files however deep the tree is.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, Stat};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::fault;
use crate::files;

/// Directories deeper than this are first moved up to the top of the tree, so few files are open at a time.
const FLATTEN_BELOW: usize = 64;

/// Deletes whatever is at `path`, of any type, changing the modes of directories where that is needed.
/// Returns the number of bytes that this frees on disk (allocated blocks of files whose last link was removed).
/// Nothing at `path` is no error.
pub fn remove_tree(path: &Path) -> Result<u64> {
    remove_tree_counted(path).map(|freed| freed.bytes)
}

/// What a removal frees on disk, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Freed {
    /// Of files whose last link was removed.
    pub(crate) bytes: u64,
    /// Of files that have one link left.
    pub(crate) shared_once: u64,
}

/// The same, also counting files that have one link left.
pub(crate) fn remove_tree_counted(path: &Path) -> Result<Freed> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::io("delete", path)(
            std::io::ErrorKind::InvalidInput.into(),
        ));
    };
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let parent_fd = match rustix::fs::open(
        parent,
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(Freed::default()),
        Err(error) => return Err(Error::sys("open directory", parent)(error)),
    };
    let name = std::ffi::CString::new(std::os::unix::ffi::OsStrExt::as_bytes(name))
        .map_err(|_| Error::io("delete", path)(std::io::ErrorKind::InvalidInput.into()))?;

    let mut removal = Removal {
        freed: Freed::default(),
        top: None,
        moved: 0,
    };
    removal.entry(parent_fd.as_fd(), &name, path, 0)?;
    Ok(removal.freed)
}

struct Removal<'a> {
    freed: Freed,
    /// The outermost directory, to which deep ones are moved.
    top: Option<BorrowedFd<'a>>,
    moved: u64,
}

impl Removal<'_> {
    fn entry(&mut self, dir: BorrowedFd<'_>, name: &CStr, path: &Path, depth: usize) -> Result<()> {
        let stat = match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(Error::sys("examine", path)(error)),
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return self.unlink(dir, name, &stat, AtFlags::empty(), path);
        }

        // A directory's entries can only be listed and removed with all owner bits set.
        if stat.st_mode & 0o700 != 0o700 {
            make_writable(dir, name).map_err(Error::sys("make writable", path))?;
        }
        let fd = files::open_dir_at(dir, name).map_err(Error::sys("open directory", path))?;
        if depth == 0 {
            let mut inner = Removal {
                freed: Freed::default(),
                top: Some(fd.as_fd()),
                moved: 0,
            };
            // What is moved up while we list is found by the next round.
            let result = loop {
                let before = inner.moved;
                if let Err(error) = inner.children(fd.as_fd(), path, 1) {
                    break Err(error);
                }
                if inner.moved == before {
                    break Ok(());
                }
            };
            self.freed.bytes += inner.freed.bytes;
            self.freed.shared_once += inner.freed.shared_once;
            result?;
        } else {
            self.children(fd.as_fd(), path, depth + 1)?;
        }
        self.unlink(dir, name, &stat, AtFlags::REMOVEDIR, path)
    }

    fn children(&mut self, fd: BorrowedFd<'_>, path: &Path, depth: usize) -> Result<()> {
        for child in files::entries(fd).map_err(Error::sys("read directory", path))? {
            let child_path = files::join(path, &child);
            if depth > FLATTEN_BELOW && self.move_up(fd, &child)? {
                continue;
            }
            self.entry(fd, &child, &child_path, depth)?;
        }
        Ok(())
    }

    /// Moves a directory to the top of the tree; false if it is none.
    fn move_up(&mut self, dir: BorrowedFd<'_>, name: &CStr) -> Result<bool> {
        let Some(top) = self.top else {
            return Ok(false);
        };
        let Ok(stat) = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) else {
            return Ok(false);
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Ok(false);
        }
        // Moving a directory changes its `..`, for which it must be writable.
        if stat.st_mode & 0o700 != 0o700 && make_writable(dir, name).is_err() {
            return Ok(false);
        }
        loop {
            let place = format!(".xbuild-removal-{}", self.moved);
            self.moved += 1;
            match rustix::fs::renameat_with(
                dir,
                name,
                top,
                &*place,
                rustix::fs::RenameFlags::NOREPLACE,
            ) {
                Ok(()) => return Ok(true),
                Err(Errno::EXIST) => {}
                // Deleted in place then, at the cost of more open files.
                Err(_) => return Ok(false),
            }
        }
    }

    fn unlink(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        stat: &Stat,
        flags: AtFlags,
        path: &Path,
    ) -> Result<()> {
        fault::point("delete", path)?;
        match rustix::fs::unlinkat(dir, name, flags) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(Error::sys("delete", path)(error)),
        }
        let bytes = u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
        if flags.contains(AtFlags::REMOVEDIR) || stat.st_nlink <= 1 {
            self.freed.bytes += bytes;
        } else if stat.st_nlink == 2 {
            self.freed.shared_once += bytes;
        }
        Ok(())
    }
}

/// `chmod u+rwx` of a directory known (by `lstat`) not to be a symlink a moment ago; through a descriptor where the kernel
/// gives one, so that a symlink put in its place meanwhile is not followed.
fn make_writable(dir: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let mode = Mode::RWXU;
    match files::open_dir_at(dir, name) {
        Ok(fd) => rustix::fs::fchmod(fd, mode),
        // Not even readable: only by name. `chmodat` without following needs Linux 6.6.
        Err(Errno::ACCESS) => match rustix::fs::chmodat(dir, name, mode, AtFlags::SYMLINK_NOFOLLOW)
        {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                rustix::fs::chmodat(dir, name, mode, AtFlags::empty())
            }
            other => other,
        },
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn read_only_trees_and_symlinks() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("keep"), "x").unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::write(tree.join("a/b/file"), vec![1; 10_000]).unwrap();
        symlink(&outside, tree.join("a/link")).unwrap();
        fs::set_permissions(tree.join("a/b"), fs::Permissions::from_mode(0o000)).unwrap();
        fs::set_permissions(tree.join("a"), fs::Permissions::from_mode(0o555)).unwrap();
        fs::set_permissions(&tree, fs::Permissions::from_mode(0o555)).unwrap();
        assert!(remove_tree(&tree).unwrap() >= 10_000);
        assert!(!tree.exists());
        assert!(outside.join("keep").exists());
        assert_eq!(remove_tree(&tree).unwrap(), 0);
    }

    #[test]
    fn a_symlink_is_removed_not_its_target() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("target")).unwrap();
        symlink("target", dir.path().join("link")).unwrap();
        remove_tree(&dir.path().join("link")).unwrap();
        assert!(dir.path().join("target").exists());
        assert!(fs::symlink_metadata(dir.path().join("link")).is_err());
    }

    #[test]
    fn deeper_than_the_longest_path() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("deep");
        fs::create_dir(&top).unwrap();
        let mut fd = files::open_dir(&top).unwrap();
        for _ in 0..600 {
            rustix::fs::mkdirat(&fd, "directory", Mode::RWXU).unwrap();
            fd = files::open_dir_at(&fd, "directory").unwrap();
        }
        drop(fd);
        remove_tree(&top).unwrap();
        assert!(!top.exists());
    }
}
