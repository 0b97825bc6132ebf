//! What a caller asks for ([`Spec`]) and what it is told afterwards ([`Report`]).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The uid every builder has inside, as in Nix's sandbox (`sandbox-build-uid`).
pub(crate) const INSIDE_UID: u32 = 1000;
/// The gid every builder has inside, as in Nix's sandbox (`sandbox-build-gid`).
pub(crate) const INSIDE_GID: u32 = 100;
/// The directory a build starts in, as seen inside (`sandbox-build-dir`).
pub(crate) const BUILD_DIR: &str = "/build";

/// One build, completely described. The environment is exactly [`Spec::env`]; nothing is added.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The program, as an absolute path inside the sandbox. `argv[0]` is its base name, as in Nix.
    pub builder: PathBuf,
    /// The arguments after `argv[0]`.
    pub args: Vec<OsString>,
    /// The whole environment, in this order.
    pub env: Vec<(OsString, OsString)>,
    /// The scratch directory of this build, an absolute physical path on the store's filesystem. Its `store`, `build` and
    /// `tmp` are `/nix/store`, `/build` and `/tmp` inside. It is made if it does not exist. Files for the build may be put into
    /// [`Spec::build_dir`] before; what an earlier build left in `store` is removed. See [`ScratchPool`](crate::ScratchPool), which makes
    /// builds faster, and [`remove_tree`](crate::remove_tree).
    pub work_dir: PathBuf,
    /// The input closure, each mounted read-only.
    pub inputs: Vec<Bind>,
    /// The logical paths (`/nix/store/…`) the builder is to create.
    pub outputs: Vec<PathBuf>,
    /// A physical directory whose `usr/` becomes `/usr`, with its top-level links `/bin`, `/sbin`, `/lib`, `/lib64`, and
    /// whose `etc/` entries appear in `/etc` unless the sandbox has an own file of that name. All read-only.
    pub fhs_root: Option<PathBuf>,
    /// More paths of the machine to show (`sandbox-paths` of `nix.conf`), with the rights they have outside.
    pub extra_binds: Vec<ExtraBind>,
    /// Whether the build uses the machine's network (fixed-output derivations). Then `/etc/resolv.conf`, `/etc/hosts` and
    /// `/etc/services` are copies of the machine's; else there is only a loopback interface of its own.
    pub network: bool,
    /// The host name inside.
    pub hostname: String,
    /// The longest time the build may take.
    pub timeout: Option<Duration>,
    /// The longest time without a byte of log.
    pub max_silent: Option<Duration>,
    /// The greatest log, in bytes. No byte beyond it is delivered.
    pub max_log: Option<u64>,
    /// The greatest number of processes and threads at once, where builds have control groups ([`probe_cgroups`](crate::probe_cgroups));
    /// none means the machine's limit.
    pub max_processes: Option<u64>,
    /// The same where they have not: then it is `RLIMIT_NPROC`, for which all running builds of a [`Sandbox`](crate::Sandbox) count
    /// together. At most what the caller itself may have.
    pub max_processes_together: Option<u64>,
    /// What runs the programs of the build, if they are for another processor.
    pub emulator: Option<Emulator>,
    /// Whether `uname` says a 32-bit machine (`i686-linux` on x86_64).
    pub linux32: bool,
    /// Whether the build may make user namespaces of its own, and mount in them, as far as the machine allows it.
    pub user_namespaces: bool,
    /// Whether addresses stay randomised. Off by default, as in Nix: some programs leak addresses into outputs.
    pub randomise_addresses: bool,
}

impl Spec {
    /// A build of `builder` in `work_dir` with nothing visible, no limits, no network and an empty environment.
    pub fn new(builder: impl Into<PathBuf>, work_dir: impl Into<PathBuf>) -> Spec {
        Spec {
            builder: builder.into(),
            args: Vec::new(),
            env: Vec::new(),
            work_dir: work_dir.into(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            fhs_root: None,
            extra_binds: Vec::new(),
            network: false,
            hostname: "localhost".to_owned(),
            timeout: None,
            max_silent: None,
            max_log: None,
            max_processes: None,
            max_processes_together: None,
            emulator: None,
            linux32: false,
            user_namespaces: false,
            randomise_addresses: false,
        }
    }

    /// The physical place of `/build`, the directory kept by `--keep-failed`.
    pub fn build_dir(&self) -> PathBuf {
        self.work_dir.join("build")
    }

    /// The physical place of a path below `/nix/store`, `/build` or `/tmp`; a builder can write nowhere else. An output
    /// there is a file, symlink or directory that can be renamed into the store. (Renaming a directory needs write permission
    /// on it, which a builder may have taken away.)
    pub fn physical(&self, inside: &Path) -> PathBuf {
        let relative = inside
            .strip_prefix("/nix")
            .or_else(|_| inside.strip_prefix("/"))
            .unwrap_or(inside);
        self.work_dir.join(relative)
    }
}

/// A program that runs those of another processor, as `qemu-user` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emulator {
    /// Its physical path. It must be statically linked, since it runs inside; the build does not see its file.
    pub program: PathBuf,
    /// The processor whose programs it runs.
    pub machine: Machine,
}

