//! The validator: is every file of an output genuine for its AArch64 target?
//!
//! It reads finished trees and says what is wrong with them; each finding names the file, the rule that it breaks and
//! the reason. It is *not* a linter of packaging style, and it knows nothing of board images.
//!
//! Invariants:
//! - Reads only below the given roots and inside the closure it is given; follows no link out of them.
//! - Foreign bytes never panic, and never make it allocate more than the file is long.
//! - The same tree gives the same report, in the same order.
//!
//! The parts, from bottom to top: [`target`] (what is right), [`rule`] (what can be wrong), `object` (one ELF file's
//! facts), `archive`, `script` and `executable` (one file of another kind), `link` (what the dynamic linker would do),
//! and [`check`] (a whole output).

mod archive;
pub mod check;
mod closure;
pub mod exception;
mod link;
mod object;
mod portable;
pub mod rule;
mod script;
pub mod target;

pub use check::{Report, Root, check};
pub use closure::Lookup;
pub use exception::Exceptions;
pub use rule::{Finding, Rule};
pub use target::Target;
