//! Why builds have no control groups or not all controllers, and how to mend it.

use std::fmt;
use std::fs;
use std::path::Path;

use rustix::io::Errno;

use super::hierarchy::Unseen;
use super::place::{CONTROLLERS, Group, controllers};

/// Why builds have no control groups of their own, or groups without some controller, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoCgroups {
    /// What was found.
    pub cause: String,
    /// What to do, with the exact command where there is one.
    pub remedy: String,
}

impl fmt::Display for NoCgroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

/// What the kernel says of controllers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kernel {
    /// Those of [`CONTROLLERS`] that the topmost visible group has.
    top: Vec<&'static str>,
    /// `/proc/cgroups`.
    table: String,
}

impl Kernel {
    pub(super) fn read(top: &Path) -> Kernel {
        Kernel {
            top: controllers(top, "cgroup.controllers"),
            table: fs::read_to_string("/proc/cgroups").unwrap_or_default(),
        }
    }

    /// Whether the controller is in a hierarchy of version 1, and whether the kernel has it enabled.
    fn state(&self, controller: &str) -> Option<(bool, bool)> {
        let mut columns = self
            .table
            .lines()
            .map(str::split_whitespace)
            .find_map(|mut line| (line.next() == Some(controller)).then_some(line))?;
        let in_version_1 = columns.next()? != "0";
        let enabled = columns.nth(1)? == "1";
        Some((in_version_1, enabled))
    }
}

const UNIFIED: &str =
    "boot with the kernel parameters `systemd.unified_cgroup_hierarchy=1 cgroup_no_v1=all`";

const SESSION: &str = "run it in a group of yours: `systemd-run --user --scope xbuild …`; a service needs `Delegate=yes` and `User=`";

pub(super) fn unseen(unseen: Unseen) -> NoCgroups {
    let (cause, remedy) = match unseen {
        Unseen::NotMounted => ("cgroup v2 is not mounted", UNIFIED),
        Unseen::Elsewhere => (
            "the control group of this process is not below the mounted one",
            "start the container with `--cgroupns=private` (docker, podman)",
        ),
    };
    NoCgroups {
        cause: cause.to_owned(),
        remedy: remedy.to_owned(),
    }
}

/// Why none of `groups`, the innermost first, is a place for those of builds.
pub(super) fn no_place(groups: &[Group], kernel: &Kernel) -> NoCgroups {
    let own = groups.first();
    let denied = own.and_then(|own| own.denied);
    if own.is_none_or(|own| own.offers.is_empty()) && denied != Some(Errno::ROFS) {
        let mut missing = missing(groups, &[], kernel);
        if let Some(found) = missing.pop() {
            return found;
        }
    }
    let blocked = groups.iter().find(|group| group.bounded_by.is_some());
    let hidden = groups.iter().find(|group| group.has_hidden);
    let place = |group: Option<&Group>| {
        group.map_or_else(String::new, |group| group.directory.display().to_string())
    };
    match (denied, blocked) {
        (None, _) if hidden.is_some() => NoCgroups {
            cause: format!(
                "the control group {} has processes that cannot be seen from here, and so cannot be divided",
                place(hidden)
            ),
            remedy: "start the container in a control group of its own".to_owned(),
        },
        (Some(Errno::ROFS), _) => NoCgroups {
            cause: format!("the control group {} is mounted read-only", place(own)),
            remedy: "start the container with its control groups writable: podman with `--security-opt unmask=/sys/fs/cgroup`, docker with `--privileged`".to_owned(),
        },
        (_, Some(group)) => NoCgroups {
            cause: format!(
                "the control group {} has a limit ({}) and does not belong to this user, who cannot divide it among builds",
                place(blocked),
                group.bounded_by.unwrap_or_default(),
            ),
            remedy: SESSION.to_owned(),
        },
        _ => NoCgroups {
            cause: format!(
                "no control group of this process, from {} to {}, belongs to this user",
                place(own),
                place(groups.last())
            ),
            remedy: SESSION.to_owned(),
        },
    }
}

/// Why builds do not have the controllers that are not in `found`, one reason for each.
pub(super) fn missing(groups: &[Group], found: &[&str], kernel: &Kernel) -> Vec<NoCgroups> {
    CONTROLLERS
        .into_iter()
        .filter(|controller| !found.contains(controller))
        .map(|controller| reason(groups, controller, kernel))
        .collect()
}

