//! What the kernel lets an ordinary user do.

use std::fs;

use xbuild_sandbox::{Machine, Sandbox, probe, probe_emulation, registered_emulator};

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

/// Whether builds have control groups.
pub(crate) fn control_groups() -> Check {
    let name = "cgroups";
    let groups = Sandbox::start().map(|sandbox| sandbox.has_cgroups());
    match groups {
        Ok(Ok(())) => Check::ok(
            name,
            "each build has a control group, which bounds its processes and counts its memory",
        ),
        Ok(Err(why)) => Check::bad(
            name,
            State::Warning,
            format!(
                "builds have no control groups: {why}; processes are bounded for all builds together, and memory is measured by process"
            ),
            "run xbuild in a session of systemd with cgroup v2 (`systemd-run --user --scope xbuild …`); a service needs `Delegate=yes`",
        ),
        Err(_) => Check::bad(
            name,
            State::Warning,
            "not examined, since there are no sandboxes",
            "mend `sandbox` first",
        ),
    }
}

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
