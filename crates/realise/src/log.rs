//! The log of one build: on disk as it comes, to the stream of events line by line, and its last lines for the error.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;
use xbuild_report::terminal::{Colours, printable};
use xbuild_report::{Event, Events, StepId};

use crate::error::{Error, Result};

/// Bytes of a line that are shown; a longer one is cut, but not on disk.
const LINE_LIMIT: usize = 4096;

/// Receives what a builder prints.
pub(crate) struct Log<'a> {
    step: StepId,
    events: &'a Events,
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
        step: StepId,
        events: &'a Events,
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
            step,
            events,
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
        let told = match Told::of(line) {
            Told::Phase(phase) => {
                let step = self.step;
                return self.events.tell(&Event::Phase { step, phase });
            }
            Told::Message(text) => Cow::Owned(text.into_bytes()),
            Told::Line => Cow::Borrowed(line),
        };
        self.events.tell(&Event::LogLine {
            step: self.step,
            line: Cow::Borrowed(&told),
        });
        if self.tail_limit > 0 {
            if self.tail.len() == self.tail_limit {
                self.tail.pop_front();
            }
            let line = printable(&told, Colours::Drop);
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

/// What a line of a log says.
enum Told {
    /// What the builder does now.
    Phase(String),
    /// A message that a program in the builder sends as Nix's own programs do.
    Message(String),
    /// Just what it is.
    Line,
}

impl Told {
    /// Builders talk to Nix in lines `@nix {"action": …}`: stdenv's tell their phases so.
    fn of(line: &[u8]) -> Self {
        let Some(json) = line.strip_prefix(b"@nix ") else {
            return Self::Line;
        };
        let Ok(said) = serde_json::from_slice::<Value>(json) else {
            return Self::Line;
        };
        let text = |key: &str| said[key].as_str().map(str::to_owned);
        let told = match said["action"].as_str() {
            Some("setPhase") => text("phase").map(Self::Phase),
            Some("msg") => text("msg").map(Self::Message),
            _ => None,
        };
        told.unwrap_or(Self::Line)
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
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    use xbuild_report::Observer;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    impl Observer for Lines {
        fn event(&self, _at: Duration, event: &Event<'_>) {
            let line = match event {
                Event::LogLine { line, .. } => String::from_utf8_lossy(line).into_owned(),
                other => format!("{other:?}"),
            };
            self.0.lock().unwrap().push(line);
        }
    }

    fn stream() -> (Lines, Events) {
        let lines = Lines::default();
        (
            lines.clone(),
            Events::new(Instant::now(), vec![Box::new(lines)]),
        )
    }

    #[test]
    fn lines_are_told_once_they_are_whole_and_the_last_ones_kept() {
        let (dir, (lines, events)) = (tempfile::tempdir().unwrap(), stream());
        let file = dir.path().join("drvs/00/x.drv");
        let mut log = Log::new(file.clone(), StepId(0), &events, 2).unwrap();
        let long = "y".repeat(LINE_LIMIT + 5);
        for piece in ["a", "b\nc\r\n10%\r100%\n", &long, "\n\n", "\x1b[2Jend"] {
            log.write(piece.as_bytes());
        }
        let (_, tail) = log.finish().unwrap();
        let told = lines.0.lock().unwrap();
        assert_eq!(
            *told,
            ["ab", "c", "100%", &"y".repeat(LINE_LIMIT), "", "\x1b[2Jend"]
        );
        assert_eq!(tail, ["", "end"]);
        let written = fs::read_to_string(file).unwrap();
        assert_eq!(written, format!("ab\nc\r\n10%\r100%\n{long}\n\n\x1b[2Jend"));
    }

    #[test]
    fn a_full_disk_is_told_at_the_end() {
        let (dir, (lines, events)) = (tempfile::tempdir().unwrap(), stream());
        let file = dir.path().join("x.drv");
        let mut log = Log::new(file.clone(), StepId(0), &events, 2).unwrap();
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
        let (dir, (_, events)) = (tempfile::tempdir().unwrap(), stream());
        let file = dir.path().join("drvs/00/x.drv");
        let mut log = Log::new(file.clone(), StepId(0), &events, 2).unwrap();
        log.write(b"a\n");
        assert_eq!(log.finish().unwrap().0, Some(file.clone()));
        let log = Log::new(file.clone(), StepId(0), &events, 2).unwrap();
        assert_eq!(log.finish().unwrap(), (None, Vec::new()));
        assert!(!file.exists());
    }

    #[test]
    fn what_builders_tell_as_nix_has_it_is_understood() {
        let (dir, (lines, events)) = (tempfile::tempdir().unwrap(), stream());
        let file = dir.path().join("x.drv");
        let mut log = Log::new(file.clone(), StepId(3), &events, 9).unwrap();
        let text = concat!(
            "@nix { \"action\": \"setPhase\", \"phase\": \"buildPhase\" }\n",
            "@nix {\"action\":\"msg\",\"level\":1,\"msg\":\"be careful\"}\n",
            "@nix {\"action\":\"setPhase\",\"phase\":7}\n",
            "@nix no JSON\n",
        );
        log.write(text.as_bytes());
        let (_, tail) = log.finish().unwrap();
        let rest = [
            "be careful",
            "@nix {\"action\":\"setPhase\",\"phase\":7}",
            "@nix no JSON",
        ];
        assert_eq!(tail, rest);
        let told = lines.0.lock().unwrap();
        assert_eq!(told[0], "Phase { step: StepId(3), phase: \"buildPhase\" }");
        assert_eq!(told[1..], rest);
        assert_eq!(fs::read_to_string(file).unwrap(), text);
    }
}
