//! The record of a test: every line of the console with its time, and what xbuild did.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use crate::console::Lines;
use crate::error::{Error, Result};

/// A transcript that is being written.
#[derive(Debug)]
pub struct Transcript<W: Write> {
    to: W,
    lines: Lines,
}

impl Transcript<BufWriter<File>> {
    /// Writes to the file `path`, in place of what an earlier test left there. Its directory is made.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        if let Some(parent) = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            std::fs::create_dir_all(parent).map_err(Error::file("make the directory", parent))?;
        }
        let file = File::create(path).map_err(Error::file("write", path))?;
        Ok(Self::new(BufWriter::new(file)))
    }
}

impl<W: Write> Transcript<W> {
    /// Writes to `to`.
    pub fn new(to: W) -> Self {
        Self {
            to,
            lines: Lines::default(),
        }
    }

    /// The console printed `bytes` at `now`.
    ///
    /// # Errors
    /// As writing.
    pub fn output(&mut self, now: Duration, bytes: &[u8]) -> io::Result<()> {
        for line in self.lines.feed(bytes) {
            self.line(now, &line)?;
        }
        Ok(())
    }

    /// xbuild did something.
    ///
    /// # Errors
    /// As writing.
    pub fn note(&mut self, now: Duration, text: &str) -> io::Result<()> {
        for line in text.lines() {
            self.line(now, &format!("-- {line}"))?;
        }
        Ok(())
    }

    /// The test is over.
    ///
    /// # Errors
    /// As writing.
    pub fn finish(&mut self, now: Duration) -> io::Result<()> {
        let rest = self.lines.partial();
        if !rest.is_empty() {
            self.line(now, &rest)?;
        }
        self.to.flush()
    }

    fn line(&mut self, now: Duration, line: &str) -> io::Result<()> {
        writeln!(self.to, "[{:8.2}] {}", now.as_secs_f64(), line.trim_end())
    }
}
