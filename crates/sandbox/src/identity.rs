//! Under which ids of the machine builds run.

use std::fs;

use rustix::thread::{CapabilitySet, capabilities};

/// The host uid and gid of builds that root starts: the first of the range Nix uses for the same purpose (`start-id` of
/// `auto-allocate-uids`), which no account owns.
pub(crate) const ROOT_BUILD_ID: u32 = 872_415_232;

/// Who runs xbuild, and so who the builder is on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    /// An ordinary user (or root of a container, who may do little else): the builder runs as the caller.
    Caller { uid: u32, gid: u32 },
    /// Root of the machine: the builder runs as [`ROOT_BUILD_ID`], and its files are given to the caller at the end. Were it the
    /// caller, it could write to `/proc/sys`, where the kernel asks for uid 0 and no capability.
    Root { uid: u32, gid: u32 },
}

impl Identity {
    /// Looks at the ids, capabilities and user namespace of this process.
    pub(crate) fn of_process() -> Identity {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        let needed = CapabilitySet::SYS_ADMIN
            | CapabilitySet::SETUID
            | CapabilitySet::SETGID
            | CapabilitySet::CHOWN
            | CapabilitySet::DAC_OVERRIDE
            | CapabilitySet::FOWNER;
        let capable = capabilities(None).is_ok_and(|sets| sets.effective.contains(needed));
        let mapped = |file| fs::read_to_string(file).is_ok_and(|map| maps(&map, ROOT_BUILD_ID));
        if uid == 0 && capable && mapped("/proc/self/uid_map") && mapped("/proc/self/gid_map") {
            Identity::Root { uid, gid }
        } else {
            Identity::Caller { uid, gid }
        }
    }

    /// The uid and gid that the builder's files have on disk while it runs.
    pub(crate) fn build_ids(self) -> (u32, u32) {
        match self {
            Identity::Caller { uid, gid } => (uid, gid),
            Identity::Root { .. } => (ROOT_BUILD_ID, ROOT_BUILD_ID),
        }
    }

    /// Whether the builder's host uid is 0, which happens only for a root without the rights of root.
    pub(crate) fn builder_is_uid_0(self) -> bool {
        matches!(self, Identity::Caller { uid: 0, .. })
    }
}

/// Whether a map in the format of `/proc/PID/uid_map` (user_namespaces(7)) has a place for `id`.
fn maps(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u64>);
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(first)), Some(Ok(_)), Some(Ok(count))) => {
                (first..first.saturating_add(count)).contains(&u64::from(id))
            }
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_machine_has_the_build_id_and_a_container_has_not() {
        assert!(maps("         0          0 4294967295\n", ROOT_BUILD_ID));
        assert!(!maps("         0     100000      65536\n", ROOT_BUILD_ID));
        assert!(!maps("0 1000 1\n1 100000 65536\n", ROOT_BUILD_ID));
        assert!(!maps("", ROOT_BUILD_ID));
    }
}
