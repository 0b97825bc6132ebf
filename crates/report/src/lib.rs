//! What happens during a run: one typed stream of events, its recordings, and everything that is made of them.
//!
//! Whoever runs steps tells [`Events`]; observers turn them into lines ([`Plain`], [`InternalJson`], [`Stamped::to_json`]), a display
//! ([`Status`]) and a recording ([`recording`]). A [`Run`] is what a stream says in sum, and reports are functions of it: [`timeline`],
//! [`html`], [`text`], [`summary`].
//!
//! It is *not* what runs (`xbuild-realise`) nor a terminal (the command line): nothing here prints, and the only files are recordings.
//!
//! Invariants:
//! - Reports are functions of the recording: the same bytes for the same run, wherever they are made.
//! - A stream that makes no sense leads to a strange report, never to a panic: recordings are foreign bytes.
//! - A report has no text of a build in a place where it could mean something else (markup, a control sequence).

pub mod estimate;
pub mod event;
mod fields;
pub mod figures;
pub mod html;
pub mod internal_json;
pub mod plain;
pub mod recording;
pub mod run;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]
mod script;
pub mod status;
pub mod stream;
pub mod summary;
pub mod terminal;
pub mod text;
pub mod timeline;
pub mod words;

pub use event::{
    Cause, Event, How, Level, Outcome, Planned, Pool, Slot, Stamped, StepId, StepKind, Usage,
};
pub use figures::Figures;
pub use internal_json::InternalJson;
pub use plain::{Choice, Plain};
pub use recording::{History, ReadError, Recorder};
pub use run::{Attempt, Run, Step, StepState};
pub use status::Status;
pub use stream::{Events, Observer};
