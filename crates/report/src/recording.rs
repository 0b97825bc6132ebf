//! Recordings: the events of a run in a file, without logs (those have files of their own), as lines of JSON in zstd frames.
//!
//! A frame ends with each plan that was run, and what is written is flushed soon: whoever is killed leaves what happened until then.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::event::{Event, Stamped, StepId};
use crate::run::Run;
use crate::stream::Observer;
use crate::words::calendar;

/// How many recordings a directory keeps.
pub const KEEP: usize = 100;
/// How a recording's name ends.
const SUFFIX: &str = ".jsonl.zst";
/// Speed before size: a recording is small.
const COMPRESSION: i32 = 3;
/// What comes faster is flushed together.
const FLUSH_INTERVAL: Duration = Duration::from_millis(200);
/// The longest line that is read: a plan of some hundred thousand steps.
const LINE_LIMIT: u64 = 256 << 20;

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system said no.
    #[error("cannot read the recording {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no recording, or a damaged one.
    #[error("{} is no recording of a run: line {line}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// There is no such recording.
    #[error(
        "there is no recording called `{name}`; `xbuild report --list` shows those that are there"
    )]
    Missing {
        /// What was asked for.
        name: String,
    },
    /// More than one begins like that.
    #[error("`{name}` can be {}", candidates.join(" or "))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// Names.
        candidates: Vec<String>,
    },
    /// There are none at all.
    #[error("no run is recorded in {}: nothing was built in this store yet", dir.display())]
    Empty {
        /// The directory.
        dir: PathBuf,
    },
}

/// The recordings in a directory.
#[derive(Debug, Clone)]
pub struct History {
    dir: PathBuf,
}

impl History {
    /// The recordings in `dir`, which need not exist.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Their names, the newest first.
    ///
    /// # Errors
    /// The directory is there and cannot be read.
    pub fn names(&self) -> Result<Vec<String>, ReadError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => {
                return Err(ReadError::Io {
                    path: self.dir.clone(),
                    source,
                });
            }
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                name.strip_suffix(SUFFIX).map(str::to_owned)
            })
            .collect();
        names.sort_unstable_by(|a, b| b.cmp(a));
        Ok(names)
    }

    /// Where the recording `name` is.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}{SUFFIX}"))
    }

    /// The recording that `name`, or the beginning of its name, means; the newest one if none is given.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn find(&self, name: Option<&str>) -> Result<String, ReadError> {
        let names = self.names()?;
        let Some(name) = name else {
            return names.into_iter().next().ok_or_else(|| ReadError::Empty {
                dir: self.dir.clone(),
            });
        };
        if names.iter().any(|known| known == name) {
            return Ok(name.to_owned());
        }
        let mut candidates: Vec<String> = names
            .into_iter()
            .filter(|known| known.starts_with(name))
            .collect();
        match candidates.len() {
            1 => Ok(candidates.remove(0)),
            0 => Err(ReadError::Missing {
                name: name.to_owned(),
            }),
            _ => Err(ReadError::Ambiguous {
                name: name.to_owned(),
                candidates,
            }),
        }
    }

    /// Removes the oldest ones beyond [`KEEP`].
    fn prune(&self) {
        // Another process may do so at the same time.
        for name in self.names().unwrap_or_default().iter().skip(KEEP) {
            let _ = fs::remove_file(self.path(name));
        }
    }
}

/// Reads a recording. One that ends in the middle, because whoever wrote it was killed or still runs, is read as far as it goes.
///
/// # Errors
/// It cannot be read, or is none.
pub fn read(path: &Path) -> Result<Run, ReadError> {
    let io = |source| ReadError::Io {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(io)?;
    let decoder = zstd::Decoder::new(file).map_err(io)?;
    let mut lines = BufReader::new(decoder);
    let mut run = Run::default();
    for number in 1.. {
        let malformed = |reason: String| ReadError::Malformed {
            path: path.to_owned(),
            line: number,
            reason,
        };
        let mut line = Vec::new();
        match (&mut lines).take(LINE_LIMIT).read_until(b'\n', &mut line) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && number > 1 => break,
            Err(error) => return Err(malformed(error.to_string())),
        }
        if line.last() != Some(&b'\n') {
            // The end, or a line that was not written to its end.
            if number == 1 {
                return Err(malformed("it has no line".to_owned()));
            }
            break;
        }
        let stamped: Stamped<'static> =
            serde_json::from_slice(&line).map_err(|error| malformed(error.to_string()))?;
        if number == 1 && !Run::understands(&stamped.event) {
            return Err(malformed(
                "it does not begin as one of this version does".to_owned(),
            ));
        }
        run.apply(stamped.at, &stamped.event);
    }
    Ok(run)
}

