//! Control groups of builds (cgroup v2), where the user may make some: they bound the number of a build's processes, count its memory, and
//! tell whether the kernel killed something of it for want of memory.
//!
//! Each xbuild has a group, in the place that [`place`] finds, and in it one for each running build. Everything here is a convenience: what goes wrong
//! makes a build one without a group, or without that limit, and [`Sandbox::run`](crate::Sandbox::run) does without.

mod explain;
mod hierarchy;
mod place;

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

pub use explain::NoCgroups;
pub use hierarchy::Hierarchy;
use place::Place;

/// What the names of the groups of an xbuild start with: `xbuild-PID-NUMBER`.
const PREFIX: &str = "xbuild-";

/// How many names are tried, of which others have taken some: process ids are used again, and every container has its own.
const NAMES: u32 = 256;

/// The group of this xbuild.
#[derive(Debug)]
pub(crate) struct Cgroups {
    directory: PathBuf,
    next: AtomicU64,
    /// Locked for as long as this process lives, which says that the group is not stale.
    _lock: OwnedFd,
}

/// The group of one build; removed with this.
#[derive(Debug)]
pub(crate) struct Cgroup {
    directory: PathBuf,
    /// The open directory, into which the build's first process is cloned.
    pub(crate) fd: OwnedFd,
    /// Whether it has the limit of processes that was asked for.
    pub(crate) limits_processes: bool,
}

/// Where builds have their control groups, and what these can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupPlace {
    /// The group in which they are made.
    pub directory: PathBuf,
    /// Their controllers: of `memory` and `pids`, what there is.
    pub controllers: Vec<&'static str>,
    /// Why they lack one of these.
    pub missing: Vec<NoCgroups>,
}

/// Looks where builds would have control groups. A group is made and removed there; no process is moved.
pub fn probe_cgroups() -> Result<CgroupPlace, NoCgroups> {
    let (place, groups) = place::find()?;
    let trial = Place {
        occupied: false,
        ..place.clone()
    };
    // One that has processes hands nothing on yet.
    let made = Cgroups::new_in(
        &trial,
        if place.occupied {
            &[]
        } else {
            &place.controllers
        },
    )?;
    drop(made);
    let kernel = explain::Kernel::read(groups.last().map_or(Path::new("/"), |top| &top.directory));
    Ok(CgroupPlace {
        missing: explain::missing(&groups, &place.controllers, &kernel),
        directory: place.directory,
        controllers: place.controllers,
    })
}

impl Cgroups {
    /// Makes a group for this process's builds.
    pub(crate) fn new() -> Result<Cgroups, NoCgroups> {
        let (place, _) = place::find()?;
        let controllers = if place.occupied {
            place::vacate(&place.directory, &place.controllers)
                .map_err(|error| refused(&place.directory, "be divided among builds", &error))?
        } else {
            place.controllers.clone()
        };
        Cgroups::new_in(&place, &controllers)
    }

    /// Makes it in `place`, and has it hand `controllers` on.
    fn new_in(place: &Place, controllers: &[&'static str]) -> Result<Cgroups, NoCgroups> {
        remove_stale(&place.directory);
        let (directory, lock) = make_locked(&place.directory)
            .map_err(|error| refused(&place.directory, "have groups made in it", &error))?;
        let groups = Cgroups {
            directory,
            next: AtomicU64::new(0),
            _lock: lock,
        };
        if !controllers.is_empty() {
            place::hand_on(&groups.directory, controllers)
                .map_err(|error| refused(&groups.directory, "hand controllers on", &error))?;
        }
        if let Some(limit) = place.max_processes {
            // Where it cannot be set, each build still has its own.
            let _ = fs::write(groups.directory.join("pids.max"), limit.to_string());
        }
        Ok(groups)
    }

    /// A group for one build, with at most `max_processes` processes and threads. None if it cannot be made, as when somebody has
    /// removed this one.
    pub(crate) fn group(&self, max_processes: Option<u64>) -> Option<Cgroup> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let directory = self.directory.join(number.to_string());
        fs::create_dir(&directory).ok()?;
        let limits_processes = max_processes
            .is_some_and(|limit| fs::write(directory.join("pids.max"), limit.to_string()).is_ok());
        // A build that lost a process for want of memory has failed, whatever its builder makes of that. (Linux 4.19, with `memory`.)
        let _ = fs::write(directory.join("memory.oom.group"), "1");
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(&directory, flags, Mode::empty()) {
            Ok(fd) => Some(Cgroup {
                directory,
                fd,
                limits_processes,
            }),
            Err(_) => {
                let _ = fs::remove_dir(&directory);
                None
            }
        }
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        remove(&self.directory);
    }
}

