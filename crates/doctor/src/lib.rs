//! Checks whether this machine can build: sandboxes, emulation, the store's disk and health, memory, mirrors.
//!
//! Each [`Check`] says what was found and, if that is not good, how to mend it. The crate **is not** what fails when something is
//! missing: every part of xbuild says by itself what it lacks; this says it before.
//!
//! # Invariants
//!
//! - Nothing of the machine is changed. What is tried, is tried in a directory for it, which is removed.
//! - A check that cannot be made is a warning that says why, and never a success.

mod machine;
mod sandboxes;
mod storage;

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use xbuild_fetch::Fetcher;

/// How good something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// Builds work, but something is missing or slower than it could be.
    Warning,
    /// Builds do not work.
    Error,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// A short name, which does not change: `sandbox`, `disk` …
    pub name: &'static str,
    /// How good it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// How to mend it; none where there is nothing to mend.
    pub remedy: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Check {
        Check {
            name,
            state: State::Ok,
            found: found.into(),
            remedy: None,
        }
    }

    fn bad(
        name: &'static str,
        state: State,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Check {
        Check {
            name,
            state,
            found: found.into(),
            remedy: Some(remedy.into()),
        }
    }
}

/// What the checks are about.
pub struct Subject<'a> {
    /// The directory of the store; it need not exist yet.
    pub store: PathBuf,
    /// How many builds run at once.
    pub max_jobs: usize,
    /// Whether `extra-platforms` names AArch64.
    pub runs_aarch64: bool,
    /// What downloads; none to leave the network alone.
    pub fetcher: Option<&'a Fetcher>,
    /// How long a mirror may take to answer.
    pub patience: Duration,
}

/// Makes all checks, in the order in which they are best mended.
#[must_use]
pub fn examine(subject: &Subject<'_>) -> Vec<Check> {
    let mut checks = vec![
        sandboxes::sandbox(),
        sandboxes::emulation(subject.runs_aarch64),
        sandboxes::control_groups(),
        sandboxes::overlay(),
        machine::memory(subject.max_jobs),
        machine::shared_memory(),
        machine::clock(),
    ];
    checks.extend(storage::disk(&subject.store));
    checks.push(storage::health(&subject.store));
    if let Some(fetcher) = subject.fetcher {
        checks.push(machine::mirror(fetcher, subject.patience));
    }
    checks
}