/// A processor that can be emulated, by its number in ELF files (`e_machine`). All are 64-bit and little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Machine {
    /// AArch64 (`EM_AARCH64`).
    Aarch64 = 183,
}

impl Machine {
    pub(crate) fn from_code(code: u16) -> Option<Machine> {
        [Machine::Aarch64]
            .into_iter()
            .find(|machine| *machine as u16 == code)
    }
}

/// One input: a physical path and where it is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// The physical path: a directory, regular file, or symlink (which is shown as the same symlink).
    pub source: PathBuf,
    /// The absolute path inside, `/nix/store/…`.
    pub target: PathBuf,
}

/// One element of `sandbox-paths` in `nix.conf`: `TARGET`, `TARGET=SOURCE`, either with `?` at the end if it may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraBind {
    /// The path on the machine.
    pub source: PathBuf,
    /// The absolute path inside.
    pub target: PathBuf,
    /// Whether a missing source is passed over.
    pub optional: bool,
}

/// Why a `sandbox-paths` element is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "sandbox path '{text}' is not valid: {reason}; write PATH or TARGET=SOURCE with absolute paths, and '?' at the end if it may be missing"
)]
pub struct ExtraBindError {
    /// The element as given.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl ExtraBind {
    /// Reads one element of `sandbox-paths` (nix.conf(5), "sandbox-paths").
    pub fn parse(text: &str) -> Result<ExtraBind, ExtraBindError> {
        let fail = |reason| {
            Err(ExtraBindError {
                text: text.to_owned(),
                reason,
            })
        };
        let (rest, optional) = match text.strip_suffix('?') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let (target, source) = rest.split_once('=').unwrap_or((rest, rest));
        if target.is_empty() || source.is_empty() {
            return fail("a path is empty");
        }
        if !target.starts_with('/') || !source.starts_with('/') {
            return fail("a path is not absolute");
        }
        if target.split('/').any(|part| part == "..") {
            return fail("the target contains '..'");
        }
        Ok(ExtraBind {
            source: source.into(),
            target: target.into(),
            optional,
        })
    }
}

/// How a build ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The builder ended by itself with this code (0 is success).
    Exited(i32),
    /// A signal ended the builder (9 is also the kernel's out-of-memory killer).
    Signalled(i32),
    /// It was killed because [`Spec::timeout`] passed.
    TimedOut,
    /// It was killed because it wrote nothing for [`Spec::max_silent`].
    Silent,
    /// It was killed because its log passed [`Spec::max_log`].
    LogLimit,
    /// It was killed, or not even started, because the [`CancelToken`](crate::CancelToken) was used.
    Cancelled,
}

impl Status {
    /// Whether the builder ended with code 0.
    pub fn is_success(self) -> bool {
        self == Status::Exited(0)
    }
}

/// What a build did and used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub status: Status,
    /// From the request to the end of its last process.
    pub wall: Duration,
    /// CPU time in user mode of all its processes.
    pub user: Duration,
    /// CPU time in the kernel of all its processes, its own set-up included.
    pub sys: Duration,
    /// The greatest resident set of one of its processes, in bytes. (The least that can be seen is the spawner's own, some MB.)
    pub max_rss: u64,
    /// The greatest memory of the whole build at one time, in bytes: what its control group counted (`memory.peak`, cgroup v2), page
    /// cache included; else [`Report::max_rss`], which is less when processes run side by side. None when nothing ran.
    pub peak_memory: Option<u64>,
    /// How many of its processes the kernel has killed for want of memory (`memory.events`, cgroup v2); the build is then killed as a
    /// whole. None where no control group counts.
    pub memory_kills: Option<u64>,
    /// The length of the log as written by the build, in bytes.
    pub log_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sandbox_paths_are_read_as_nix_reads_them() {
        let bind = |source: &str, target: &str, optional| ExtraBind {
            source: source.into(),
            target: target.into(),
            optional,
        };
        assert_eq!(
            ExtraBind::parse("/dev/kvm"),
            Ok(bind("/dev/kvm", "/dev/kvm", false))
        );
        assert_eq!(
            ExtraBind::parse("/dev/kvm?"),
            Ok(bind("/dev/kvm", "/dev/kvm", true))
        );
        assert_eq!(
            ExtraBind::parse("/bin/sh=/usr/bin/busybox?"),
            Ok(bind("/usr/bin/busybox", "/bin/sh", true))
        );
        for wrong in [
            "",
            "?",
            "bin/sh",
            "/bin/sh=",
            "=/bin/sh",
            "/bin/sh=busybox",
            "/a/../b",
        ] {
            let error = ExtraBind::parse(wrong).expect_err(wrong);
            assert_eq!(error.text, wrong);
        }
    }
}
