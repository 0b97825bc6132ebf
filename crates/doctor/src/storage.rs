//! The store: its disk, its file system, its database.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statfs, statvfs};
use xbuild_store::{Store, StoreOptions};

use crate::machine::gib;
use crate::{Check, State};

/// Below this, a board's image may not fit; in bytes.
const COMFORTABLE: u64 = 10 << 30;
/// Below this, hardly anything does.
const LITTLE: u64 = 1 << 30;

/// File systems by their number (statfs(2)), with what is wrong with those that are no good place for a store.
const KINDS: [(i64, &str, Option<&str>); 12] = [
    (0xef53, "ext4", None),
    (0x9123_683e, "btrfs", None),
    (0x5846_5342, "xfs", None),
    (0xca45_1a4e, "bcachefs", None),
    (0x2fc1_2fc1, "zfs", None),
    (0xf2f5_2010, "f2fs", None),
    (0x794c_7630, "overlayfs", None),
    (0x0102_1994, "tmpfs", Some("it is gone after the next boot")),
    (
        0x6969,
        "nfs",
        Some("locks and databases are not safe on it"),
    ),
    (
        0xff53_4d42,
        "cifs",
        Some("it has no hard links and permissions as a store needs them"),
    ),
    (0x4d44, "vfat", Some("it has no links and permissions")),
    (
        0x6573_5546,
        "fuse",
        Some("whether it keeps links, permissions and locks depends on the program behind it"),
    ),
];

/// The nearest directory that exists.
fn existing(path: &Path) -> PathBuf {
    path.ancestors()
        .find(|path| path.is_dir())
        .unwrap_or(Path::new("/"))
        .to_owned()
}

/// Free space, and what kind of file system it is.
pub(crate) fn disk(store: &Path) -> Vec<Check> {
    let place = existing(store);
    let (space, kind) = match (statvfs(&place), statfs(&place)) {
        (Ok(space), Ok(kind)) => (space, kind),
        (Err(error), _) | (_, Err(error)) => {
            return vec![Check::bad(
                "disk",
                State::Error,
                format!("{}: {error}", place.display()),
                "name another directory with `--store DIR`",
            )];
        }
    };
    let free = space.f_bavail * space.f_frsize;
    let nodes = (space.f_files > 0).then_some(space.f_favail);
    vec![
        judge_space(&place, free, nodes),
        judge_kind(&place, kind.f_type, space.f_flag),
    ]
}

fn judge_space(place: &Path, free: u64, nodes: Option<u64>) -> Check {
    let name = "disk";
    let found = format!("{} free at {}", gib(free), place.display());
    let remedy = "`xbuild store gc` removes what no root needs; `--store DIR` names another disk";
    if nodes.is_some_and(|nodes| nodes < 100_000) {
        return Check::bad(
            name,
            State::Warning,
            format!("{found}, but few inodes are left"),
            remedy,
        );
    }
    match free {
        0..LITTLE => Check::bad(name, State::Error, found, remedy),
        LITTLE..COMFORTABLE => Check::bad(name, State::Warning, found, remedy),
        _ => Check::ok(name, found),
    }
}

fn judge_kind(place: &Path, kind: i64, flags: StatVfsMountFlags) -> Check {
    let name = "file system";
    let remedy = "put the store on a local disk: `--store DIR`, or XBUILD_STORE";
    // On some architectures the number is a signed 32-bit one.
    let known = KINDS
        .iter()
        .find(|(number, ..)| number & 0xffff_ffff == kind & 0xffff_ffff);
    let called = known.map_or("a file system unknown to xbuild", |(_, called, _)| called);
    let found = format!("{called} at {}", place.display());
    if flags.contains(StatVfsMountFlags::RDONLY) {
        return Check::bad(name, State::Error, format!("{found} is read-only"), remedy);
    }
    if flags.contains(StatVfsMountFlags::NOEXEC) {
        return Check::bad(
            name,
            State::Error,
            format!("{found} is mounted noexec: no builder could be executed"),
            remedy,
        );
    }
    match known {
        Some((_, _, None)) => Check::ok(name, found),
        Some((_, _, Some(problem))) => {
            Check::bad(name, State::Warning, format!("{found}: {problem}"), remedy)
        }
        None => Check::bad(name, State::Warning, found, remedy),
    }
}

