//! The log of one build: on disk as it comes, to the observer line by line, and its last lines for the error.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use xbuild_store_model::StorePath;

use crate::error::{Error, Result};
use crate::event::{Event, Observer};
use crate::terminal::{Colours, printable};

/// Bytes of a line that are shown; a longer one is cut for the observer, never on disk.
const LINE_LIMIT: usize = 4096;

/// Receives what a builder prints.
pub(crate) struct Log<'a> {
    drv: &'a StorePath,
    observer: &'a dyn Observer,
    path: PathBuf,
    /// Made with the first byte: a build that prints nothing has no log.
    file: Option<File>,
    /// A failure to write, kept until the end: the builder must not be held up by it.
    failed: Option<io::Error>,
    line: Vec<u8>,
    tail: VecDeque<String>,
    tail_limit: usize,
}

impl<'a> Log<'a> {
    /// A log that will be at `path`; removes the one of an earlier build.
    pub(crate) fn new(
        path: PathBuf,
        drv: &'a StorePath,
        observer: &'a dyn Observer,
        tail_limit: usize,
    ) -> Result<Self> {
        match fs::remove_file(&path) {
            Err(error)
                if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Err(Error::io("remove the old build log", path)(error));
            }
            _ => {}
        }
        Ok(Self {
            drv,
            observer,
            path,
            file: None,
            failed: None,
            line: Vec::new(),
            tail: VecDeque::new(),
            tail_limit,
        })
    }

    /// Bytes from the builder.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if self.failed.is_none()
            && let Err(error) = self.append(bytes)
        {
            self.failed = Some(error);
        }
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let (text, ends) = piece
                .strip_suffix(b"\n")
                .map_or((piece, false), |text| (text, true));
            let room = LINE_LIMIT.saturating_sub(self.line.len());
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                self.end_line();
            }
        }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(create(&self.path)?),
        };
        file.write_all(bytes)
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        // A progress display that rewrites its line: what counts is what stands there last.
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        let line = line.rsplit(|b| *b == b'\r').next().unwrap_or(line);
        self.observer.event(Event::LogLine {
            drv: self.drv,
            line,
        });
        if self.tail_limit > 0 {
            if self.tail.len() == self.tail_limit {
                self.tail.pop_front();
            }
            let line = printable(line, Colours::Drop);
            self.tail
                .push_back(String::from_utf8_lossy(&line).into_owned());
        }
    }

    /// Ends the log: its file, if there is one, and its last lines.
    pub(crate) fn finish(mut self) -> Result<(Option<PathBuf>, Vec<String>)> {
        if !self.line.is_empty() {
            self.end_line();
        }
        match self.failed {
            Some(error) => {
                // A part of a log is worth less than the room it takes on a full disk.
                let _ = fs::remove_file(&self.path);
                Err(Error::io("write the build log", self.path)(error))
            }
            None => Ok((self.file.is_some().then_some(self.path), self.tail.into())),
        }
    }
}

/// Opens a new log; the directories above it are made when they are missing.
fn create(path: &Path) -> io::Result<File> {
    match File::create(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if let Some(parent) = path.parent() {
                xbuild_store::create_dirs(parent).map_err(io::Error::other)?;
            }
            File::create(path)
        }
        // That of another user, in a store that several share.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            fs::remove_file(path)?;
            File::create(path)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::environment::tests::path;

    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    impl Observer for Lines {
        fn event(&self, event: Event<'_>) {
            if let Event::LogLine { line, .. } = event {
                self.0
                    .lock()
                    .unwrap()
                    .push(String::from_utf8_lossy(line).into_owned());
            }
        }
    }

    #[test]
    fn lines_are_told_once_they_are_whole_and_the_last_ones_kept() {
        let (dir, lines, drv) = (
            tempfile::tempdir().unwrap(),
            Lines::default(),
            path("x.drv"),
        );
        let file = dir.path().join("drvs/00/x.drv");
        let mut log = Log::new(file.clone(), &drv, &lines, 2).unwrap();
        let long = "y".repeat(LINE_LIMIT + 5);
        for piece in ["a", "b\nc\r\n10%\r100%\n", &long, "\n\n", "\x1b[2Jend"] {
            log.write(piece.as_bytes());
        }
        let (_, tail) = log.finish().unwrap();
        let told = lines.0.into_inner().unwrap();
        assert_eq!(
            told,
            ["ab", "c", "100%", &"y".repeat(LINE_LIMIT), "", "\x1b[2Jend"]
        );
        assert_eq!(tail, ["", "end"]);
        let written = fs::read_to_string(file).unwrap();
        assert_eq!(written, format!("ab\nc\r\n10%\r100%\n{long}\n\n\x1b[2Jend"));
    }

    #[test]
    fn a_full_disk_is_told_at_the_end() {
        let (dir, lines, drv) = (
            tempfile::tempdir().unwrap(),
            Lines::default(),
            path("x.drv"),
        );
        let file = dir.path().join("x.drv");
        let mut log = Log::new(file.clone(), &drv, &lines, 2).unwrap();
        std::os::unix::fs::symlink("/dev/full", &file).unwrap();
        log.write(b"a\n");
        log.write(b"b\n");
        assert_eq!(
            lines.0.lock().unwrap().len(),
            2,
            "the builder is not held up"
        );
        let message = log.finish().unwrap_err().to_string();
        assert!(
            message.starts_with("cannot write the build log"),
            "{message}"
        );
        assert!(message.contains("x.drv: No space left"), "{message}");
        assert!(
            fs::symlink_metadata(&file).is_err(),
            "nothing is left of it"
        );
    }

    #[test]
    fn silence_has_no_log_and_removes_the_old_one() {
        let (dir, lines, drv) = (
            tempfile::tempdir().unwrap(),
            Lines::default(),
            path("x.drv"),
        );
        let file = dir.path().join("drvs/00/x.drv");
        let mut log = Log::new(file.clone(), &drv, &lines, 2).unwrap();
        log.write(b"a\n");
        assert_eq!(log.finish().unwrap().0, Some(file.clone()));
        let log = Log::new(file.clone(), &drv, &lines, 2).unwrap();
        assert_eq!(log.finish().unwrap(), (None, Vec::new()));
        assert!(!file.exists());
    }
}
