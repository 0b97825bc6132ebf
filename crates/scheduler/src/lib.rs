//! The build graph as a pure state machine: which step may start now, and what became of the others.
//!
//! A [`Graph`] holds steps and the edges between them. A [`Scheduler`] takes the graph and a [`Policy`]
//! and is then driven by its caller:
//!
//! ```
//! use std::num::NonZeroU32;
//! use xbuild_scheduler::{Graph, Outcome, Policy, Scheduler, StepSpec};
//!
//! let mut graph = Graph::new();
//! let library = graph.add_step(StepSpec::build(30_000));
//! let program = graph.add_step(StepSpec::build(5_000));
//! graph.add_edge(library, program);
//!
//! let mut scheduler = Scheduler::new(graph, Policy::new(NonZeroU32::MIN))?;
//! while let Some(step) = scheduler.next() {
//!     // ... run the step, on any thread; report when it has ended ...
//!     scheduler.finished(step, Outcome::Done)?;
//! }
//! assert!(scheduler.is_done() && scheduler.summary().is_success());
//! # Ok::<(), xbuild_scheduler::Error>(())
//! ```
//!
//! It is not an executor: it starts no process, reads no clock, has no thread and does no I/O, and it does not know what a
//! step is. Names, durations and results belong to the caller. The same calls in the same order always give
//! the same answers.
//!
//! # Invariants
//!
//! - The graph has no cycle: [`Scheduler::new`] and [`Scheduler::add_edge`] refuse one and say which steps form it.
//! - A step starts only when every step before it is [`State::Done`].
//! - No more builds run than [`Policy::max_jobs`], no more downloads than [`Policy::max_downloads`].
//! - What running builds use beyond one processor each is at most [`Policy::processors`].
//! - A build starts beside others only if the memory it is expected to need is there ([`Memory`]).
//! - A build that ran out of memory runs once more, and nothing beside it.
//! - The edges into a step are fixed from the moment it starts.
//! - A final state ([`State::is_final`]) never changes.
//! - When nothing runs and [`Scheduler::next`] answers `None`, every step is in a final state.

mod cycle;
mod forecast;
mod graph;
mod policy;
mod scheduler;
mod state;
mod summary;
mod tokens;

pub use cycle::Cycle;
pub use forecast::Forecast;
pub use graph::{Class, Graph, StepId, StepSpec};
pub use policy::{Memory, Policy};
pub use scheduler::{Error, PATIENCE, Scheduler};
pub use state::{Because, Counts, Outcome, State};
pub use summary::Summary;
pub use tokens::{IDLE_MS, Move, ROTATION_MS, SeatId, Tokens};
