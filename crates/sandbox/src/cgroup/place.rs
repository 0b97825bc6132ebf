//! In which control group those of builds are made.
//!
//! A group that has processes cannot hand its controllers on to groups below it. So the groups of builds are either
//!
//! - beside that of xbuild, in the nearest group above that hands controllers on and that the user may change: in a session of systemd that
//!   of the user's programs (`user@UID.service/app.slice`); or
//! - below that of xbuild, whose processes first move into a group below it, too ([`SUPERVISOR`]): if it is marked as delegated (`Delegate=`), if
//!   it has limits, which builds are not to escape, or if there is no other, as in containers.
//!
//! Where both are possible, beside is better: when the kernel kills a process of a unit that is not delegated, systemd stops the whole unit
//! (`OOMPolicy=`), and with it xbuild. The mark cannot be relied on, since the service managers of users set none.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat, getxattr};
use rustix::io::Errno;

use super::explain::{self, NoCgroups};
use super::hierarchy::{Hierarchy, number};

/// The controllers that are of use here.
pub(super) const CONTROLLERS: [&str; 2] = ["memory", "pids"];

/// The group into which the processes of a group move that is to have groups of builds.
pub(super) const SUPERVISOR: &str = "xbuild-supervisor";

/// How often processes are moved while there come new ones.
const ROUNDS: u32 = 16;

/// Where groups of builds are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) directory: PathBuf,
    /// Those of [`CONTROLLERS`] that its groups have, or will have.
    pub(super) controllers: Vec<&'static str>,
    /// Whether its processes must move before it hands controllers on.
    pub(super) occupied: bool,
    /// The limit of processes of the groups that builds leave, which do not bound them then.
    pub(super) max_processes: Option<u64>,
}

/// What is to be known of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) directory: PathBuf,
    /// Those of [`CONTROLLERS`] that it has.
    pub(super) offers: Vec<&'static str>,
    /// Those that groups below it have.
    pub(super) hands_on: Vec<&'static str>,
    /// Why this user may not make groups in it.
    pub(super) denied: Option<Errno>,
    /// Whether its maker says that what is below it is the user's.
    pub(super) delegated: bool,
    /// The file with a limit that is in force.
    pub(super) bounded_by: Option<&'static str>,
    pub(super) max_processes: Option<u64>,
    /// Whether it has processes outside of this process's PID namespace, which cannot be moved.
    pub(super) has_hidden: bool,
}

impl Group {
    fn read(directory: &Path) -> Group {
        Group {
            directory: directory.to_owned(),
            offers: controllers(directory, "cgroup.controllers"),
            hands_on: controllers(directory, "cgroup.subtree_control"),
            denied: denied(directory),
            delegated: ["user.delegate", "trusted.delegate"]
                .into_iter()
                .any(|name| {
                    let mut value = [0; 8];
                    getxattr(directory, name, &mut value)
                        .is_ok_and(|length| value[..length].starts_with(b"1"))
                }),
            bounded_by: bounded_by(directory),
            max_processes: number(directory, "pids.max"),
            has_hidden: fs::read_to_string(directory.join("cgroup.procs"))
                .is_ok_and(|pids| pids.lines().any(|pid| pid == "0")),
        }
    }

    fn can_be_made_to_hand_on(&self) -> bool {
        self.denied.is_none() && !self.offers.is_empty() && !self.has_hidden
    }

    fn place(&self, occupied: bool) -> Place {
        Place {
            directory: self.directory.clone(),
            controllers: if occupied {
                self.offers.clone()
            } else {
                self.hands_on.clone()
            },
            occupied,
            max_processes: None,
        }
    }
}

/// Finds the place for this process's builds, and changes nothing.
pub(super) fn find() -> Result<(Place, Vec<Group>), NoCgroups> {
    let hierarchy = Hierarchy::find().map_err(explain::unseen)?;
    let groups: Vec<Group> = hierarchy.groups().map(Group::read).collect();
    let place = choose(&groups)
        .ok_or_else(|| explain::no_place(&groups, &explain::Kernel::read(hierarchy.top())))?;
    Ok((place, groups))
}

/// Chooses from the groups that a process is in, its own first.
fn choose(groups: &[Group]) -> Option<Place> {
    let (own, above) = groups.split_first()?;
    if own.denied.is_none() && !own.hands_on.is_empty() {
        // Only the topmost of all groups does that and has processes.
        return Some(own.place(false));
    }
    let is_supervisor = own.directory.ends_with(SUPERVISOR);
    let is_kept = own.delegated || own.bounded_by.is_some();
    if own.can_be_made_to_hand_on() && is_kept && !is_supervisor {
        return Some(own.place(true));
    }
    let mut best: Option<Place> = None;
    let mut left = own;
    let mut max_processes = None;
    for group in above {
        if left.bounded_by.is_some() {
            break;
        }
        max_processes = max_processes.into_iter().chain(left.max_processes).min();
        let least = best.as_ref().map_or(0, |place| place.controllers.len());
        if group.denied.is_none() && group.hands_on.len() > least {
            best = Some(Place {
                max_processes,
                ..group.place(false)
            });
        }
        left = group;
    }
    let last_resort = if is_supervisor {
        above.first()
    } else {
        Some(own)
    };
    best.or_else(|| {
        let group = last_resort.filter(|group| group.can_be_made_to_hand_on())?;
        Some(group.place(true))
    })
}

