//! Evaluates many attributes of an expression at once, and tells of each derivation in a line of JSON.
//!
//! A [`supervisor`] hands attribute paths to worker processes over pipes; a [`worker`] evaluates one after the other in one
//! evaluator, so that what they share is evaluated once in each process. A set that is to be looked into comes back as
//! the paths of its attributes. The fields of a [`line::Job`] are those of nix-eval-jobs, so that its consumers
//! understand them.
//!
//! It is not an evaluator (`xbuild-eval`), does not start processes by itself (its caller knows how) and builds nothing.
//!
//! # Invariants
//!
//! - Every attribute that was found is told of exactly once: as a job, as an error, or by its own attributes.
//! - Whatever happens to a worker process (too much memory, a signal) is the error of one attribute, after that was tried
//!   alone in a fresh process; all others go on.
//! - Derivations are in the store before the line that names them is printed.

pub mod line;
pub mod memory;
pub mod message;
pub mod supervisor;
pub mod worker;