/// Writes a recording, from the first plan on that has something to do.
pub struct Recorder {
    history: History,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Lines that come before the file is made.
    early: Vec<String>,
    file: Output,
    /// When it was last flushed, and whether something was written since.
    flushed: Duration,
    is_dirty: bool,
    /// The last news of each download, which is enough.
    downloads: HashMap<StepId, String>,
    problem: Option<String>,
    /// Where the recording is.
    path: Option<PathBuf>,
}

impl State {
    /// Flushes what was written, if that is due.
    fn flush(&mut self, at: Duration) -> io::Result<()> {
        if let Output::Frame(frame) = &mut self.file
            && self.is_dirty
            && (self.flushed.is_zero() || at.saturating_sub(self.flushed) >= FLUSH_INTERVAL)
        {
            frame.flush()?;
            (self.flushed, self.is_dirty) = (at, false);
        }
        Ok(())
    }
}

#[derive(Default)]
enum Output {
    #[default]
    None,
    /// Between two frames.
    File(File),
    Frame(zstd::Encoder<'static, File>),
}

impl Recorder {
    /// A recorder that makes its file in `dir`.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self {
            history: History::new(dir),
            state: Mutex::default(),
        }
    }

    /// Why there is no recording, or only a part of one. It is no reason for a run to fail.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .problem
            .take()
    }

    /// Where the recording is, if something was worth one.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .path
            .clone()
    }

    fn create(&self, unix_ms: u64) -> io::Result<(File, PathBuf)> {
        fs::create_dir_all(&self.history.dir)?;
        self.history.prune();
        let (year, month, day, second) = calendar(unix_ms);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let base = format!(
            "{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}-{}",
            std::process::id()
        );
        for number in 1u32.. {
            let name = match number {
                1 => base.clone(),
                _ => format!("{base}-{number}"),
            };
            let path = self.history.path(&name);
            match File::create_new(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return Ok((made?, path)),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn write(
        &self,
        state: &mut State,
        at: Duration,
        event: &Event<'_>,
        line: String,
    ) -> io::Result<()> {
        let mut frame = match std::mem::take(&mut state.file) {
            Output::Frame(frame) => frame,
            Output::File(file) => zstd::Encoder::new(file, COMPRESSION)?,
            Output::None => {
                let begins = matches!(event, Event::Planned { steps, .. } if !steps.is_empty());
                if !begins {
                    state.early.push(line);
                    return Ok(());
                }
                let unix_ms = std::time::SystemTime::now()
                    .duration_since(std::time::UNIX_EPOCH)
                    .unwrap_or_default()
                    .as_millis();
                let (file, path) = self.create(u64::try_from(unix_ms).unwrap_or(u64::MAX))?;
                state.path = Some(path);
                let mut frame = zstd::Encoder::new(file, COMPRESSION)?;
                for line in state.early.drain(..) {
                    writeln!(frame, "{line}")?;
                }
                frame
            }
        };
        if let Event::Done { step, .. } | Event::Failed { step, .. } | Event::Stopped { step } =
            event
            && let Some(line) = state.downloads.remove(step)
        {
            writeln!(frame, "{line}")?;
        }
        writeln!(frame, "{line}")?;
        if matches!(event, Event::Ended { .. }) {
            state.file = Output::File(frame.finish()?);
            return Ok(());
        }
        state.file = Output::Frame(frame);
        state.is_dirty = true;
        if matches!(event, Event::Planned { .. }) {
            state.flushed = Duration::ZERO;
        }
        state.flush(at)
    }
}

impl Observer for Recorder {
    fn event(&self, at: Duration, event: &Event<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.problem.is_some() {
            return;
        }
        let line = || {
            let event = event.clone();
            Stamped { at, event }.to_json()
        };
        let written = match event {
            // What is not recorded tells that time goes on.
            Event::LogLine { .. } => state.flush(at),
            Event::Downloaded { step, .. } => {
                state.downloads.insert(*step, line());
                state.flush(at)
            }
            _ => self.write(&mut state, at, event, line()),
        };
        if let Err(error) = written {
            state.problem = Some(format!(
                "this run is not recorded in {}: {error}",
                self.history.dir.display()
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script;

    fn record(dir: &Path) -> PathBuf {
        let recorder = Recorder::new(dir.to_owned());
        for (at, event) in script::run() {
            recorder.event(at, &event);
        }
        assert_eq!(recorder.problem(), None);
        let history = History::new(dir.to_owned());
        history.path(&history.find(None).unwrap())
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let read = read(&record(&dir.path().join("runs"))).unwrap();
        let mut told = Run::default();
        for (at, event) in script::run() {
            told.apply(at, &event);
        }
        assert_eq!(format!("{read:#?}"), format!("{told:#?}"));
    }

    #[test]
    fn what_a_killed_process_leaves_is_read_as_far_as_it_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = record(dir.path());
        let whole = fs::read(&path).unwrap();
        let steps = read(&path).unwrap().steps.len();
        for length in [whole.len() - 1, whole.len() / 2, 0] {
            fs::write(&path, &whole[..length]).unwrap();
            match read(&path) {
                Ok(run) => assert!(run.outcome.is_none() || run.steps.len() == steps),
                Err(error) => assert!(error.to_string().contains("line 1"), "{error}"),
            }
        }
        // Two frames, as after two plans.
        fs::write(&path, [&whole[..], &whole[..]].concat()).unwrap();
        assert_eq!(read(&path).unwrap().steps.len(), steps);
    }

    #[test]
    fn what_happened_can_be_read_while_the_run_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let recorder = Recorder::new(dir.path().to_owned());
        for (at, event) in script::run() {
            if at <= Duration::from_millis(1_000) {
                recorder.event(at, &event);
            }
        }
        let so_far = read(&recorder.path().unwrap()).unwrap();
        assert_eq!((so_far.steps.len(), so_far.outcome), (7, None));
        // The last event that counts came at 900 ms, and a line of a log later.
        let line = Event::LogLine {
            step: StepId(4),
            line: b"x"[..].into(),
        };
        recorder.event(Duration::from_millis(1_200), &line);
        let so_far = read(&recorder.path().unwrap()).unwrap();
        assert_eq!(so_far.running, [StepId(3), StepId(4)]);
    }

    #[test]
    fn what_is_none_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let message = |content: &[u8]| {
            fs::write(&path, content).unwrap();
            read(&path).unwrap_err().to_string()
        };
        let compressed = |text: &str| message(&zstd::encode_all(text.as_bytes(), 0).unwrap());
        assert!(message(b"text\n").contains("is no recording of a run: line 1: "));
        assert!(compressed("{}\n").contains("line 1: missing field"));
        let other = r#"{"at":0,"event":"begun","format":2,"version":"9","unixMs":0,"command":[],"jobs":1,"cores":1}"#;
        assert!(
            compressed(&format!("{other}\n")).contains("does not begin as one of this version")
        );
        let ours = other.replace("\"format\":2", "\"format\":1");
        let later = format!("{ours}\n{{\"at\":5,\"event\":\"new-in-xbuild-9\",\"x\":[1]}}\n");
        fs::write(&path, zstd::encode_all(later.as_bytes(), 0).unwrap()).unwrap();
        assert_eq!(read(&path).unwrap().last, Duration::from_micros(5));
        assert!(compressed(&format!("{ours}\n{{\"at\"}}\n")).contains("line 2: "));
    }

    #[test]
    fn names_may_be_shortened_and_old_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        let history = History::new(dir.path().join("runs"));
        assert_eq!(history.names().unwrap(), [""; 0]);
        assert!(matches!(history.find(None), Err(ReadError::Empty { .. })));
        fs::create_dir(dir.path().join("runs")).unwrap();
        for number in 0..KEEP + 3 {
            fs::write(history.path(&format!("2026-{number:03}")), "").unwrap();
        }
        history.prune();
        let names = history.names().unwrap();
        assert_eq!((names.len(), names[0].as_str()), (KEEP, "2026-102"));
        assert_eq!(history.find(None).unwrap(), "2026-102");
        assert_eq!(history.find(Some("2026-102")).unwrap(), "2026-102");
        assert_eq!(history.find(Some("2026-003")).unwrap(), "2026-003");
        let message = history.find(Some("2026-10")).unwrap_err().to_string();
        assert_eq!(message, "`2026-10` can be 2026-102 or 2026-101 or 2026-100");
        assert!(matches!(
            history.find(Some("x")),
            Err(ReadError::Missing { .. })
        ));
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let recorder = Recorder::new(file.join("runs"));
        for (at, event) in script::run() {
            recorder.event(at, &event);
        }
        let problem = recorder.problem().unwrap();
        assert!(
            problem.starts_with("this run is not recorded in "),
            "{problem}"
        );
        assert_eq!(recorder.problem(), None);
    }
}
