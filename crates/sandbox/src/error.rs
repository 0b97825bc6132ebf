//! Errors, written for users: what failed, on which path, why, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use crate::probe::Unavailable;
use crate::spec::ExtraBindError;
use crate::tree::TreeError;

/// A step of the set-up inside, named in [`SandboxError::Setup`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Step {
    /// Make the user namespace.
    UserNamespace,
    /// Write the uid and gid maps of the user namespace.
    IdMaps,
    /// Make the spawner's own mount namespace.
    SpawnerMounts,
    /// Clone the build's first process with its namespaces.
    Clone,
    /// Read the plan of the build.
    Plan,
    /// Tie the build's life to the spawner's.
    Lifeline,
    /// Make the scratch directory a mount of its own.
    MountRoot,
    /// Mount an input.
    MountInput,
    /// Mount `/usr` or an `/etc` entry of the FHS root.
    MountFhs,
    /// Mount one of `sandbox-paths`.
    MountExtra,
    /// Make the mounts read-only and private.
    ProtectMounts,
    /// Mount and fill `/dev`.
    MountDev,
    /// Mount `/proc`.
    MountProc,
    /// Protect the machine's settings in `/proc`.
    MaskProc,
    /// Make the scratch directory the root directory.
    PivotRoot,
    /// Bring the loopback interface up.
    Loopback,
    /// Set host and domain name.
    HostName,
    /// Become the build user and give up all capabilities.
    Privileges,
    /// Set limits, personality and standard streams.
    Limits,
    /// Enter `/build`.
    EnterBuildDir,
    /// Create the builder's process.
    StartBuilder,
    /// Install the system-call filter.
    Seccomp,
    /// Execute the builder.
    Execute,
    /// Mount `binfmt_misc` in a user namespace.
    MountEmulation,
    /// Register the emulator.
    RegisterEmulator,
    /// Separate the build from abstract unix sockets of others.
    Landlock,
}

impl Step {
    const ALL: [Step; 26] = [
        Step::UserNamespace,
        Step::IdMaps,
        Step::SpawnerMounts,
        Step::Clone,
        Step::Plan,
        Step::Lifeline,
        Step::MountRoot,
        Step::MountInput,
        Step::MountFhs,
        Step::MountExtra,
        Step::ProtectMounts,
        Step::MountDev,
        Step::MountProc,
        Step::MaskProc,
        Step::PivotRoot,
        Step::Loopback,
        Step::HostName,
        Step::Privileges,
        Step::Limits,
        Step::EnterBuildDir,
        Step::StartBuilder,
        Step::Seccomp,
        Step::Execute,
        Step::MountEmulation,
        Step::RegisterEmulator,
        Step::Landlock,
    ];

    pub(crate) fn from_code(code: u32) -> Option<Step> {
        Step::ALL.get(code as usize).copied()
    }

    /// What the step does, to stand after "could not".
    pub fn describe(self) -> &'static str {
        match self {
            Step::UserNamespace => "create a user namespace",
            Step::IdMaps => "write the user and group map of the user namespace",
            Step::SpawnerMounts => "create a mount namespace",
            Step::Clone => "create the namespaces of the build",
            Step::Plan => "read the plan of the build",
            Step::Lifeline => "tie the build to its parent",
            Step::MountRoot => "mount the scratch directory",
            Step::MountInput => "mount the input",
            Step::MountFhs => "mount from the FHS root",
            Step::MountExtra => "mount the sandbox path",
            Step::ProtectMounts => "make the inputs read-only",
            Step::MountDev => "set up /dev",
            Step::MountProc => "mount /proc",
            Step::MaskProc => "protect the machine's settings in /proc",
            Step::PivotRoot => "change the root directory",
            Step::Loopback => "bring the loopback interface up",
            Step::HostName => "set the host name",
            Step::Privileges => "give up privileges",
            Step::Limits => "set the limits and standard streams of the builder",
            Step::EnterBuildDir => "enter /build",
            Step::StartBuilder => "create the builder's process",
            Step::Seccomp => "install the system-call filter",
            Step::Execute => "execute the builder",
            Step::MountEmulation => "mount binfmt_misc in a user namespace",
            Step::RegisterEmulator => "register the emulator",
            Step::Landlock => "separate the build from abstract unix sockets of others",
        }
    }
}

/// Why the builder itself could not be executed; see [`SandboxError::Builder`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuilderProblem {
    /// It does not exist inside the sandbox.
    Missing,
    /// It exists and may not be executed, or is no regular file.
    NotExecutable,
    /// The interpreter in its `#!` line does not exist inside the sandbox.
    ScriptInterpreterMissing(PathBuf),
    /// The dynamic linker of this ELF program does not exist inside the sandbox.
    DynamicLinkerMissing(PathBuf),
    /// Its format is not one this machine executes.
    WrongFormat,
    /// Arguments and environment are larger than the kernel accepts.
    TooLong,
    /// Anything else the kernel said.
    Other(i32),
}