/// The database, and whether every registered path is there.
pub(crate) fn health(root: &Path) -> Check {
    let name = "store";
    let shown = root.display();
    if !root.join("nix/var/nix/db").exists() {
        let parent = existing(root);
        return match rustix::fs::access(&parent, rustix::fs::Access::WRITE_OK) {
            Ok(()) => Check::ok(name, format!("there is no store at {shown} yet")),
            Err(error) => Check::bad(
                name,
                State::Error,
                format!(
                    "the store {shown} cannot be made in {}: {error}",
                    parent.display()
                ),
                "name a directory of yours with `--store DIR`",
            ),
        };
    }
    let options = StoreOptions {
        read_only: true,
        ..StoreOptions::default()
    };
    let verified = Store::open(root, options).and_then(|store| store.verify(false));
    match verified {
        Ok(report) if report.is_sound() => {
            let owner = fs::metadata(root.join("nix/store"));
            let own = rustix::process::geteuid().as_raw();
            let belongs = owner
                .is_ok_and(|owner| own == 0 || std::os::unix::fs::MetadataExt::uid(&owner) == own);
            if !belongs {
                return Check::bad(
                    name,
                    State::Warning,
                    format!(
                        "the store {shown} belongs to another user: it can be read, not built in"
                    ),
                    "name one of yours with `--store DIR`",
                );
            }
            let paths = report.paths;
            Check::ok(
                name,
                format!("{paths} paths at {shown}, all of them on disk"),
            )
        }
        Ok(report) => Check::bad(
            name,
            State::Error,
            format!(
                "{} findings at {shown}, the first: {}",
                report.findings.len(),
                report
                    .findings
                    .first()
                    .map(ToString::to_string)
                    .unwrap_or_default()
            ),
            "`xbuild store verify --check-contents` lists all, with what to do",
        ),
        Err(error) => Check::bad(
            name,
            State::Error,
            error.to_string(),
            "see the message; a store of a newer version of Nix needs a newer xbuild",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_and_inodes_are_judged() {
        let place = Path::new("/s");
        let state = |free: u64, nodes| judge_space(place, free, nodes).state;
        assert_eq!(state(100 << 30, None), State::Ok);
        assert_eq!(state(100 << 30, Some(5)), State::Warning);
        assert_eq!(state(5 << 30, Some(1 << 20)), State::Warning);
        assert_eq!(state(5 << 20, None), State::Error);
    }

    #[test]
    fn file_systems_are_judged() {
        let place = Path::new("/s");
        let of = |kind, flags| judge_kind(place, kind, flags);
        let plain = StatVfsMountFlags::empty();
        assert_eq!(of(0xef53, plain).found, "ext4 at /s");
        assert_eq!(of(0x6969, plain).state, State::Warning);
        assert_eq!(of(-1, plain).state, State::Warning);
        for flag in [StatVfsMountFlags::RDONLY, StatVfsMountFlags::NOEXEC] {
            let found = of(0xef53, flag);
            assert_eq!(found.state, State::Error);
            assert!(found.remedy.is_some());
        }
    }

    #[test]
    fn a_store_is_examined_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("store");
        assert!(health(&root).found.contains("there is no store"));
        assert!(!root.exists(), "nothing is made");
        let store = Store::open(&root, StoreOptions::default()).unwrap();
        let path = store.add_text("text", b"x", &Default::default()).unwrap();
        assert_eq!(health(&root).state, State::Ok);
        fs::remove_file(store.physical(&path)).unwrap();
        let found = health(&root);
        assert_eq!(found.state, State::Error);
        assert!(found.found.contains("-text"), "{found:?}");
    }
}
