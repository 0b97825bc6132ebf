//! What the evaluator asks of flakes. Locking and calling them is the business of a crate above.

use crate::Evaluator;
use crate::error::Result;
use crate::position::Pos;
use crate::value::Value;

/// Locks flakes and calls their outputs.
pub trait FlakeLoader {
    /// The value of a flake (`builtins.getFlake`).
    ///
    /// # Errors
    ///
    /// If the reference is malformed, or may not be used in pure evaluation; if the flake cannot be fetched, locked or evaluated.
    fn get_flake(&self, evaluator: &mut Evaluator, reference: &str, pos: Pos) -> Result<Value>;
}
