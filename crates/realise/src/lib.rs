//! What "realise this" means: find out what is missing, run it in order, check what comes out, register it.
//!
//! A derivation goes one way: [`plan`] (is it valid? what must run first?) → the scheduler → `step` (lock, sandbox or
//! builtin) → `outputs` (fixed hash, canonical form, references, validation) → the store. No step reaches back.
//!
//! It is *not* how a thing is built (`xbuild-sandbox`), what an expression means (`xbuild-eval`), or what is shown to the
//! user: that is told to an [`Observer`].
//!
//! Invariants:
//! - An output is registered only after everything that the derivation demands of it was checked; all outputs of a
//!   derivation in one transaction, while the locks of their paths are held.
//! - What a plan found valid stays valid until the process ends: first a temporary root, then the question.
//! - A derivation whose contents do not belong to its path builds nothing.
//! - An option of a derivation is read from its environment and from structured attributes alike (`options`).
//! - A file that is fetched is read by nothing before its hash was found right.
//! - However a run ends, no process of it goes on, and nothing of it lies in the store unregistered.

mod addressing;
mod builtin;
pub mod compare;
mod derivation_writer;
mod emulator;
mod environment;
pub mod error;
pub mod estimate;
pub mod eval_host;
pub mod eval_settings;
pub mod event;
mod graphs;
pub mod input_settings;
mod jobserver;
mod kept;
mod log;
mod memory;
mod options;
mod output_checks;
pub mod output_paths;
mod outputs;
pub mod plan;
mod platform;
pub mod repair;
pub mod run;
pub mod settings;
mod step;
pub mod store_settings;
mod target;
pub mod terminal;

pub use error::{Error, FailureReason, Failures, Result, StepFailure};
pub use eval_host::StoreHost;
pub use eval_settings::EvalSettings;
pub use event::{Event, Observer, Silent, StepKind};
pub use input_settings::InputSettings;
pub use options::attribute;
pub use output_paths::OutputPaths;
pub use plan::{Plan, Wanted};
pub use platform::plan_for;
pub use repair::Repaired;
pub use run::{Mode, Realised, Realiser, forecast};
pub use settings::{SettingError, Settings};
pub use store_settings::StoreSettings;