/// Why a build could not be run. A builder that ran and failed is a [`Report`](crate::Report), not an error.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The machine does not allow sandboxes.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The spec contradicts itself.
    #[error("the build cannot be sandboxed: {0}")]
    Spec(String),
    /// A sandbox path could not be read.
    #[error(transparent)]
    ExtraBind(#[from] ExtraBindError),
    /// An input that should be mounted is not there.
    #[error(
        "the input {target} is not at {source_path}: {error}; run `xbuild store verify` to see what the store lacks"
    )]
    Input {
        /// The physical path.
        source_path: PathBuf,
        /// The logical path.
        target: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The emulator of a build for another processor cannot be read.
    #[error("the emulator {} cannot be opened: {error}", path.display())]
    Emulator {
        /// Its physical path.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A sandbox path that is not optional is not there.
    #[error("the sandbox path {0} does not exist; correct `sandbox-paths`, or add '?' at its end to pass it over when missing", path.display())]
    ExtraBindMissing {
        /// The missing source.
        path: PathBuf,
    },
    /// The scratch directory could not be prepared.
    #[error("could not {action} {path}: {error}")]
    Prepare {
        /// What was to be done.
        action: &'static str,
        /// With which path.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A step of the set-up failed.
    #[error("the sandbox could not {}{}: {error}{}", step.describe(), on_path(path.as_deref()), hint(hint_text))]
    Setup {
        /// The step.
        step: Step,
        /// The path it worked on, if any.
        path: Option<PathBuf>,
        /// What the system said.
        error: io::Error,
        /// What to do, or empty.
        hint_text: String,
    },
    /// The builder could not be executed.
    #[error("{}", builder_text(builder, problem))]
    Builder {
        /// The builder as seen inside.
        builder: PathBuf,
        /// What is wrong with it.
        problem: BuilderProblem,
    },
    /// The spawner ended while the build ran, so the build was killed. Another attempt starts a new spawner.
    #[error(
        "the process that starts builds ended unexpectedly (was it killed?), and the running build with it; build again"
    )]
    SpawnerLost,
    /// A system call of the supervising side failed, mostly for lack of file descriptors or memory.
    #[error("could not {action}: {error}")]
    System {
        /// What was to be done.
        action: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// The files of a build could not be handed to the caller.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl SandboxError {
    pub(crate) fn system(action: &'static str) -> impl FnOnce(rustix::io::Errno) -> SandboxError {
        move |errno| SandboxError::System {
            action,
            error: errno.into(),
        }
    }
}

fn on_path(path: Option<&Path>) -> String {
    path.map(|path| format!(" {}", path.display()))
        .unwrap_or_default()
}

fn hint(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("; {text}")
    }
}

fn builder_text(builder: &Path, problem: &BuilderProblem) -> String {
    let builder = builder.display();
    let only_inputs = "builds see only their inputs";
    match problem {
        BuilderProblem::Missing => format!(
            "the builder {builder} does not exist in the sandbox: {only_inputs}; make it an input, set `sandboxRoot`, or use `--option sandbox-paths`"
        ),
        BuilderProblem::NotExecutable => {
            format!(
                "the builder {builder} is not executable: it must be a regular file with execute permission"
            )
        }
        BuilderProblem::ScriptInterpreterMissing(path) => format!(
            "the builder {builder} is a script for {0}, which does not exist in the sandbox: {only_inputs}; name an interpreter from an input in its first line, set `sandboxRoot`, or use `--option sandbox-paths`",
            path.display()
        ),
        BuilderProblem::DynamicLinkerMissing(path) => format!(
            "the builder {builder} needs the dynamic linker {0}, which does not exist in the sandbox: {only_inputs}; patch its interpreter to one in the store, set `sandboxRoot`, or use `--option sandbox-paths`",
            path.display()
        ),
        BuilderProblem::WrongFormat => format!(
            "the builder {builder} is not a program for this machine (it is neither a script with a '#!' line nor an executable of this architecture)"
        ),
        BuilderProblem::TooLong => format!(
            "the builder {builder} cannot be executed: its arguments and environment are larger than the kernel accepts (one variable may have 128 KiB, all together a quarter of the stack limit); use `passAsFile` for the large ones"
        ),
        BuilderProblem::Other(code) => {
            format!(
                "the builder {builder} cannot be executed: {}",
                io::Error::from_raw_os_error(*code)
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_keep_their_codes() {
        for (code, step) in Step::ALL.iter().enumerate() {
            assert_eq!(*step as u32 as usize, code);
        }
        assert_eq!(Step::from_code(u32::MAX), None);
    }
}
