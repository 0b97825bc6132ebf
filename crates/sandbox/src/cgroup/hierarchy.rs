//! The control groups (cgroup v2) that this process is in, as the kernel shows them (Documentation/admin-guide/cgroup-v2.rst).

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// What this process's group is and which groups that is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where it is mounted: the topmost group that can be seen.
    mount: PathBuf,
    /// The directory of this process's group: `mount`, or below it.
    own: PathBuf,
}

/// Why no group of this process can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unseen {
    /// Version 2 is not mounted.
    NotMounted,
    /// This process's group is not below what is mounted, as in a container that shows its host's groups, or others.
    Elsewhere,
}

impl Hierarchy {
    /// The hierarchy of this process; none if version 2 is not mounted, or not with the group of this process.
    #[must_use]
    pub fn of_process() -> Option<Hierarchy> {
        Hierarchy::find().ok()
    }

    pub(super) fn find() -> Result<Hierarchy, Unseen> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Hierarchy::parse(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"))
    }

    /// By `/proc/self/mountinfo` (proc_pid_mountinfo(5)) and `/proc/self/cgroup` (cgroups(7)).
    fn parse(mountinfo: &str, cgroup: &str) -> Result<Hierarchy, Unseen> {
        let own = cgroup.lines().find_map(|line| line.strip_prefix("0::"));
        let own = Path::new(own.ok_or(Unseen::NotMounted)?);
        let mut unseen = Unseen::NotMounted;
        for line in mountinfo.lines() {
            let Some((fields, kind)) = line.split_once(" - ") else {
                continue;
            };
            let mut fields = fields.split(' ').skip(3);
            let (Some(root), Some(mount)) = (fields.next(), fields.next()) else {
                continue;
            };
            if !kind.starts_with("cgroup2 ") {
                continue;
            }
            let mount = unescaped(mount);
            match own.strip_prefix(unescaped(root)) {
                // A group outside of this process's cgroup namespace starts with `/..`.
                Ok(below) if !below.starts_with("..") => {
                    let own = if below.as_os_str().is_empty() {
                        mount.clone()
                    } else {
                        mount.join(below)
                    };
                    return Ok(Hierarchy { mount, own });
                }
                _ => unseen = Unseen::Elsewhere,
            }
        }
        Err(unseen)
    }

    #[cfg(test)]
    pub(super) fn at(mount: &Path, own: &str) -> Hierarchy {
        Hierarchy {
            mount: mount.to_owned(),
            own: mount.join(own),
        }
    }

    /// The topmost group that can be seen.
    pub(super) fn top(&self) -> &Path {
        &self.mount
    }

    /// The directories of this process's group and those around it, from the inside to the outside.
    pub(super) fn groups(&self) -> impl Iterator<Item = &Path> {
        self.own
            .ancestors()
            .take_while(|group| group.starts_with(&self.mount))
    }

    /// What the limits of all these groups leave, in bytes; none if there is no limit. `memory.max` and `memory.high` count, less
    /// `memory.current` without what the kernel can take back at once (file pages and `slab_reclaimable` of `memory.stat`): the same that
    /// `MemAvailable` is for the machine.
    #[must_use]
    pub fn memory_left(&self) -> Option<u64> {
        self.groups().filter_map(left_in).min()
    }

    /// The least `memory.max` or `memory.high` of all these groups, in bytes.
    #[must_use]
    pub fn memory_limit(&self) -> Option<u64> {
        self.groups().filter_map(limit_of).min()
    }
}

fn limit_of(group: &Path) -> Option<u64> {
    // `max` is no number.
    ["memory.max", "memory.high"]
        .into_iter()
        .filter_map(|file| number(group, file))
        .min()
}

fn left_in(group: &Path) -> Option<u64> {
    let limit = limit_of(group)?;
    let used = number(group, "memory.current")?;
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let reclaimable = ["active_file", "inactive_file", "slab_reclaimable"]
        .into_iter()
        .filter_map(|key| keyed(&stat, key))
        .sum::<u64>();
    Some(limit.saturating_sub(used.saturating_sub(reclaimable)))
}

