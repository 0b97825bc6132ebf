//! Control groups of builds (cgroup v2), where the user may make some: they bound the number of a build's processes and count its memory.
//!
//! A control group that has processes cannot hand its controllers on to groups below it. So the groups of builds lie beside xbuild's own, in the nearest
//! group above it that hands on `pids` or `memory` and that belongs to the user: under systemd, that of the user's
//! services (`user@UID.service/app.slice`), or a unit with `Delegate=`. Each xbuild has a group there, and in it one for each running build.
//! Everything here is a convenience: what goes wrong makes a build one without a group.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, accessat};

/// The controllers that are of use here.
const CONTROLLERS: [&str; 2] = ["memory", "pids"];

/// The group of this xbuild.
#[derive(Debug)]
pub(crate) struct Cgroups {
    directory: PathBuf,
    next: AtomicU64,
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

/// Why builds have no control groups of their own, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoCgroups(pub(crate) String);

impl std::fmt::Display for NoCgroups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Cgroups {
    /// Makes a group for this process's builds.
    pub(crate) fn new() -> Result<Cgroups, NoCgroups> {
        let parent = place()?;
        // Another thread may have one, too.
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = parent.join(format!("xbuild-{}-{number}", std::process::id()));
        remove_stale(&parent);
        Cgroups::make(directory)
    }

    fn make(directory: PathBuf) -> Result<Cgroups, NoCgroups> {
        let refused = |error: std::io::Error| {
            NoCgroups(format!(
                "the control group {} cannot be made: {error}",
                directory.display()
            ))
        };
        fs::create_dir(&directory).map_err(refused)?;
        for controller in controllers(&directory, "cgroup.controllers") {
            let handed_on = fs::write(
                directory.join("cgroup.subtree_control"),
                format!("+{controller}"),
            );
            if let Err(error) = handed_on {
                let _ = fs::remove_dir(&directory);
                return Err(refused(error));
            }
        }
        Ok(Cgroups {
            directory,
            next: AtomicU64::new(0),
        })
    }

    /// A group for one build, with at most `max_processes` processes and threads.
    pub(crate) fn group(&self, max_processes: Option<u64>) -> Option<Cgroup> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let directory = self.directory.join(number.to_string());
        fs::create_dir(&directory).ok()?;
        let limits_processes = max_processes
            .is_some_and(|limit| fs::write(directory.join("pids.max"), limit.to_string()).is_ok());
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
        let _ = fs::remove_dir(&self.directory);
    }
}

impl Cgroup {
    /// The greatest memory that all its processes had at one time, in bytes, page cache included (`memory.peak`, Linux 5.19).
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        let peak = fs::read_to_string(self.directory.join("memory.peak")).ok()?;
        peak.trim().parse().ok()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Empty as soon as the last process was waited for.
        let _ = fs::remove_dir(&self.directory);
    }
}

/// The directory of the group in which those of builds may be made.
pub(crate) fn place() -> Result<PathBuf, NoCgroups> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mount = mount_point(&read("/proc/self/mountinfo"))
        .ok_or_else(|| NoCgroups("cgroup v2 is not mounted".to_owned()))?;
    let own = own_group(&read("/proc/self/cgroup"))
        .ok_or_else(|| NoCgroups("this process has no cgroup of version 2".to_owned()))?;
    place_above(&mount, &own)
}

fn place_above(mount: &Path, own: &Path) -> Result<PathBuf, NoCgroups> {
    let own = mount.join(own.strip_prefix("/").unwrap_or(own));
    let mut hands_on = false;
    for group in own.ancestors().take_while(|group| group.starts_with(mount)) {
        if controllers(group, "cgroup.subtree_control").is_empty() {
            continue;
        }
        hands_on = true;
        let may_move = accessat(
            CWD,
            group.join("cgroup.procs"),
            Access::WRITE_OK,
            AtFlags::EACCESS,
        );
        if may_move.is_ok() {
            return Ok(group.to_owned());
        }
    }
    Err(NoCgroups(if hands_on {
        "no control group above this process belongs to this user".to_owned()
    } else {
        "no control group above this process hands on the controllers `memory` and `pids` of version 2"
            .to_owned()
    }))
}

