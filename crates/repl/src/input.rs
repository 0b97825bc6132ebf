//! Where lines come from.

use std::cell::RefCell;
use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use crate::repl::Repl;

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

/// Asks the conversation for completions.
struct Completion(Rc<RefCell<Repl>>);

impl Input {
    /// The input of this process. The history is kept in `history`.
    ///
    /// # Errors
    ///
    /// If the terminal cannot be used.
    pub fn open(repl: &Rc<RefCell<Repl>>, history: Option<&Path>) -> io::Result<Self> {
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
        editor.set_helper(Some(Completion(Rc::clone(repl))));
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
        Ok(match self.0.try_borrow_mut() {
            Ok(mut repl) => repl.complete(&line[..pos]),
            Err(_) => (pos, Vec::new()),
        })
    }
}

impl Hinter for Completion {
    type Hint = String;
}
impl Highlighter for Completion {}
impl Validator for Completion {}
impl Helper for Completion {}
