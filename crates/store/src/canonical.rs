//! Canonical metadata: what a store object's files look like, whoever made them.
//!
//! Modification time 1 (one second after the epoch), modes 0444 and 0555, no setuid, setgid or sticky bits, no extended
//! attributes or ACLs, owned by the user who owns the store. Nix manual, "Store Object", "File System Object".

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Stat, Timespec, Timestamps, UTIME_OMIT, Uid};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::fault;
use crate::files;

/// The modification time of everything in a store, in seconds after the epoch.
pub const MTIME: i64 = 1;

/// Attributes that belong to the system and not to the file: Nix's default of `ignored-acls`.
const KEPT_XATTRS: [&[u8]; 3] = [b"security.selinux", b"system.nfs4_acl", b"security.csm"];

/// Timestamps for `futimens`: the modification time canonical, the access time as it is.
pub(crate) fn canonical_times() -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT as _,
        },
        last_modification: Timespec {
            tv_sec: MTIME,
            tv_nsec: 0,
        },
    }
}

/// Makes the metadata of the tree at `path` canonical. Refuses sockets, devices and FIFOs, naming the file, and files of other
/// users unless run as root. Symlinks are not followed. Nothing may be writing to the tree.
pub fn canonicalise(path: &Path) -> Result<()> {
    let name = CString::new(path.as_os_str().as_bytes())
        .map_err(|_| Error::io("examine", path)(std::io::ErrorKind::InvalidInput.into()))?;
    let walk = Walk {
        uid: rustix::process::geteuid(),
        gid: rustix::process::getegid(),
    };
    walk.entry(CWD, &name, path, 0)
}

struct Walk {
    uid: Uid,
    gid: Gid,
}

