//! What happens during a run, as values. Each is a line of a recording and of `--log-format json`, in the form that
//! `docs/formats.md` describes.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use xbuild_store_model::StorePath;

use crate::fields;

/// Raised when the meaning of an event changes. New events and new fields leave it as it is.
pub const FORMAT: u32 = 1;

/// A step, numbered from 0 in the order in which a stream announces them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(pub u32);

impl StepId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// Runs a builder in the sandbox, or a builder that is part of xbuild.
    Build,
    /// Downloads a file (`builtin:fetchurl`).
    Fetch,
    /// Builds again and compares (`--rebuild`).
    Rebuild,
}

/// What limits how many steps run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pool {
    /// `max-jobs`.
    Build,
    /// `http-connections`.
    Fetch,
}

/// One of the places of a [`Pool`], in which one step runs at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slot {
    /// Which pool.
    pub pool: Pool,
    /// From 0. The lowest free one is taken.
    pub index: u32,
}

/// A step that is going to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    /// Its number.
    pub step: StepId,
    /// Its derivation.
    #[serde(with = "fields::path", rename = "drvPath")]
    pub drv: StorePath,
    /// What it does.
    pub kind: StepKind,
    /// The steps that must be done before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<StepId>,
    /// How long it took earlier, where that is known.
    #[serde(
        default,
        with = "fields::micros_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub expected: Option<Duration>,
}

/// What a builder used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Processor time in user mode, of all its processes.
    #[serde(with = "fields::micros")]
    pub user: Duration,
    /// Processor time in the kernel.
    #[serde(with = "fields::micros")]
    pub system: Duration,
    /// The most memory it used at one time, in bytes, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
}

/// How a step came to its outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// It ran.
    Made,
    /// They were there when it was its turn: another process made them, or they were made before for a derivation that resolves to the same.
    Present,
}

/// Why a step failed, as far as a program may want to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The builder ended with this code.
    Exit(i32),
    /// A fixed output has another hash.
    HashMismatch,
    /// Anything else.
    Other,
}

/// How important a message is; the numbers are Nix's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Something failed.
    Error = 0,
    /// Something may be wrong.
    Warning = 1,
    /// What nobody should miss.
    Notice = 2,
    /// What goes on.
    Info = 3,
    /// In more detail.
    Talkative = 4,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything that was wanted is valid.
    Success,
    /// Something failed.
    Failure,
    /// The user stopped it.
    Interrupted,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "event",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum Event<'a> {
    /// The stream begins. Always the first event.
    Begun {
        /// [`FORMAT`].
        format: u32,
        /// The version of xbuild.
        version: String,
        /// When, in milliseconds since 1970 UTC.
        unix_ms: u64,
        /// The command line.
        command: Vec<String>,
        /// How many builds may run at once.
        jobs: u32,
        /// How many processors one build may use.
        cores: u32,
    },
    /// A plan is made. There can be several in a stream: what an evaluation needs is built on its own.
    Planned {
        /// What is going to run; their numbers go on where the last plan's ended.
        steps: Vec<Planned>,
        /// Derivations that were looked at and need not run, because their outputs are valid. What only they need is not looked
        /// at.
        #[serde(default, with = "fields::paths", skip_serializing_if = "Vec::is_empty")]
        present: Vec<StorePath>,
    },
    /// A step waits because another process holds the lock of one of its outputs.
    Waiting {
        /// The step.
        step: StepId,
    },
    /// A step began.
    Started {
        /// The step.
        step: StepId,
        /// Where it runs.
        slot: Slot,
    },
    /// A builder says what it does (`@nix {"action":"setPhase", …}` in its log, as stdenv's builders print it).
    Phase {
        /// The step.
        step: StepId,
        /// Such as `buildPhase`.
        phase: String,
    },
    /// A builder printed a line.
    LogLine {
        /// The step.
        step: StepId,
        /// The line, without its line end; not necessarily UTF-8.
        #[serde(with = "fields::text")]
        line: Cow<'a, [u8]>,
    },
    /// Bytes of a download arrived.
    Downloaded {
        /// The step.
        step: StepId,
        /// Where from.
        url: Cow<'a, str>,
        /// Bytes so far.
        bytes: u64,
        /// All bytes, where the server told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
    },
    /// A builder ended well; its outputs are checked and registered next.
    Built {
        /// The step.
        step: StepId,
        /// What the builder used.
        #[serde(flatten)]
        usage: Usage,
    },
    /// A step ended well.
    Done {
        /// The step.
        step: StepId,
        /// How.
        how: How,
    },
    /// A step failed. The error itself is returned by the run as well.
    Failed {
        /// The step.
        step: StepId,
        /// Why, in a line.
        reason: String,
        /// Why, for programs.
        cause: Cause,
        /// The message for the user, several lines.
        message: String,
    },
    /// A step ended badly, and will be started once more.
    Retried {
        /// The step.
        step: StepId,
        /// What happened, for the user.
        message: String,
    },
    /// A running step was stopped, because another failed or the user wants to stop.
    Stopped {
        /// The step.
        step: StepId,
    },
    /// A step will not run.
    Skipped {
        /// The step.
        step: StepId,
        /// The step that failed and that it needs; none if the run ended before its turn came.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        because: Option<StepId>,
    },
    /// Something for the user.
    Message {
        /// How important it is.
        level: Level,
        /// The text.
        text: String,
    },
    /// A run of a plan ended.
    Ended {
        /// How.
        outcome: Outcome,
    },
    /// One that a later version added.
    #[serde(other)]
    Unknown,
}

/// An event and when it happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stamped<'a> {
    /// Since the stream began.
    #[serde(with = "fields::micros")]
    pub at: Duration,
    /// What happened.
    #[serde(flatten)]
    pub event: Event<'a>,
}

impl Stamped<'_> {
    /// As a line of JSON, without its line end.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Only maps with other keys than strings cannot be JSON.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script;

    #[test]
    fn as_json_and_back() {
        let mut printed = String::new();
        for (at, event) in script::run() {
            let stamped = Stamped { at, event };
            let line = stamped.to_json();
            assert_eq!(serde_json::from_str::<Stamped<'_>>(&line).unwrap(), stamped);
            printed += &line;
            printed.push('\n');
        }
        insta::assert_snapshot!(printed);
    }

    #[test]
    fn a_line_that_is_not_text() {
        let stamped = Stamped {
            at: Duration::from_millis(1),
            event: Event::LogLine {
                step: StepId(3),
                line: Cow::Borrowed(b"a\xff\x1b"),
            },
        };
        assert_eq!(
            stamped.to_json(),
            r#"{"at":1000,"event":"log-line","step":3,"line":"a�\u001b"}"#
        );
    }
}
