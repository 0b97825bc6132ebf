//! What a run tells whoever watches it: a terminal, a plain log, a test.

use std::time::Duration;

use xbuild_store_model::StorePath;

/// Something that happened during a run. Names are borrowed: an observer copies what it keeps.
#[derive(Debug)]
pub enum Event<'a> {
    /// The plan is made: so many steps of each kind.
    Planned {
        /// Derivations that run a builder.
        builds: usize,
        /// Derivations that fetch.
        fetches: usize,
    },
    /// A step began.
    Started {
        /// Its derivation.
        drv: &'a StorePath,
        /// What it does.
        kind: StepKind,
    },
    /// A step waits because another process holds the lock of one of its outputs.
    Waiting {
        /// Its derivation.
        drv: &'a StorePath,
    },
    /// A builder printed a line, without its line end.
    LogLine {
        /// The derivation that is being built.
        drv: &'a StorePath,
        /// The line, not necessarily UTF-8.
        line: &'a [u8],
    },
    /// Bytes of a download arrived.
    Downloaded {
        /// The derivation that fetches.
        drv: &'a StorePath,
        /// Bytes so far.
        bytes: u64,
        /// All bytes, where the server told.
        total: Option<u64>,
    },
    /// A step ended well.
    Finished {
        /// Its derivation.
        drv: &'a StorePath,
        /// What it did.
        kind: StepKind,
        /// Wall time.
        wall: Duration,
    },
    /// A step found that nothing was left to do: another process has built it, or it resolves to what was built before.
    AlreadyBuilt {
        /// Its derivation.
        drv: &'a StorePath,
        /// What it would have done.
        kind: StepKind,
    },
    /// A step failed. The error itself is returned by the run as well.
    Failed {
        /// Its derivation.
        drv: &'a StorePath,
        /// The message for the user.
        message: &'a str,
    },
    /// A step ended badly, and will be started once more.
    Retried {
        /// Its derivation.
        drv: &'a StorePath,
        /// What happened, for the user.
        message: &'a str,
    },
    /// Something a user should know that is no error.
    Warning {
        /// The message.
        message: &'a str,
    },
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// Runs a builder in the sandbox, or a builder that is part of xbuild.
    Build,
    /// Downloads a file (`builtin:fetchurl`).
    Fetch,
    /// Builds again and compares (`--rebuild`).
    Rebuild,
}

/// Receives events, from several threads at once.
pub trait Observer: Sync {
    /// Called for each event, in the order in which one step's events happen.
    fn event(&self, event: Event<'_>);
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _event: Event<'_>) {}
}