/// A file of a group that holds one number.
pub(super) fn number(group: &Path, file: &str) -> Option<u64> {
    let text = fs::read_to_string(group.join(file)).ok()?;
    text.trim().parse().ok()
}

/// A number of a file that has lines `KEY NUMBER`.
pub(super) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        (name == key).then(|| value.trim().parse().ok())?
    })
}

/// A path of `mountinfo`, in which blanks and backslashes are octal.
fn unescaped(field: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let [first, after @ ..] = rest {
        let octal = after.get(..3).filter(|_| *first == b'\\');
        let byte = octal
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_understood() {
        let mounts = "24 1 0:22 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n25 1 0:5 / /proc rw - proc proc rw\n";
        let found = Hierarchy::parse(mounts, "8:pids:/a\n0::/b/c\n").unwrap();
        assert_eq!(found, Hierarchy::at(Path::new("/sys/fs/cgroup"), "b/c"));
        assert_eq!(
            found.groups().collect::<Vec<_>>(),
            ["/sys/fs/cgroup/b/c", "/sys/fs/cgroup/b", "/sys/fs/cgroup"].map(Path::new)
        );
        let found = Hierarchy::parse(mounts, "0::/\n").unwrap();
        assert_eq!(
            found.groups().collect::<Vec<_>>(),
            [Path::new("/sys/fs/cgroup")]
        );
        let version_1 = "25 1 0:5 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n";
        for (mounts, own) in [(version_1, "0::/a\n"), (mounts, "8:pids:/a\n"), ("x", "0")] {
            assert_eq!(Hierarchy::parse(mounts, own), Err(Unseen::NotMounted));
        }
    }

    /// As in a container without a cgroup namespace, or with one that this process has come into from outside.
    #[test]
    fn what_is_mounted_may_be_a_part() {
        let mounts = "24 1 0:22 /docker/1 /group\\040s rw - cgroup2 cgroup rw\n";
        let found = Hierarchy::parse(mounts, "0::/docker/1/build\n").unwrap();
        assert_eq!(found, Hierarchy::at(Path::new("/group s"), "build"));
        for own in ["0::/docker/12\n", "0::/../x\n", "0::/\n"] {
            assert_eq!(Hierarchy::parse(mounts, own), Err(Unseen::Elsewhere));
        }
        let below = "24 1 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        assert_eq!(
            Hierarchy::parse(below, "0::/../x\n"),
            Err(Unseen::Elsewhere)
        );
    }

    #[test]
    fn the_closest_limit_of_all_groups_counts() {
        let root = tempfile::tempdir().unwrap();
        let found = Hierarchy::at(root.path(), "slice/unit");
        let write = |file: &str, text: &str| fs::write(root.path().join(file), text).unwrap();
        fs::create_dir_all(root.path().join("slice/unit")).unwrap();
        for group in ["slice", "slice/unit"] {
            write(&format!("{group}/memory.max"), "max\n");
            write(&format!("{group}/memory.high"), "max\n");
            write(&format!("{group}/memory.current"), "700\n");
        }
        assert_eq!((found.memory_limit(), found.memory_left()), (None, None));
        write("slice/memory.max", "1000\n");
        assert_eq!(found.memory_left(), Some(300));
        // The page cache is taken back when memory is wanted.
        write(
            "slice/memory.stat",
            "anon 9\ninactive_file 300\nactive_file 50\nfile 350\n",
        );
        assert_eq!(found.memory_left(), Some(650));
        write("slice/unit/memory.high", "750\n");
        assert_eq!(
            (found.memory_limit(), found.memory_left()),
            (Some(750), Some(50))
        );
        write("slice/unit/memory.max", "600\n");
        assert_eq!(
            (found.memory_limit(), found.memory_left()),
            (Some(600), Some(0))
        );
    }
}
