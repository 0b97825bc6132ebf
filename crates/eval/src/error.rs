//! What can go wrong in an evaluation.

use std::fmt;

use xbuild_syntax::{Sources, SyntaxError};

use crate::host::HostError;
use crate::position::Pos;

/// The result of an evaluation step.
pub type Result<T, E = EvalError> = std::result::Result<T, E>;

/// A failed evaluation. One word, so that results stay in registers.
///
/// Its `Display` is the bare message; [`crate::Evaluator::render`] adds places, source lines, the trace and suggestions.
pub struct EvalError(Box<ErrorData>);

/// What kind of failure it is, as far as programs can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// `throw`: `builtins.tryEval` catches it.
    Throw,
    /// A failed `assert`: `builtins.tryEval` catches it.
    Assertion,
    /// `abort`
    Abort,
    /// Too deep a recursion. It has no trace: that would be as long as the recursion is deep.
    StackOverflow,
    /// The user wanted it to end. It has no trace either.
    Interrupted,
    /// Anything else.
    Other,
}

/// The contents of an [`EvalError`].
#[derive(Debug)]
pub struct ErrorData {
    /// What kind it is.
    pub kind: ErrorKind,
    /// The message, without "error: ". Bytes from strings of the program are shown lossily.
    pub message: String,
    /// Where.
    pub pos: Pos,
    /// What was going on, innermost first.
    pub trace: Vec<TraceFrame>,
    /// Names that the user may have meant, best first.
    pub suggestions: Vec<String>,
    /// What the parser says, if that is where it comes from.
    pub syntax: Option<SyntaxError>,
    /// The exit code of a command that ends with it: 1, but for what was fetched or built and went wrong there.
    pub exit_code: u8,
}

/// One "while …" of a trace.
#[derive(Debug, Clone)]
pub struct TraceFrame {
    /// The text: "while evaluating …", "while calling …".
    pub text: String,
    /// Where.
    pub pos: Pos,
    /// When it is shown.
    pub shown: Shown,
}

/// The text of the frame that is the place of a call.
pub(crate) const CALL_SITE: &str = "from call site";

/// When a frame of a trace is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Only with `--show-trace`: calls.
    Full,
    /// Among the outermost few, otherwise with `--show-trace`.
    Short,
    /// Always: what `builtins.addErrorContext` adds, and the chain of derivations.
    Always,
}

impl EvalError {
    /// An ordinary error.
    #[cold]
    pub fn new(pos: Pos, message: impl Into<String>) -> Self {
        Self::with_kind(ErrorKind::Other, pos, message)
    }

    /// An error of a given kind.
    #[cold]
    pub fn with_kind(kind: ErrorKind, pos: Pos, message: impl Into<String>) -> Self {
        Self(Box::new(ErrorData {
            kind,
            message: message.into(),
            pos,
            trace: Vec::new(),
            suggestions: Vec::new(),
            syntax: None,
            exit_code: 1,
        }))
    }

    /// What the host could not do.
    #[cold]
    pub fn host(pos: Pos, error: &HostError) -> Self {
        let mut this = Self::new(pos, error.to_string());
        this.0.exit_code = error.exit_code();
        this
    }

    /// A text that is not of the language; the parser's error tells more places and what to do.
    #[cold]
    pub fn syntax(pos: Pos, error: SyntaxError, sources: &Sources) -> Self {
        let mut this = Self::new(pos, error.message(sources));
        this.0.syntax = Some(error);
        this
    }

    /// `throw`
    #[cold]
    pub fn throw(pos: Pos, message: impl Into<String>) -> Self {
        Self::with_kind(ErrorKind::Throw, pos, message)
    }

    /// `abort`
    #[cold]
    pub fn abort(pos: Pos, message: impl Into<String>) -> Self {
        Self::with_kind(ErrorKind::Abort, pos, message)
    }

    /// Adds what was going on. The place of the error itself is told once.
    #[cold]
    #[must_use]
    pub fn context(mut self, pos: Pos, text: impl Into<String>) -> Self {
        if self.0.trace.is_empty() && self.0.pos == pos {
            self.0.pos = Pos::NONE;
        }
        self.frame(pos, text.into(), Shown::Short)
    }

    /// Adds what was going on around; the error keeps its own place, even if that is the same.
    #[cold]
    #[must_use]
    pub fn around(self, pos: Pos, text: impl Into<String>) -> Self {
        self.frame(pos, text.into(), Shown::Short)
    }

    /// Adds that a builtin was called at `pos`.
    #[cold]
    #[inline(never)]
    #[must_use]
    pub(crate) fn in_builtin(self, pos: Pos, name: &str) -> Self {
        // It is there to add something else.
        if name == "addErrorContext" {
            return self;
        }
        self.frame(
            pos,
            format!("while calling the '{name}' builtin"),
            Shown::Short,
        )
    }

    /// Adds a call, to be shown with `--show-trace`.
    #[cold]
    #[must_use]
    pub fn context_call(self, pos: Pos, text: impl Into<String>) -> Self {
        self.frame(pos, text.into(), Shown::Full)
    }

    /// Adds what was going on, to be shown even without `--show-trace`.
    #[cold]
    #[must_use]
    pub fn context_always(self, pos: Pos, text: impl Into<String>) -> Self {
        self.frame(pos, text.into(), Shown::Always)
    }

    fn frame(mut self, pos: Pos, text: String, shown: Shown) -> Self {
        if !matches!(
            self.0.kind,
            ErrorKind::StackOverflow | ErrorKind::Interrupted
        ) {
            self.0.trace.push(TraceFrame { text, pos, shown });
        }
        self
    }

    /// Adds the names that may have been meant.
    #[cold]
    #[must_use]
    pub fn suggest(mut self, suggestions: Vec<String>) -> Self {
        self.0.suggestions = suggestions;
        self
    }

    /// Gives it a place if it has none.
    #[cold]
    #[must_use]
    pub fn at(mut self, pos: Pos) -> Self {
        if !self.0.pos.is_some() {
            self.0.pos = pos;
        }
        self
    }

    /// Whether `builtins.tryEval` catches it.
    #[must_use]
    pub fn is_catchable(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Throw | ErrorKind::Assertion)
    }

    /// All there is to know.
    #[must_use]
    pub fn data(&self) -> &ErrorData {
        &self.0
    }
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for EvalError {}

/// Adds context to the error of a result, at no cost where there is none.
pub trait ResultExt: Sized {
    /// Adds what was going on.
    #[must_use]
    fn context(self, pos: Pos, text: impl FnOnce() -> String) -> Self;
}

impl<T> ResultExt for Result<T> {
    #[inline]
    fn context(self, pos: Pos, text: impl FnOnce() -> String) -> Self {
        self.map_err(|error| error.context(pos, text()))
    }
}
