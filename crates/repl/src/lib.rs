//! The interactive evaluator: reads lines, evaluates them in a growing scope, prints values.
//!
//! [`Repl`] is the conversation: text goes in, text comes out. [`input`] is where lines come from: a terminal with
//! editing, history and completion, or any other stdin. Commands, bindings and the form of values are those of `nix
//! repl` (Nix manual, "nix repl").
//!
//! It is not an evaluator (`xbuild-eval`), and builds nothing: what touches the store is asked of [`Actions`].
//!
//! # Invariants
//!
//! - Whatever a line does wrong, it changes nothing, and the next line is read.
//! - Results go to stdout, messages to stderr.

pub mod actions;
mod command;
mod complete;
mod documentation;
pub mod input;
mod repl;

pub use actions::Actions;
pub use repl::{After, Repl};
