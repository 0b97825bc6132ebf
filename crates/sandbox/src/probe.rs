//! Whether this machine allows sandboxes, and if not, which setting is in the way and how to change it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::io::Errno;

use crate::cancel::CancelToken;
use crate::error::{SandboxError, Step};
use crate::layout;
use crate::plan::FLAG_PROBE;
use crate::sandbox::{Limits, Sandbox, With};
use crate::spec::{Emulator, Machine, Spec};

/// Sandboxes do not work on this machine as it is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    /// The step that failed.
    pub step: Step,
    /// The error number of the system call that failed.
    pub errno: i32,
    /// Which setting is in the way, as far as can be told.
    pub cause: String,
    /// What to do, with the exact command where there is one.
    pub remedy: String,
}

impl std::error::Error for Unavailable {}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = std::io::Error::from_raw_os_error(self.errno);
        write!(
            f,
            "this machine does not allow xbuild to {}: {error}\n  cause: {}\n  remedy: {}",
            self.step.describe(),
            self.cause,
            self.remedy
        )
    }
}

impl Unavailable {
    pub(crate) fn new(step: Step, errno: i32, facts: &Facts) -> Unavailable {
        let (cause, remedy) = explain(step, errno, facts).unwrap_or_else(|| {
            (
                "none of the settings known to forbid it is set that way".to_owned(),
                "run xbuild outside of containers, chroots and service sandboxes, or ask whoever set this one up to allow user namespaces and mounts".to_owned(),
            )
        });
        Unavailable {
            step,
            errno,
            cause,
            remedy,
        }
    }
}

/// Tries a whole sandbox, all but the builder, and explains a failure.
pub fn probe() -> Result<(), Unavailable> {
    try_sandbox(None)
}

/// Tries the same with an emulator: this very program, which nothing will run.
pub fn probe_emulation() -> Result<(), Unavailable> {
    try_sandbox(Some(&Emulator {
        program: "/proc/self/exe".into(),
        machine: Machine::Aarch64,
    }))
}

fn try_sandbox(emulator: Option<&Emulator>) -> Result<(), Unavailable> {
    let facts = Facts::gather();
    let blame =
        |step, errno: Option<i32>| Unavailable::new(step, errno.unwrap_or(libc::EIO), &facts);
    let scratch =
        tempfile::tempdir().map_err(|error| blame(Step::MountRoot, error.raw_os_error()))?;
    let attempt = || {
        let sandbox = Sandbox::start()?;
        let mut plan = layout::prepare(
            &Spec::new("/probe", scratch.path().join("root")),
            crate::identity::Identity::of_process(),
        )?;
        plan.flags |= FLAG_PROBE;
        let cancel = CancelToken::new().map_err(|error| SandboxError::System {
            action: "create an event",
            error,
        })?;
        sandbox.run_plan(
            &plan,
            With {
                emulator,
                cgroup: None,
            },
            Limits::default(),
            &cancel,
            &mut |_| {},
            Instant::now(),
        )
    };
    let result = attempt();
    // The probe's root directory is not writable, as every sandbox's.
    let _ = crate::tree::remove_tree(&scratch.path().join("root"));
    match result {
        Ok(_) => Ok(()),
        Err(SandboxError::Unavailable(unavailable)) => Err(unavailable),
        Err(SandboxError::Setup { step, error, .. }) => Err(blame(step, error.raw_os_error())),
        Err(SandboxError::Prepare { error, .. }) => {
            Err(blame(Step::MountRoot, error.raw_os_error()))
        }
        Err(SandboxError::System { error, .. }) => Err(blame(Step::Clone, error.raw_os_error())),
        Err(_) => Err(blame(Step::Clone, None)),
    }
}