/// Moves the processes of a group into one below it and has it hand `controllers` on. Returns those that it does hand on.
pub(super) fn vacate(
    group: &Path,
    controllers: &[&'static str],
) -> std::io::Result<Vec<&'static str>> {
    // Others may be doing the same, and make it or have moved everything.
    match fs::create_dir(group.join(SUPERVISOR)) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let procs = group.join(SUPERVISOR).join("cgroup.procs");
    for _ in 0..ROUNDS {
        let pids = fs::read_to_string(group.join("cgroup.procs"))?;
        if pids.trim().is_empty() {
            break;
        }
        for pid in pids.lines() {
            match fs::write(&procs, pid) {
                // It has ended.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                moved => moved?,
            }
        }
    }
    hand_on(group, controllers)
}

/// Has a group hand `controllers` on. Returns those that it does hand on; an error if none.
pub(super) fn hand_on(
    group: &Path,
    controllers: &[&'static str],
) -> std::io::Result<Vec<&'static str>> {
    let mut handed_on = Vec::new();
    let mut refused = None;
    for controller in controllers {
        let file = group.join("cgroup.subtree_control");
        match fs::write(file, format!("+{controller}")) {
            Ok(()) => handed_on.push(*controller),
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) if handed_on.is_empty() => Err(error),
        _ => Ok(handed_on),
    }
}

/// Those of [`CONTROLLERS`] that a file of a group lists.
pub(super) fn controllers(group: &Path, file: &str) -> Vec<&'static str> {
    let text = fs::read_to_string(group.join(file)).unwrap_or_default();
    let has = |name: &&str| text.split_whitespace().any(|word| word == *name);
    CONTROLLERS.into_iter().filter(has).collect()
}

/// Why this user may not make groups in `group`, move processes to them and hand controllers on.
fn denied(group: &Path) -> Option<Errno> {
    ["", "cgroup.procs", "cgroup.subtree_control"]
        .into_iter()
        .find_map(|file| {
            let path = group.join(file);
            accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).err()
        })
}