impl Walk {
    fn entry(&self, dir: BorrowedFd<'_>, name: &CStr, path: &Path, depth: usize) -> Result<()> {
        files::check_depth(path, depth)?;
        fault::point("set the metadata of", path)?;
        let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(Error::sys("examine", path))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        match kind {
            FileType::RegularFile | FileType::Directory | FileType::Symlink => {}
            other => {
                return Err(Error::UnsupportedFileType {
                    path: path.to_owned(),
                    kind: files::kind_name(other),
                });
            }
        }

        if stat.st_uid != self.uid.as_raw() {
            let owned = rustix::fs::chownat(
                dir,
                name,
                Some(self.uid),
                Some(self.gid),
                AtFlags::SYMLINK_NOFOLLOW,
            );
            match owned {
                Ok(()) => {}
                Err(Errno::PERM | Errno::INVAL) => {
                    let us = self.uid.as_raw();
                    return Err(Error::ForeignOwner {
                        path: path.to_owned(),
                        owner: stat.st_uid,
                        us,
                    });
                }
                Err(error) => return Err(Error::sys("change the owner of", path)(error)),
            }
        }

        if kind == FileType::Directory {
            self.directory(dir, name, &stat, path, depth)?;
        } else {
            // Before the mode: without write permission, attributes cannot be removed.
            strip_xattrs(dir, name, path, &stat)?;
            let mode = if stat.st_mode & 0o100 == 0 {
                0o444
            } else {
                0o555
            };
            if kind == FileType::RegularFile && stat.st_mode & 0o7777 != mode {
                chmod(dir, name, mode).map_err(Error::sys("change the mode of", path))?;
            }
        }
        if stat.st_mtime != MTIME || stat.st_mtime_nsec != 0 || kind == FileType::Directory {
            rustix::fs::utimensat(dir, name, &canonical_times(), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(Error::sys("set the modification time of", path))?;
        }
        Ok(())
    }

    fn directory(
        &self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        stat: &Stat,
        path: &Path,
        depth: usize,
    ) -> Result<()> {
        if stat.st_mode & 0o500 != 0o500 {
            chmod(dir, name, 0o755).map_err(Error::sys("change the mode of", path))?;
        }
        let fd = files::open_dir_at(dir, name).map_err(Error::sys("open directory", path))?;
        strip_xattrs(dir, name, path, stat)?;
        for child in files::entries(&fd).map_err(Error::sys("read directory", path))? {
            self.entry(fd.as_fd(), &child, &files::join(path, &child), depth + 1)?;
        }
        if stat.st_mode & 0o7777 != 0o555 {
            rustix::fs::fchmod(&fd, Mode::from_raw_mode(0o555))
                .map_err(Error::sys("change the mode of", path))?;
        }
        Ok(())
    }
}

fn chmod(dir: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<(), Errno> {
    // The caller has just seen that it is not a symlink, and nobody else writes to the tree.
    rustix::fs::chmodat(dir, name, Mode::from_raw_mode(mode), AtFlags::empty())
}

/// Removes extended attributes, ACLs among them.
fn strip_xattrs(dir: BorrowedFd<'_>, name: &CStr, path: &Path, stat: &Stat) -> Result<()> {
    // There are no `…at` forms of these calls before Linux 6.13; /proc gives the same.
    let place = if name.to_bytes().contains(&b'/') {
        path.to_owned()
    } else {
        let mut place = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
        place.push(std::ffi::OsStr::from_bytes(name.to_bytes()));
        place
    };
    let mut list = [0_u8; 1024];
    let names = match rustix::fs::llistxattr(&place, &mut list) {
        Ok(0) | Err(Errno::OPNOTSUPP | Errno::NODATA) => return Ok(()),
        Ok(length) => list[..length].to_vec(),
        Err(Errno::RANGE) => {
            let mut list = vec![0_u8; 65536]; // the kernel's limit (xattr(7))
            let length = rustix::fs::llistxattr(&place, &mut list[..])
                .map_err(Error::sys("list extended attributes of", path))?;
            list.truncate(length);
            list
        }
        Err(error) => return Err(Error::sys("list extended attributes of", path)(error)),
    };
    for attribute in names
        .split(|&b| b == 0)
        .filter(|a| !a.is_empty() && !KEPT_XATTRS.contains(a))
    {
        match rustix::fs::lremovexattr(&place, attribute) {
            Ok(()) | Err(Errno::NODATA) => {}
            Err(Errno::ACCESS)
                if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile =>
            {
                // `user.*` attributes can only be removed from writable files.
                let mode = stat.st_mode & 0o777;
                chmod(dir, name, mode | 0o200).map_err(Error::sys("change the mode of", path))?;
                rustix::fs::lremovexattr(&place, attribute)
                    .map_err(Error::sys("remove an extended attribute from", path))?;
                chmod(dir, name, mode).map_err(Error::sys("change the mode of", path))?;
            }
            Err(error) => return Err(Error::sys("remove an extended attribute from", path)(error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn modes_times_and_attributes() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir(&tree).unwrap();
        fs::create_dir(tree.join("sub")).unwrap();
        fs::write(tree.join("sub/plain"), "x").unwrap();
        fs::write(tree.join("program"), "x").unwrap();
        symlink("missing", tree.join("link")).unwrap();
        fs::set_permissions(tree.join("program"), fs::Permissions::from_mode(0o6750)).unwrap();
        fs::set_permissions(tree.join("sub/plain"), fs::Permissions::from_mode(0o600)).unwrap();
        let _ = rustix::fs::setxattr(
            tree.join("program"),
            "user.note",
            b"1",
            rustix::fs::XattrFlags::empty(),
        );
        fs::set_permissions(tree.join("sub"), fs::Permissions::from_mode(0o000)).unwrap();

        canonicalise(&tree).unwrap();
        for (name, mode) in [
            ("", 0o555),
            ("sub", 0o555),
            ("sub/plain", 0o444),
            ("program", 0o555),
        ] {
            let meta = fs::symlink_metadata(tree.join(name)).unwrap();
            assert_eq!(meta.mode() & 0o7777, mode, "{name}");
            assert_eq!((meta.mtime(), meta.mtime_nsec()), (1, 0), "{name}");
        }
        assert_eq!(fs::symlink_metadata(tree.join("link")).unwrap().mtime(), 1);
        let mut list = [0_u8; 100];
        assert!(matches!(
            rustix::fs::llistxattr(tree.join("program"), &mut list),
            Ok(0) | Err(Errno::OPNOTSUPP)
        ));
        canonicalise(&tree).unwrap();
    }

    #[test]
    fn special_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        rustix::fs::mknodat(CWD, dir.path().join("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        let message = canonicalise(dir.path()).unwrap_err().to_string();
        assert!(message.ends_with(
            "pipe' has an unsupported type\nhint: it is a FIFO; only regular files, directories and symlinks can be in the store"
        ));
    }
}