/// What the machine says about itself that can forbid a sandbox.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// The namespaces of which `user.max_…_namespaces` allows none.
    exhausted: Vec<&'static str>,
    /// The namespaces this kernel was built without.
    missing: Vec<&'static str>,
    /// `kernel.unprivileged_userns_clone` is 0 (Debian's and Arch's kernels).
    clone_restricted: bool,
    /// `kernel.apparmor_restrict_unprivileged_userns` is 1 (Ubuntu 23.10 and later).
    apparmor_restricted: bool,
    /// This process has a seccomp filter, as in a container.
    filtered: bool,
    /// Something is mounted over parts of `/proc`, as in a container.
    proc_covered: bool,
    /// `/proc` is there.
    proc_mounted: bool,
    /// Major and minor version of the kernel.
    kernel: (u32, u32),
    root: bool,
    executable: PathBuf,
}

/// The names of `/proc/self/ns/…` and of `user.max_…_namespaces`.
const NAMESPACES: [(&str, &str); 6] = [
    ("user", "user"),
    ("mnt", "mnt"),
    ("pid", "pid"),
    ("net", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
];

impl Facts {
    pub(crate) fn gather() -> Facts {
        let text = |path: &str| fs::read_to_string(path).ok();
        let number = |path: &str| text(path).and_then(|text| text.trim().parse::<u64>().ok());
        let status = text("/proc/self/status").unwrap_or_default();
        let mounts = text("/proc/self/mountinfo").unwrap_or_default();
        let proc_mounted = Path::new("/proc/self/status").exists();
        let release = text("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut version = release
            .split(['.', '-'])
            .map(|part| part.trim().parse().unwrap_or(0));
        Facts {
            exhausted: NAMESPACES
                .iter()
                .filter(|(_, name)| {
                    number(&format!("/proc/sys/user/max_{name}_namespaces")) == Some(0)
                })
                .map(|(_, name)| *name)
                .collect(),
            missing: NAMESPACES
                .iter()
                .filter(|(name, _)| proc_mounted && !Path::new("/proc/self/ns").join(name).exists())
                .map(|(name, _)| *name)
                .collect(),
            clone_restricted: number("/proc/sys/kernel/unprivileged_userns_clone") == Some(0),
            apparmor_restricted: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
                == Some(1),
            filtered: status.lines().any(|line| {
                line.strip_prefix("Seccomp:")
                    .is_some_and(|value| value.trim() != "0")
            }),
            proc_covered: mounts.lines().any(|line| {
                line.split(' ').nth(4).is_some_and(|place| {
                    place.starts_with("/proc/") && !place.starts_with("/proc/sys/fs/binfmt_misc")
                })
            }),
            proc_mounted,
            kernel: (version.next().unwrap_or(0), version.next().unwrap_or(0)),
            root: rustix::process::geteuid().is_root(),
            executable: std::env::current_exe().unwrap_or_else(|_| "xbuild".into()),
        }
    }
}

/// The settings that can make `step` fail with `errno`, the likeliest first: the cause, and the remedy.
pub(crate) fn explain(step: Step, errno: i32, facts: &Facts) -> Option<(String, String)> {
    let answer = |cause: &str, remedy: String| Some((cause.to_owned(), remedy));
    let set = |name: &str, value: &str| {
        format!(
            "run `sudo sysctl -w {name}={value}`, and for the next boots `echo {name}={value} | sudo tee /etc/sysctl.d/60-xbuild.conf`"
        )
    };
    let makes_namespaces = matches!(
        step,
        Step::UserNamespace | Step::SpawnerMounts | Step::Clone
    );
    let errno = Errno::from_raw_os_error(errno);
    let denied = matches!(errno, Errno::PERM | Errno::ACCESS);
    if matches!(errno, Errno::MFILE | Errno::NFILE) {
        return answer(
            "the limit of open files is reached",
            "raise it (`ulimit -n 1024`) and try again".to_owned(),
        );
    }
    if makes_namespaces && errno == Errno::AGAIN {
        return answer(
            "as many processes run as are allowed",
            "end some, or raise the limit (`ulimit -u`, the control group's pids.max) and try again".to_owned(),
        );
    }
    if !facts.proc_mounted {
        return answer(
            "/proc is not mounted",
            "run `mount -t proc proc /proc` as root where xbuild runs".to_owned(),
        );
    }
    if makes_namespaces && let Some(name) = facts.missing.first() {
        let option = match *name {
            "user" => "CONFIG_USER_NS",
            "pid" => "CONFIG_PID_NS",
            "net" => "CONFIG_NET_NS",
            "ipc" => "CONFIG_IPC_NS",
            "uts" => "CONFIG_UTS_NS",
            _ => "CONFIG_NAMESPACES",
        };
        return answer(
            &format!("this kernel was built without {option}"),
            "boot a kernel that has it; those of the distributions do".to_owned(),
        );
    }
    if makes_namespaces && errno == Errno::NOSPC {
        return match facts.exhausted.first() {
            Some(name) => answer(
                &format!("the setting user.max_{name}_namespaces is 0"),
                set(&format!("user.max_{name}_namespaces"), "15000"),
            ),
            None => answer(
                "as many namespaces exist as the settings user.max_*_namespaces allow, or they are nested too deep",
                set("user.max_user_namespaces", "15000"),
            ),
        };
    }
    let system = matches!(errno, Errno::NOSYS | Errno::INVAL);
    if system && facts.kernel < (5, 12) && facts.kernel != (0, 0) {
        return answer(
            &format!("this kernel is Linux {}.{}; the sandbox needs 5.12", facts.kernel.0, facts.kernel.1),
            "boot a newer kernel (on Debian 11: `sudo apt-get install -t bullseye-backports linux-image-amd64`)".to_owned(),
        );
    }
    if step == Step::MountEmulation {
        let cause = match (facts.kernel < (6, 7), errno) {
            (true, _) => format!(
                "this kernel is Linux {}.{}; user namespaces have emulators of their own since 6.7",
                facts.kernel.0, facts.kernel.1
            ),
            (false, Errno::NODEV) => {
                "the kernel has no binfmt_misc (CONFIG_BINFMT_MISC), or its module is not loaded"
                    .to_owned()
            }
            (false, _) => {
                "the kernel does not let this user namespace mount binfmt_misc".to_owned()
            }
        };
        return answer(
            &cause,
            "run `sudo modprobe binfmt_misc` or boot a newer kernel, or register an emulator for the whole machine (`sudo apt-get install qemu-user-static`) and set `extra-platforms = aarch64-linux`".to_owned(),
        );
    }
    if step == Step::RegisterEmulator {
        return answer(
            "the emulator cannot be executed: it must be a statically linked program with execute permission, on a file system that is not mounted noexec",
            "correct the setting `emulators`, or move the store to such a file system".to_owned(),
        );
    }
    if !denied && errno != Errno::NOSYS {
        return None;
    }
    if makes_namespaces && facts.clone_restricted && !facts.root {
        return answer(
            "the setting kernel.unprivileged_userns_clone is 0",
            set("kernel.unprivileged_userns_clone", "1"),
        );
    }
    if facts.apparmor_restricted && !facts.root {
        let program = facts.executable.display();
        return answer(
            "the setting kernel.apparmor_restrict_unprivileged_userns is 1, and AppArmor has no profile that lets xbuild make user namespaces",
            format!(
                "allow xbuild alone with `printf 'abi <abi/4.0>,\\ninclude <tunables/global>\\nprofile xbuild {program} flags=(unconfined) {{\\n  userns,\\n}}\\n' | sudo tee /etc/apparmor.d/xbuild && sudo apparmor_parser -r /etc/apparmor.d/xbuild`, or all programs with `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`"
            ),
        );
    }
    if step == Step::MountProc && facts.proc_covered {
        return answer(
            "parts of /proc are covered, as containers do, and the kernel then refuses a new /proc",
            "start the container with `--security-opt systempaths=unconfined` (docker) or `--security-opt unmask=ALL` (podman)".to_owned(),
        );
    }
    if facts.filtered {
        return answer(
            "a system-call filter (seccomp) forbids it, as containers and service managers set one",
            "start the container with `--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined` (docker, podman), or the service without RestrictNamespaces= and SystemCallFilter=".to_owned(),
        );
    }
    if step == Step::UserNamespace && errno == Errno::PERM {
        return answer(
            "this process runs in a chroot, or a security module forbids user namespaces",
            "run xbuild outside of the chroot (or enter the tree with pivot_root, as containers do)".to_owned(),
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            proc_mounted: true,
            kernel: (6, 1),
            executable: "/usr/bin/xbuild".into(),
            ..Facts::default()
        }
    }

    #[test]
    fn each_setting_is_named_with_its_command() {
        let cases = [
            (
                Step::UserNamespace,
                libc::ENOSPC,
                Facts {
                    exhausted: vec!["user"],
                    ..facts()
                },
                "user.max_user_namespaces is 0",
                "sysctl -w user.max_user_namespaces=15000",
            ),
            (
                Step::Clone,
                libc::ENOSPC,
                Facts {
                    exhausted: vec!["net"],
                    ..facts()
                },
                "user.max_net_namespaces is 0",
                "sysctl -w user.max_net_namespaces=15000",
            ),
            (
                Step::UserNamespace,
                libc::EPERM,
                Facts {
                    clone_restricted: true,
                    ..facts()
                },
                "kernel.unprivileged_userns_clone is 0",
                "sysctl -w kernel.unprivileged_userns_clone=1",
            ),
            (
                Step::IdMaps,
                libc::EPERM,
                Facts {
                    apparmor_restricted: true,
                    ..facts()
                },
                "kernel.apparmor_restrict_unprivileged_userns is 1",
                "profile xbuild /usr/bin/xbuild flags=(unconfined)",
            ),
            (
                Step::MountProc,
                libc::EPERM,
                Facts {
                    proc_covered: true,
                    filtered: true,
                    ..facts()
                },
                "parts of /proc are covered",
                "systempaths=unconfined",
            ),
            (
                Step::UserNamespace,
                libc::EPERM,
                Facts {
                    filtered: true,
                    ..facts()
                },
                "seccomp",
                "seccomp=unconfined",
            ),
            (
                Step::UserNamespace,
                libc::EINVAL,
                Facts {
                    missing: vec!["user"],
                    ..facts()
                },
                "without CONFIG_USER_NS",
                "boot a kernel",
            ),
            (
                Step::ProtectMounts,
                libc::ENOSYS,
                Facts {
                    kernel: (5, 10),
                    ..facts()
                },
                "Linux 5.10",
                "newer kernel",
            ),
            (
                Step::UserNamespace,
                libc::EPERM,
                facts(),
                "chroot",
                "outside of the chroot",
            ),
            (
                Step::MountEmulation,
                libc::EPERM,
                facts(),
                "Linux 6.1; user namespaces have emulators of their own since 6.7",
                "extra-platforms = aarch64-linux",
            ),
            (
                Step::MountEmulation,
                libc::ENODEV,
                Facts {
                    kernel: (6, 18),
                    ..facts()
                },
                "CONFIG_BINFMT_MISC",
                "modprobe binfmt_misc",
            ),
            (
                Step::RegisterEmulator,
                libc::EACCES,
                facts(),
                "statically linked",
                "setting `emulators`",
            ),
            (
                Step::Clone,
                libc::EPERM,
                Facts::default(),
                "/proc is not mounted",
                "mount -t proc",
            ),
        ];
        for (step, errno, facts, cause, remedy) in cases {
            let found = Unavailable::new(step, errno, &facts);
            assert!(found.cause.contains(cause), "{found}");
            assert!(found.remedy.contains(remedy), "{found}");
            assert!(found.to_string().contains(step.describe()));
        }
    }

    #[test]
    fn an_unknown_reason_is_not_invented() {
        assert_eq!(explain(Step::MountInput, libc::ENOENT, &facts()), None);
        let found = Unavailable::new(Step::Clone, libc::ENOMEM, &facts());
        assert!(found.cause.contains("none of the settings"), "{found}");
    }
}