fn reason(groups: &[Group], controller: &str, kernel: &Kernel) -> NoCgroups {
    let has_it = |group: &&Group| group.offers.contains(&controller);
    let answer = |cause: String, remedy: String| NoCgroups { cause, remedy };
    if !kernel.top.contains(&controller) {
        return match kernel.state(controller) {
            Some((true, _)) => answer(
                format!("`{controller}` belongs to cgroup v1 here"),
                UNIFIED.to_owned(),
            ),
            Some((_, false)) => answer(
                format!("the kernel has `{controller}` disabled"),
                format!(
                    "boot with the kernel parameter `cgroup_enable={controller}`, without `cgroup_disable={controller}`"
                ),
            ),
            _ => answer(
                format!("the topmost control group has no `{controller}`"),
                format!("ask whoever set up this machine or container to hand `{controller}` on"),
            ),
        };
    }
    // The innermost group that has it does not hand it on.
    let holder = groups.iter().find(has_it).map(|group| &group.directory);
    let holder = holder.map_or_else(String::new, |directory| directory.display().to_string());
    answer(
        format!("the control group {holder} does not hand `{controller}` on"),
        "have systemd hand it on to users: `sudo mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\\nDelegate=cpu memory pids\\n' | sudo tee /etc/systemd/system/user@.service.d/delegate.conf && sudo systemctl daemon-reload`, then log in again; a service needs `Delegate=yes`".to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION_2: &str =
        "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t0\t60\t1\npids\t0\t60\t1\n";

    fn kernel(table: &str, top: &[&'static str]) -> Kernel {
        Kernel {
            top: top.to_vec(),
            table: table.to_owned(),
        }
    }

    fn group(directory: &str, offers: &[&'static str], denied: Option<Errno>) -> Group {
        Group {
            directory: directory.into(),
            offers: offers.to_vec(),
            denied,
            ..Group::default()
        }
    }

    #[test]
    fn each_cause_has_its_remedy() {
        let all = &CONTROLLERS[..];
        let root = || group("/sys/fs/cgroup", all, Some(Errno::ACCESS));
        let bounded = Group {
            bounded_by: Some("memory.max"),
            ..group("/s/x.service", all, Some(Errno::ACCESS))
        };
        let hidden = Group {
            has_hidden: true,
            ..group("/c", all, None)
        };
        let version_1 = VERSION_2.replace("\t0\t", "\t4\t");
        let disabled = VERSION_2.replace("\t1\n", "\t0\n");
        let cases = [
            (
                vec![group("/", &[], None)],
                kernel(&version_1, &[]),
                "belongs to cgroup v1",
                "unified_cgroup_hierarchy=1",
            ),
            (
                vec![group("/", &[], None)],
                kernel(&disabled, &[]),
                "has `pids` disabled",
                "cgroup_enable=pids",
            ),
            (
                vec![group("/", &[], None)],
                kernel(VERSION_2, &[]),
                "topmost control group has no",
                "hand `pids` on",
            ),
            (
                vec![
                    group("/s/user@1.service", &[], None),
                    group("/s", all, Some(Errno::ACCESS)),
                    root(),
                ],
                kernel(VERSION_2, all),
                "/s does not hand `pids` on",
                "Delegate=cpu memory pids",
            ),
            (
                vec![
                    group("/s/session-1.scope", all, Some(Errno::ACCESS)),
                    root(),
                ],
                kernel(VERSION_2, all),
                "from /s/session-1.scope to /sys/fs/cgroup",
                "systemd-run --user --scope",
            ),
            (
                vec![bounded, root()],
                kernel(VERSION_2, all),
                "/s/x.service has a limit (memory.max)",
                "Delegate=yes",
            ),
            (
                vec![hidden],
                kernel(VERSION_2, all),
                "/c has processes that cannot be seen",
                "a control group of its own",
            ),
            (
                vec![
                    group("/sys/fs/cgroup/xbuild-supervisor", &[], Some(Errno::ROFS)),
                    group("/sys/fs/cgroup", all, Some(Errno::ROFS)),
                ],
                kernel(VERSION_2, all),
                "read-only",
                "unmask=/sys/fs/cgroup",
            ),
            (
                vec![group("/sys/fs/cgroup", all, Some(Errno::ROFS))],
                kernel(VERSION_2, all),
                "read-only",
                "unmask=/sys/fs/cgroup",
            ),
        ];
        for (groups, kernel, cause, remedy) in cases {
            let found = no_place(&groups, &kernel);
            assert!(found.cause.contains(cause), "{found:?}");
            assert!(found.remedy.contains(remedy), "{found:?}");
        }
        assert!(unseen(Unseen::NotMounted).remedy.contains("unified"));
        assert!(unseen(Unseen::Elsewhere).remedy.contains("cgroupns"));
    }

    #[test]
    fn only_what_is_missing_is_explained() {
        let groups = [group("/a", &["pids"], None), group("/", &CONTROLLERS, None)];
        let kernel = kernel(VERSION_2, &CONTROLLERS);
        assert_eq!(missing(&groups, &CONTROLLERS, &kernel), []);
        let found = missing(&groups, &["pids"], &kernel);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].cause.contains("/ does not hand `memory` on"),
            "{found:?}"
        );
    }
}
