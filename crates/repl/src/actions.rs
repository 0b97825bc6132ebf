//! What the conversation needs of the world beside the evaluator.

use std::path::{Path, PathBuf};

use xbuild_eval::{EvalError, Evaluator, Value};
use xbuild_store_model::StorePath;

/// What commands do outside of the evaluator. Errors are texts for the user.
pub trait Actions {
    /// Builds all outputs of a derivation; gives their names and paths. With `link`, each is kept from being collected by a
    /// link of that name and the output's.
    ///
    /// # Errors
    /// If the build fails.
    fn build(&self, drv: &StorePath, link: Option<&str>) -> Result<Vec<(String, String)>, String>;

    /// The log of the last build of a derivation.
    ///
    /// # Errors
    /// If there is none.
    fn log(&self, drv: &StorePath) -> Result<Vec<u8>, String>;

    /// Opens a file in the user's editor, at a line if that is not 0, and waits until it is closed.
    ///
    /// # Errors
    /// If that cannot be started, or fails.
    fn edit(&self, file: &Path, line: u32) -> Result<(), String>;

    /// The output `attribute` of the flake that `place` is; `None` if it is none.
    ///
    /// # Errors
    /// If it cannot be evaluated, or has no such output.
    fn output(
        &self,
        evaluator: &mut Evaluator,
        place: &str,
        attribute: &str,
    ) -> Result<Option<Value>, EvalError>;

    /// The flake that an argument of `:load-flake` means.
    ///
    /// # Errors
    /// If there is none, or it cannot be evaluated.
    fn flake(&self, evaluator: &mut Evaluator, reference: &str) -> Result<Value, EvalError>;

    /// The file that an argument of `:load` means (a path, `<name>`, a URL).
    ///
    /// # Errors
    /// If it is nowhere.
    fn find_file(&self, evaluator: &mut Evaluator, name: &str) -> Result<PathBuf, EvalError>;

    /// The value with the arguments of the command line, if it is a function that takes such.
    ///
    /// # Errors
    /// If calling it fails.
    fn auto_call(&self, evaluator: &mut Evaluator, value: Value) -> Result<Value, EvalError>;
}
