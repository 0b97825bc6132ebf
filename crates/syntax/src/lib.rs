//! The Nix language, from text to a syntax tree.
//!
//! [`parse()`] reads one text into an [`ast::Expr`] that lives in an arena; [`print::show`] prints it as
//! `nix-instantiate --parse` does; [`Sources`] and [`SyntaxError`] tell people where something is. The language is that
//! of Nix 2.34 (its manual, chapter "Nix Language"), with what the manual leaves out.
//!
//! This crate is not an evaluator: it does not resolve variables, read files or know values.
//!
//! Invariants:
//! - A text is accepted if and only if stock Nix accepts it as syntax, except that nesting ends at [`MAX_DEPTH`].
//! - No input makes the parser panic, overflow the stack, or take more than linear time and memory.
//! - No tree is higher than [`MAX_DEPTH`], and whoever walks one takes stack as it is needed.
//! - Within a set each static name is bound once; the tree is what remains after attribute paths are merged.

pub mod ast;
pub mod error;
mod indented;
mod lexer;
pub mod lint;
mod parser;
pub mod print;
pub mod source;
pub mod span;
pub mod symbol;

pub use error::{SyntaxError, SyntaxErrorKind, render_place};
pub use lint::{LintLevel, LintLevels, Lints};
pub use parser::{Features, MAX_DEPTH, parse};
pub use source::{Position, Sources};