impl Cgroup {
    /// The greatest memory that all its processes had at one time, in bytes, page cache included (`memory.peak`, Linux 5.19).
    /// None if nothing was charged to it, as to the group of a build that had to do without.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        hierarchy::number(&self.directory, "memory.peak").filter(|peak| *peak > 0)
    }

    /// How many of its processes the kernel has killed for want of memory (`memory.events`). None without `memory`.
    pub(crate) fn memory_kills(&self) -> Option<u64> {
        let events = fs::read_to_string(self.directory.join("memory.events")).ok()?;
        hierarchy::keyed(&events, "oom_kill")
    }

    /// Kills all its processes at once (`cgroup.kill`, Linux 5.14). What has no group is killed through its first process alone.
    pub(crate) fn kill(&self) {
        kill(&self.directory);
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Empty as soon as the last process was waited for.
        let _ = fs::remove_dir(&self.directory);
    }
}

fn refused(group: &Path, to: &str, error: &std::io::Error) -> NoCgroups {
    NoCgroups {
        cause: format!("the control group {} cannot {to}: {error}", group.display()),
        remedy: "run xbuild in a new group: `systemd-run --user --scope xbuild …`".to_owned(),
    }
}

/// Makes a group of this process in `parent` that no other has, and locks it.
fn make_locked(parent: &Path) -> std::io::Result<(PathBuf, OwnedFd)> {
    // Another thread may have one, too.
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    for _ in 0..NAMES {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = parent.join(format!("{PREFIX}{}-{number}", std::process::id()));
        match fs::create_dir(&directory) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
            made => made?,
        }
        match lock(&directory) {
            Ok(lock) => return Ok((directory, lock)),
            // Taken for stale before it was locked.
            Err(Errno::NOENT | Errno::AGAIN) => {}
            Err(errno) => {
                let _ = fs::remove_dir(&directory);
                return Err(errno.into());
            }
        }
    }
    Err(std::io::ErrorKind::AlreadyExists.into())
}

/// Opens and locks a group's directory; `EAGAIN` if another process has it, `ENOENT` if it is gone.
fn lock(directory: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(directory, flags, Mode::empty())?;
    flock(&fd, FlockOperation::NonBlockingLockExclusive)?;
    let (held, there) = (rustix::fs::fstat(&fd)?, rustix::fs::stat(directory)?);
    if (held.st_dev, held.st_ino) == (there.st_dev, there.st_ino) {
        Ok(fd)
    } else {
        Err(Errno::NOENT)
    }
}

/// Removes the groups that an xbuild which was killed has left: those whose lock nobody has. What still runs in them, nobody watches.
fn remove_stale(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_xbuilds = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.split_once('-'))
            .is_some_and(|(pid, number)| {
                pid.parse::<u32>().is_ok() && number.parse::<u64>().is_ok()
            });
        if is_xbuilds && let Ok(_lock) = lock(&entry.path()) {
            kill(&entry.path());
            remove(&entry.path());
        }
    }
}

fn kill(group: &Path) {
    let _ = fs::write(group.join("cgroup.kill"), "1");
}

/// Removes a group of an xbuild and those of builds in it, as far as they have no processes.
fn remove(directory: &Path) {
    if fs::remove_dir(directory).is_ok() {
        return;
    }
    for build in fs::read_dir(directory).into_iter().flatten().flatten() {
        let _ = fs::remove_dir(build.path());
    }
    let _ = fs::remove_dir(directory);
}

#[cfg(test)]
mod tests {
    use super::*;

    // Directories of an ordinary file system stand in for the kernel's.

    fn groups_in(directory: &Path) -> Cgroups {
        let place = Place {
            directory: directory.to_owned(),
            controllers: vec!["memory", "pids"],
            occupied: false,
            max_processes: Some(99),
        };
        Cgroups::new_in(&place, &["pids"]).unwrap()
    }