/// The file of a group with a limit that a process would escape which left it. That of processes is carried along instead: systemd
/// sets one for every unit.
fn bounded_by(group: &Path) -> Option<&'static str> {
    [
        "memory.max",
        "memory.high",
        "memory.swap.max",
        "memory.zswap.max",
        "cpu.max",
        "cpuset.cpus",
        "cpuset.mems",
        "io.max",
    ]
    .into_iter()
    .find(|file| {
        let text = fs::read_to_string(group.join(file)).unwrap_or_default();
        !matches!(text.split_whitespace().next(), None | Some("max"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The groups of a program in a session of systemd, from the inside to the outside.
    fn session() -> Vec<Group> {
        let both = CONTROLLERS.to_vec();
        let group = |directory: &str, denied: Option<Errno>| Group {
            directory: directory.into(),
            offers: both.clone(),
            hands_on: both.clone(),
            denied,
            ..Group::default()
        };
        vec![
            Group {
                hands_on: Vec::new(),
                max_processes: Some(2347),
                ..group("/u/user@1.service/app.slice/term.scope", None)
            },
            group("/u/user@1.service/app.slice", None),
            Group {
                delegated: true,
                ..group("/u/user@1.service", None)
            },
            group("/u", Some(Errno::ACCESS)),
            group("/", Some(Errno::ACCESS)),
        ]
    }

    fn chosen(groups: &[Group]) -> (String, bool) {
        let place = choose(groups).expect("a place");
        (place.directory.display().to_string(), place.occupied)
    }

    #[test]
    fn beside_a_shell_the_nearest_group_of_the_user_is_taken() {
        let mut groups = session();
        let place = choose(&groups).unwrap();
        assert_eq!(
            place,
            Place {
                directory: "/u/user@1.service/app.slice".into(),
                controllers: vec!["memory", "pids"],
                occupied: false,
                max_processes: Some(2347),
            }
        );
        // One further out that hands more on is better.
        groups[1].hands_on = vec!["pids"];
        assert_eq!(chosen(&groups), ("/u/user@1.service".to_owned(), false));
        groups[2].hands_on = vec!["pids"];
        assert_eq!(choose(&groups).unwrap().controllers, ["pids"]);
        assert_eq!(
            chosen(&groups),
            ("/u/user@1.service/app.slice".to_owned(), false)
        );
    }

    #[test]
    fn a_delegated_group_is_taken_and_a_limit_never_left() {
        let scope = ("/u/user@1.service/app.slice/term.scope".to_owned(), true);
        for change in [
            |own: &mut Group| own.delegated = true,
            |own: &mut Group| own.bounded_by = Some("memory.max"),
        ] {
            let mut groups = session();
            change(&mut groups[0]);
            assert_eq!(chosen(&groups), scope);
        }
        // A limit in a group that cannot be changed keeps the builds in it.
        let mut groups = session();
        groups[0].bounded_by = Some("cpu.max");
        groups[0].denied = Some(Errno::ACCESS);
        assert_eq!(choose(&groups), None);
        // What bounds the place itself bounds the builds in it.
        let mut groups = session();
        groups[1].bounded_by = Some("cpu.max");
        assert_eq!(chosen(&groups).0, "/u/user@1.service/app.slice");
        groups[1].denied = Some(Errno::ACCESS);
        groups[0].denied = Some(Errno::ACCESS);
        assert_eq!(choose(&groups), None);
    }

    #[test]
    fn with_nothing_above_the_own_group_is_taken() {
        let root = Group {
            directory: "/".into(),
            offers: vec!["memory"],
            ..Group::default()
        };
        assert_eq!(
            chosen(std::slice::from_ref(&root)),
            ("/".to_owned(), true),
            "a container"
        );
        let real_root = Group {
            hands_on: vec!["memory"],
            ..root.clone()
        };
        assert_eq!(
            chosen(std::slice::from_ref(&real_root)),
            ("/".to_owned(), false)
        );
        for no_use in [
            Group {
                denied: Some(Errno::ROFS),
                ..real_root
            },
            Group {
                offers: Vec::new(),
                ..root.clone()
            },
            Group {
                has_hidden: true,
                ..root
            },
        ] {
            assert_eq!(choose(&[no_use]), None);
        }
    }

    /// What moved into the group for it finds the place again, and moves no deeper.
    #[test]
    fn the_group_of_moved_processes_is_not_taken() {
        let unit = Group {
            directory: "/unit".into(),
            offers: CONTROLLERS.to_vec(),
            hands_on: CONTROLLERS.to_vec(),
            ..Group::default()
        };
        let supervisor = Group {
            directory: Path::new("/unit").join(SUPERVISOR),
            hands_on: Vec::new(),
            delegated: true,
            ..unit.clone()
        };
        assert_eq!(
            chosen(&[supervisor.clone(), unit.clone()]),
            ("/unit".to_owned(), false)
        );
        // The one that moved was killed before it was done.
        let unfinished = Group {
            hands_on: Vec::new(),
            ..unit
        };
        assert_eq!(
            chosen(&[supervisor.clone(), unfinished]),
            ("/unit".to_owned(), true)
        );
        assert_eq!(choose(&[supervisor]), None);
    }

    /// Files of an ordinary file system stand in for the kernel's.
    #[test]
    fn a_group_is_read() {
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| fs::write(root.path().join(file), text).unwrap();
        assert_eq!(Group::read(root.path()).denied, Some(Errno::NOENT));
        write("cgroup.procs", "");
        write("cgroup.subtree_control", "cpu\n");
        write("cgroup.controllers", "cpu memory pids\n");
        write("cpu.max", "max 100000\n");
        write("cpuset.cpus", "\n");
        write("memory.max", "max\n");
        write("pids.max", "77\n");
        let expected = Group {
            directory: root.path().to_owned(),
            offers: vec!["memory", "pids"],
            max_processes: Some(77),
            ..Group::default()
        };
        assert_eq!(Group::read(root.path()), expected);
        write("cpu.max", "50000 100000\n");
        write("cgroup.procs", "10\n0\n");
        write("cgroup.subtree_control", "pids io\n");
        assert_eq!(
            Group::read(root.path()),
            Group {
                hands_on: vec!["pids"],
                bounded_by: Some("cpu.max"),
                has_hidden: true,
                ..expected
            }
        );
    }

    #[test]
    fn a_group_that_cannot_be_vacated_says_why() {
        let root = tempfile::tempdir().unwrap();
        let missing = vacate(&root.path().join("gone"), &["pids"]).unwrap_err();
        assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
        // A group in which nothing is hands its controllers on at once.
        fs::write(root.path().join("cgroup.procs"), "").unwrap();
        for _ in 0..2 {
            assert_eq!(vacate(root.path(), &["memory"]).unwrap(), ["memory"]);
        }
        let written = fs::read_to_string(root.path().join("cgroup.subtree_control")).unwrap();
        assert_eq!(written, "+memory");
        fs::remove_file(root.path().join("cgroup.subtree_control")).unwrap();
        fs::create_dir(root.path().join("cgroup.subtree_control")).unwrap();
        let refused = vacate(root.path(), &["memory", "pids"]).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EISDIR));
    }
}
