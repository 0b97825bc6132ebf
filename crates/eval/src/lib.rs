//! The Nix evaluator: syntax trees to values, builtins, `derivationStrict`.
//!
//! It is not a parser (`xbuild-syntax`), knows no store and no file system (it asks a [`host::Host`], and only reads ahead
//! what that calls plain), and builds nothing.
//!
//! # Shape
//!
//! A text is parsed into a syntax tree, which [`compile`] turns into [`code`]: variables become slots of frames, builtins
//! become constants. [`eval`] runs code on [`value::Value`]s, which live in the [`heap`].
//!
//! # Invariants
//!
//! - A value is one machine word; nothing is ever freed during an evaluation, so values are copied freely. Values never
//!   leave their thread.
//! - What [`Evaluator::force`] returns is never a thunk. What is inside of sets and lists may be.
//! - A thunk is evaluated once; if that fails it is as before, and fails again in the same way.
//! - Recursion is bounded by `max-call-depth` and by a check of the remaining stack: run evaluations within
//!   [`stack::with_big_stack`].
//! - `unsafe` is in [`heap`], and in [`allocator`], alone.

pub mod allocator;
pub mod attrs;
pub mod builtins;
pub mod code;
mod compile;
pub mod derivation;
pub mod entry;
pub mod error;
pub mod eval;
pub mod flakes;
pub mod globals;
pub mod heap;
pub mod host;
pub mod import;
pub mod json;
pub mod known;
mod literal;
pub mod local_host;
pub mod merge;
mod origin;
mod parse_ahead;
pub mod position;
pub mod print;
pub mod render;
pub mod scope;
pub mod settings;
pub mod show;
pub mod stack;
pub mod string;
pub mod suggest;
pub mod value;

pub use error::{EvalError, Result, ResultExt};
pub use eval::Evaluator;
pub use position::Pos;
pub use settings::Settings;
pub use value::{Value, ValueKind};
