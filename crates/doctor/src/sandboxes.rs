//! What the kernel lets an ordinary user do.

use std::fs;

use xbuild_sandbox::{
    CgroupPlace, Machine, NoCgroups, probe, probe_cgroups, probe_emulation, registered_emulator,
};

use crate::{Check, State};

/// Whether a sandbox can be made; if not, which setting forbids it.
pub(crate) fn sandbox() -> Check {
    match probe() {
        Ok(()) => Check::ok(
            "sandbox",
            "user, mount, PID, network, IPC and UTS namespaces can be made",
        ),
        Err(refused) => Check::bad(
            "sandbox",
            State::Error,
            format!(
                "xbuild cannot {}: {}",
                refused.step.describe(),
                refused.cause
            ),
            refused.remedy,
        ),
    }
}

/// Whether derivations for AArch64 can be built.
pub(crate) fn emulation(named: bool) -> Check {
    let name = "emulation";
    if cfg!(target_arch = "aarch64") {
        return Check::ok(name, "this machine is AArch64 itself");
    }
    match (probe_emulation(), registered_emulator(Machine::Aarch64)) {
        (Ok(()), _) => Check::ok(
            name,
            "builds may register an emulator of their own: derivations of aarch64-linux build here",
        ),
        (Err(_), Some(program)) => Check::ok(
            name,
            format!(
                "the machine runs AArch64 programs with {}",
                program.display()
            ),
        ),
        (Err(_), None) if named => Check::ok(name, "`extra-platforms` names aarch64-linux"),
        (Err(refused), None) => Check::bad(
            name,
            State::Warning,
            format!(
                "derivations of aarch64-linux cannot be built: {}",
                refused.cause
            ),
            refused.remedy,
        ),
    }
}

/// Whether builds have control groups, and with which controllers.
pub(crate) fn control_groups() -> Check {
    judge_control_groups(probe_cgroups())
}

fn judge_control_groups(found: Result<CgroupPlace, NoCgroups>) -> Check {
    let name = "cgroups";
    let place = match found {
        Ok(place) => place,
        Err(why) => {
            return Check::bad(
                name,
                State::Warning,
                format!("builds have no control groups: {why}; {UNBOUNDED}, and {UNCOUNTED}"),
                why.remedy,
            );
        }
    };
    let has = |controller| place.controllers.contains(&controller);
    let groups = format!(
        "each build has a control group in {} with {}",
        place.directory.display(),
        place
            .controllers
            .iter()
            .map(|controller| format!("`{controller}`"))
            .collect::<Vec<_>>()
            .join(" and ")
    );
    if place.missing.is_empty() {
        return Check::ok(
            name,
            format!("{groups}: its processes are bounded, its memory is counted"),
        );
    }
    let without = if has("pids") { UNCOUNTED } else { UNBOUNDED };
    let causes: Vec<&str> = place.missing.iter().map(|it| it.cause.as_str()).collect();
    let remedies: Vec<&str> = place.missing.iter().map(|it| it.remedy.as_str()).collect();
    Check::bad(
        name,
        State::Warning,
        format!("{groups} alone, since {}; {without}", causes.join(", and ")),
        remedies.join("; "),
    )
}

const UNBOUNDED: &str = "processes are bounded for all builds together";
const UNCOUNTED: &str = "memory is measured by process";

/// Whether the kernel has overlayfs.
pub(crate) fn overlay() -> Check {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if known.split_whitespace().any(|word| word == "overlay") {
        Check::ok("overlay", "the kernel has overlayfs")
    } else {
        Check::bad(
            "overlay",
            State::Warning,
            "the kernel has no overlayfs; xbuild needs none, but a build that is allowed namespaces of its own may",
            "run `sudo modprobe overlay` if such a build asks for it",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_groups_are_good_with_both_controllers() {
        let why = |name: &str| NoCgroups {
            cause: format!("no {name}"),
            remedy: format!("get {name}"),
        };
        let judge = |controllers: &[&'static str], missing: Vec<NoCgroups>| {
            judge_control_groups(Ok(CgroupPlace {
                directory: "/group".into(),
                controllers: controllers.to_vec(),
                missing,
            }))
        };
        let both = judge(&["memory", "pids"], Vec::new());
        assert_eq!((both.state, both.remedy), (State::Ok, None));
        assert!(
            both.found.contains("in /group with `memory` and `pids`"),
            "{}",
            both.found
        );
        let found = judge(&["pids"], vec![why("memory")]);
        assert_eq!(found.state, State::Warning);
        assert_eq!(found.remedy.as_deref(), Some("get memory"));
        assert!(
            found
                .found
                .contains("`pids` alone, since no memory; memory is measured"),
            "{}",
            found.found
        );
        let found = judge(&["memory"], vec![why("pids")]);
        assert!(
            found
                .found
                .contains("since no pids; processes are bounded for all"),
            "{}",
            found.found
        );
        let found = judge_control_groups(Err(why("group")));
        assert_eq!(
            (found.state, found.remedy.as_deref()),
            (State::Warning, Some("get group"))
        );
        assert!(
            found.found.contains("no control groups: no group"),
            "{}",
            found.found
        );
    }
}
