//! The user's terminal in raw mode, given back as it was.

use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::error::{Error, Result};

/// How the terminal was, as long as it is raw. A process has one terminal.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// A raw terminal. Dropping it restores the terminal; so does [`restore`], for exits that drop nothing.
#[derive(Debug)]
pub struct Raw(());

impl Raw {
    /// Makes the terminal on standard input raw: every key goes to the guest, none becomes a signal. `None` if standard input is no
    /// terminal.
    ///
    /// # Errors
    /// A terminal that cannot be set.
    pub fn new() -> Result<Option<Self>> {
        let stdin = std::io::stdin();
        if !rustix::termios::isatty(stdin.as_fd()) {
            return Ok(None);
        }
        let before = tcgetattr(stdin.as_fd()).map_err(Error::system("read the terminal's mode"))?;
        let mut raw = before.clone();
        raw.make_raw();
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        let guard = Self(());
        tcsetattr(stdin.as_fd(), OptionalActions::Flush, &raw)
            .map_err(Error::system("set the terminal's mode"))?;
        Ok(Some(guard))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back, if it is raw.
pub fn restore() {
    if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // There is nothing else to be done, if that fails.
        let _ = tcsetattr(std::io::stdin().as_fd(), OptionalActions::Drain, &before);
    }
}