    fn read(path: PathBuf) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_build_has_a_group_of_its_own_with_its_limit() {
        let root = tempfile::tempdir().unwrap();
        let groups = groups_in(root.path());
        assert_eq!(
            read(groups.directory.join("cgroup.subtree_control")),
            "+pids"
        );
        assert_eq!(read(groups.directory.join("pids.max")), "99");
        let group = groups.group(Some(7)).unwrap();
        let directory = group.directory.clone();
        assert!(group.limits_processes);
        assert_eq!(read(directory.join("pids.max")), "7");
        assert_eq!(read(directory.join("memory.oom.group")), "1");
        let other = groups.group(None).unwrap();
        assert!(other.directory != directory && !other.limits_processes);
        group.kill();
        assert_eq!(read(directory.join("cgroup.kill")), "1");
    }

    #[test]
    fn what_a_build_used_is_read() {
        let root = tempfile::tempdir().unwrap();
        let group = groups_in(root.path()).group(None).unwrap();
        let write = |file: &str, text: &str| fs::write(group.directory.join(file), text).unwrap();
        assert_eq!((group.peak_memory(), group.memory_kills()), (None, None));
        write("memory.peak", "0\n");
        write(
            "memory.events",
            "low 0\nhigh 0\nmax 12\noom 1\noom_kill 3\noom_group_kill 1\n",
        );
        assert_eq!((group.peak_memory(), group.memory_kills()), (None, Some(3)));
        write("memory.peak", "4096\n");
        assert_eq!(group.peak_memory(), Some(4096));
    }

    /// Somebody may remove a group at any time, and a limit may be refused.
    #[test]
    fn a_build_does_without_what_cannot_be_made() {
        let root = tempfile::tempdir().unwrap();
        let groups = groups_in(root.path());
        fs::create_dir_all(groups.directory.join("0")).unwrap();
        assert!(groups.group(Some(1)).is_none(), "the name is taken");
        fs::remove_dir_all(&groups.directory).unwrap();
        assert!(groups.group(Some(1)).is_none(), "the group is gone");
        let gone = Place {
            directory: root.path().join("gone"),
            controllers: Vec::new(),
            occupied: false,
            max_processes: None,
        };
        let why = Cgroups::new_in(&gone, &[]).unwrap_err();
        assert!(
            why.cause
                .contains("gone cannot have groups made in it: No such file"),
            "{why}"
        );
    }

    /// Whether a group is stale is not a question of process ids, which are used again.
    #[test]
    fn a_group_that_nobody_has_locked_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let stale = root
            .path()
            .join(format!("{PREFIX}{}-4000000", std::process::id()));
        let others = ["xbuild-supervisor", "xbuild-1", "xbuild-1-x", "app-1-2"];
        for name in others {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        fs::create_dir_all(stale.join("0")).unwrap();
        let live = root.path().join("xbuild-4000000000-0");
        fs::create_dir_all(live.join("0")).unwrap();
        let lock = lock(&live).unwrap();
        remove_stale(root.path());
        assert!(live.join("0").exists());
        drop(lock);
        // `cgroup.kill` is a file of this file system, and remains; the kernel's files go with their directory.
        assert!(!stale.join("0").exists());
        assert_eq!(read(stale.join("cgroup.kill")), "1");
        remove_stale(root.path());
        assert!(!live.join("0").exists());
        for name in others {
            assert!(root.path().join(name).exists(), "{name}");
        }
    }

    #[test]
    fn a_name_that_is_taken_is_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let (first, _lock) = make_locked(root.path()).unwrap();
        let number = |directory: &Path| -> u64 {
            let name = directory.file_name().unwrap().to_str().unwrap();
            name.rsplit('-').next().unwrap().parse().unwrap()
        };
        for ahead in 1..4 {
            let name = format!("{PREFIX}{}-{}", std::process::id(), number(&first) + ahead);
            fs::create_dir(root.path().join(name)).unwrap();
        }
        let (second, _lock) = make_locked(root.path()).unwrap();
        assert!(number(&second) > number(&first));
        assert_eq!(lock(&second).unwrap_err(), Errno::AGAIN);
        fs::remove_dir(&second).unwrap();
        assert_eq!(lock(&second).unwrap_err(), Errno::NOENT);
    }
}