/// Those of [`CONTROLLERS`] that a file of a group lists.
fn controllers(group: &Path, file: &str) -> Vec<&'static str> {
    let text = fs::read_to_string(group.join(file)).unwrap_or_default();
    let has = |name: &&str| text.split_whitespace().any(|word| word == *name);
    CONTROLLERS.into_iter().filter(has).collect()
}

/// Where version 2 is mounted, by `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
fn mount_point(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (fields, kind) = line.split_once(" - ")?;
        kind.starts_with("cgroup2 ")
            .then(|| fields.split(' ').nth(4).map(PathBuf::from))?
    })
}

/// This process's group of version 2, by `/proc/self/cgroup` (cgroups(7)).
fn own_group(text: &str) -> Option<PathBuf> {
    let line = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(line.into())
}

/// Removes the groups that an xbuild which was killed has left. One that has processes stays.
fn remove_stale(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.strip_prefix("xbuild-"))
            .and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            for build in fs::read_dir(entry.path()).into_iter().flatten().flatten() {
                let _ = fs::remove_dir(build.path());
            }
            let _ = fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_understood() {
        let mountinfo = "24 1 0:22 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n25 1 0:5 / /proc rw - proc proc rw\n";
        assert_eq!(mount_point(mountinfo), Some("/sys/fs/cgroup".into()));
        assert_eq!(
            mount_point("25 1 0:5 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"),
            None
        );
        assert_eq!(own_group("8:pids:/a\n0::/b/c\n"), Some("/b/c".into()));
        assert_eq!(own_group("8:pids:/a\n"), None);
    }

    /// The layout that systemd makes for a user, in files.
    #[test]
    fn the_nearest_group_of_the_user_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let own = Path::new("/user.slice/user@1.service/app.slice/term.scope");
        let at = |group: &str| root.path().join(group);
        fs::create_dir_all(at("user.slice/user@1.service/app.slice/term.scope")).unwrap();
        assert!(
            place_above(root.path(), own)
                .unwrap_err()
                .0
                .contains("hands on")
        );
        for (group, handed) in [
            ("", "cpu memory pids"),
            ("user.slice", "memory pids"),
            ("user.slice/user@1.service", "pids"),
            ("user.slice/user@1.service/app.slice", "cpu"),
            ("user.slice/user@1.service/app.slice/term.scope", ""),
        ] {
            fs::write(at(group).join("cgroup.subtree_control"), handed).unwrap();
        }
        assert!(
            place_above(root.path(), own)
                .unwrap_err()
                .0
                .contains("belongs to this user")
        );
        fs::write(at("user.slice/user@1.service/cgroup.procs"), "").unwrap();
        assert_eq!(
            place_above(root.path(), own),
            Ok(at("user.slice/user@1.service"))
        );
        assert_eq!(
            controllers(&at("user.slice"), "cgroup.subtree_control"),
            ["memory", "pids"]
        );
    }

    #[test]
    fn a_build_has_a_group_of_its_own_with_its_limit() {
        let root = tempfile::tempdir().unwrap();
        // Directories of an ordinary file system stand in for the kernel's.
        let groups = Cgroups::make(root.path().join("xbuild")).unwrap();
        let group = groups.group(Some(7)).unwrap();
        let directory = group.directory.clone();
        assert!(group.limits_processes);
        assert_eq!(fs::read_to_string(directory.join("pids.max")).unwrap(), "7");
        assert_eq!(group.peak_memory(), None);
        fs::write(directory.join("memory.peak"), "4096\n").unwrap();
        assert_eq!(group.peak_memory(), Some(4096));
        let other = groups.group(None).unwrap();
        assert!(other.directory != directory && !other.limits_processes);
    }
}
