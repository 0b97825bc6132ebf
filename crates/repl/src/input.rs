//! Where lines come from.

use std::cell::RefCell;
use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcsetattr,
};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use crate::repl::{Repl, note};

/// What a user gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// A line.
    Line(String),
    /// Ctrl-C: what was typed is not wanted.
    Discard,
    /// The end.
    End,
}

/// Where lines come from.
pub enum Input {
    /// A terminal: with editing, history and completion.
    Terminal(Box<Terminal>),
    /// Anything else: line by line, with no prompt.
    Lines(io::StdinLock<'static>),
}

/// A terminal, and the file that keeps its history.
pub struct Terminal {
    editor: Editor<Completion, FileHistory>,
    history: Option<PathBuf>,
}

/// Runs what evaluates such that Ctrl-C stops it.
pub type Interruptible = Box<dyn Fn(&mut dyn FnMut())>;

/// Asks the conversation for completions.
struct Completion {
    repl: Rc<RefCell<Repl>>,
    interruptible: Interruptible,
}

/// As long as it lives, Ctrl-C is a signal, which it is not while a line is edited.
struct SignalKeys(Option<Termios>);

impl SignalKeys {
    fn new() -> Self {
        let Ok(mode) = tcgetattr(io::stdin()) else {
            return Self(None);
        };
        let mut with_signals = mode.clone();
        with_signals.local_modes |= LocalModes::ISIG;
        let is_set = tcsetattr(io::stdin(), OptionalActions::Now, &with_signals).is_ok();
        Self(is_set.then_some(mode))
    }
}

impl Drop for SignalKeys {
    fn drop(&mut self) {
        if let Some(mode) = &self.0 {
            // It was possible before.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, mode);
        }
    }
}

impl Input {
    /// The input of this process. The history is kept in `history`; `interruptible` runs what completion evaluates.
    ///
    /// # Errors
    ///
    /// If the terminal cannot be used.
    pub fn open(
        repl: &Rc<RefCell<Repl>>,
        history: Option<&Path>,
        interruptible: Interruptible,
    ) -> io::Result<Self> {
        if !io::stdin().is_terminal() {
            return Ok(Self::Lines(io::stdin().lock()));
        }
        let config = Config::builder()
            .max_history_size(10_000)
            .and_then(|config| config.history_ignore_dups(true))
            .map_err(io::Error::other)?
            .completion_type(CompletionType::List)
            .build();
        let mut editor = Editor::with_config(config).map_err(io::Error::other)?;
        editor.set_helper(Some(Completion {
            repl: Rc::clone(repl),
            interruptible,
        }));
        if let Some(history) = history {
            // The first time there is none.
            let _ = editor.load_history(history);
        }
        Ok(Self::Terminal(Box::new(Terminal {
            editor,
            history: history.map(Path::to_owned),
        })))
    }

    /// Whether a person is there.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    /// The next line; `continues` says that it goes on with what was given before.
    ///
    /// # Errors
    ///
    /// If reading fails.
    pub fn next(&mut self, continues: bool) -> io::Result<Given> {
        match self {
            Self::Lines(lines) => {
                let mut line = Vec::new();
                if lines.read_until(b'\n', &mut line)? == 0 {
                    return Ok(Given::End);
                }
                // A line that is no text fails by itself, if at all.
                let line = String::from_utf8_lossy(&line);
                Ok(Given::Line(line.trim_end_matches(['\r', '\n']).to_owned()))
            }
            Self::Terminal(terminal) => terminal.next(continues),
        }
    }
}

impl Terminal {
    fn next(&mut self, continues: bool) -> io::Result<Given> {
        let prompt = if continues { "      > " } else { "xbuild> " };
        match self.editor.readline(prompt) {
            Ok(line) => {
                if !line.trim().is_empty() {
                    // A history that cannot be kept is no reason to stop.
                    let _ = self.editor.add_history_entry(&line);
                    self.save();
                }
                Ok(Given::Line(line))
            }
            Err(ReadlineError::Interrupted) => Ok(Given::Discard),
            Err(ReadlineError::Eof) => Ok(Given::End),
            Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                // What was typed or pasted behind it belongs to the same line.
                let _ = tcflush(io::stdin(), QueueSelector::IFlush);
                note("error: this line is no text in UTF-8");
                Ok(Given::Discard)
            }
            Err(ReadlineError::Io(error)) => Err(error),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    fn save(&mut self) {
        if let Some(history) = &self.history {
            if let Some(parent) = history.parent() {
                let _ = std::fs::create_dir_all(parent);
            }
            let _ = self.editor.save_history(history);
        }
    }
}

impl Completer for Completion {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let mut found = (pos, Vec::new());
        if let Ok(mut repl) = self.repl.try_borrow_mut() {
            let _keys = SignalKeys::new();
            (self.interruptible)(&mut || found = repl.complete(&line[..pos]));
        }
        Ok(found)
    }
}

impl Hinter for Completion {
    type Hint = String;
}
impl Highlighter for Completion {}
impl Validator for Completion {}
impl Helper for Completion {}
