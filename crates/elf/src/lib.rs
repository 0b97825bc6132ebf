//! The validator: is every file of an output genuine for its AArch64 target?
//!
//! It reads finished trees and says what is wrong with them; each finding names the file, the rule that it breaks and
//! the reason. It is *not* a linter of packaging style, and it does not look into file
//! systems and disk images: what is packed into one was an output before.
//!
//! Invariants:
//! - Reads only below the given roots and inside the closure it is given; follows no link out of them.
//! - Foreign bytes never panic, and never make it allocate more than the file is long.
//! - The same tree gives the same report, in the same order.
//!
//! The parts, from bottom to top: [`target`] (what is right), [`rule`] (what can be wrong), `object` (one ELF file's
//! facts), `archive`, `script`, `portable`, `pe`, `kernel` and `device_tree` (one file of another kind), `link` (what the
//! dynamic linker would do), and [`check`] (a whole output).

mod archive;
pub mod check;
mod closure;
mod device_tree;
pub mod exception;
mod kernel;
mod link;
mod object;
mod pe;
mod portable;
pub mod rule;
mod script;
pub mod target;

pub use check::{Report, Root, check};
pub use closure::Lookup;
pub use exception::Exceptions;
pub use rule::{Finding, Rule};
pub use target::Target;
