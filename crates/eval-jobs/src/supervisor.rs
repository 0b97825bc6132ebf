//! Hands attribute paths to worker processes, and collects what they find.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::line::{AttrPath, Line};
use crate::memory;
use crate::message::{Reply, Request};

/// How many attributes a worker gets at once at most: enough that their derivations are written together, few enough
/// that lines come soon and the last worker is not left with many.
const BATCH: usize = 16;

/// Why an evaluation of many attributes could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A worker could not be started.
    #[error("cannot start a worker process: {0}")]
    Start(#[source] io::Error),
    /// A worker said something that is no reply.
    #[error("a worker process does not understand its supervisor: {0}")]
    Reply(#[source] io::Error),
    /// A line could not be handed on.
    #[error("cannot write to stdout: {0}")]
    Write(#[source] io::Error),
}

/// Starts a worker process, with pipes for stdin and stdout.
pub type Start<'s> = dyn Fn() -> io::Result<Child> + Sync + 's;
/// Takes a line.
pub type Sink<'s> = dyn Fn(&Line) -> io::Result<()> + Sync + 's;

/// How many attributes were told of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Derivations.
    pub jobs: usize,
    /// Attributes that could not be evaluated.
    pub failed: usize,
}

/// An attribute to be evaluated.
#[derive(Debug, Clone)]
struct Task {
    path: AttrPath,
    /// A worker ended while it had this one among others: now it gets a fresh one for itself.
    alone: bool,
}

#[derive(Debug, Default)]
struct Queue {
    tasks: VecDeque<Task>,
    /// Tasks that workers have now, which may bring new ones.
    active: usize,
    summary: Summary,
    error: Option<Error>,
    /// How many may still have workers.
    drivers: usize,
}

struct Shared<'s> {
    queue: Mutex<Queue>,
    /// There is a new task, or nothing more to come.
    changed: Condvar,
    start: &'s Start<'s>,
    sink: &'s Sink<'s>,
    workers: usize,
}

/// Evaluates all attributes with so many worker processes; `sink` gets the lines, in no particular order.
///
/// # Errors
///
/// If no worker can be started or a line not be written. What goes wrong with an attribute is told in its line.
pub fn run(workers: usize, start: &Start<'_>, sink: &Sink<'_>) -> Result<Summary, Error> {
    let root = Task {
        path: Vec::new(),
        alone: false,
    };
    let queue = Queue {
        tasks: VecDeque::from([root]),
        drivers: workers.max(1),
        ..Queue::default()
    };
    let shared = Shared {
        queue: Mutex::new(queue),
        changed: Condvar::new(),
        start,
        sink,
        workers: workers.max(1),
    };
    std::thread::scope(|scope| {
        for _ in 0..shared.workers {
            scope.spawn(|| {
                if let Err(error) = shared.drive() {
                    shared.lock().error.get_or_insert(error);
                    shared.changed.notify_all();
                }
            });
        }
    });
    let queue = shared.queue.into_inner();
    let queue = queue.unwrap_or_else(PoisonError::into_inner);
    match queue.error {
        Some(error) => Err(error),
        None => Ok(queue.summary),
    }
}

impl Shared<'_> {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for tasks; none when there will be no more.
    fn take(&self) -> Vec<Task> {
        let mut queue = self.lock();
        loop {
            if queue.error.is_some() {
                return Vec::new();
            }
            if !queue.tasks.is_empty() {
                break;
            }
            if queue.active == 0 {
                return Vec::new();
            }
            queue = self
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
        // Towards the end, small batches keep all workers busy.
        let size = (queue.tasks.len() / (2 * self.workers)).clamp(1, BATCH);
        let mut batch = Vec::new();
        while batch.len() < size
            && let Some(task) = queue.tasks.pop_front()
        {
            if task.alone {
                if batch.is_empty() {
                    batch.push(task);
                } else {
                    queue.tasks.push_front(task);
                }
                break;
            }
            batch.push(task);
        }
        queue.active += batch.len();
        batch
    }

    /// A worker's task is done; what it found is to be done, too.
    fn done(&self, change: impl FnOnce(&mut Queue)) {
        let mut queue = self.lock();
        queue.active -= 1;
        change(&mut queue);
        drop(queue);
        self.changed.notify_all();
    }

    /// Puts tasks back, of which nothing is known.
    fn give_back(&self, tasks: Vec<Task>, alone: bool) {
        for task in tasks.into_iter().rev() {
            self.done(|queue| {
                queue.tasks.push_front(Task {
                    alone: alone || task.alone,
                    ..task
                });
            });
        }
    }

    fn tell(&self, line: &Line, is_failure: bool) -> Result<(), Error> {
        let written = (self.sink)(line).map_err(Error::Write);
        self.done(|queue| {
            if is_failure {
                queue.summary.failed += 1;
            } else {
                queue.summary.jobs += 1;
            }
        });
        written
    }

    /// There can be no worker: that fails only if there is no other one either.
    fn resign(&self, error: Error) -> Result<(), Error> {
        let mut queue = self.lock();
        queue.drivers -= 1;
        if queue.drivers == 0 {
            return Err(error);
        }
        Ok(())
    }

    /// Keeps one worker process busy, and replaces it when it ends.
    fn drive(&self) -> Result<(), Error> {
        let mut worker: Option<Worker> = None;
        loop {
            let mut tasks = VecDeque::from(self.take());
            let Some(first) = tasks.front() else {
                return worker.map_or(Ok(()), Worker::end);
            };
            let alone = first.alone;
            if alone && let Some(old) = worker.take() {
                old.end()?;
            }
            let mut current = match worker.take() {
                Some(worker) => worker,
                None => match Worker::start(self.start) {
                    Ok(worker) => worker,
                    Err(error) => {
                        self.give_back(tasks.into(), false);
                        return self.resign(error);
                    }
                },
            };
            current.ask(&tasks);
            let mut is_full = false;
            while let Some(task) = tasks.front() {
                match current.reply()? {
                    Some(Reply::Full) => {
                        is_full = true;
                        break;
                    }
                    Some(reply) => {
                        let path = task.path.clone();
                        tasks.pop_front();
                        self.take_reply(&path, reply)?;
                    }
                    None => break,
                }
            }
            if tasks.is_empty() {
                // After a batch that filled it, the worker says so and ends; that is seen with the next one.
                worker = Some(current);
            } else if is_full {
                current.end()?;
                self.give_back(tasks.into(), false);
            } else {
                let how = current.ended();
                if alone {
                    let path = tasks.pop_front().map(|task| task.path).unwrap_or_default();
                    self.tell(&Line::failed(&path, format!("error: {how}")), true)?;
                } else {
                    self.give_back(tasks.into(), true);
                }
            }
        }
    }

    fn take_reply(&self, path: &[String], reply: Reply) -> Result<(), Error> {
        match reply {
            Reply::Line(line) => {
                let is_failure = matches!(line.result, crate::line::Outcome::Failed(_));
                self.tell(&line, is_failure)
            }
            Reply::Attrs(names) => {
                self.done(|queue| {
                    queue.tasks.extend(names.into_iter().map(|name| Task {
                        path: path.iter().cloned().chain([name]).collect(),
                        alone: false,
                    }));
                });
                Ok(())
            }
            Reply::Nothing | Reply::Full => {
                self.done(|_| ());
                Ok(())
            }
        }
    }
}

/// A worker process.
struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Worker {
    fn start(start: &Start<'_>) -> Result<Self, Error> {
        let mut child = start().map_err(Error::Start)?;
        let no_pipe = || Error::Start(io::Error::other("it has no pipes"));
        let input = child.stdin.take().ok_or_else(no_pipe)?;
        let output = child.stdout.take().ok_or_else(no_pipe)?;
        Ok(Self {
            child,
            input: Some(input),
            output: BufReader::new(output),
        })
    }

    /// Sends tasks. If the worker has ended already, that shows when its reply is read.
    fn ask(&mut self, tasks: &VecDeque<Task>) {
        let request = Request {
            paths: tasks.iter().map(|task| task.path.clone()).collect(),
        };
        if let (Some(input), Ok(mut text)) = (&mut self.input, serde_json::to_string(&request)) {
            text.push('\n');
            let _ = input.write_all(text.as_bytes());
        }
    }

    /// The next reply; `None` if the worker ended.
    fn reply(&mut self) -> Result<Option<Reply>, Error> {
        let mut line = String::new();
        match self.output.read_line(&mut line) {
            // A last line without its end is of a worker that was killed while it wrote.
            Ok(_) if !line.ends_with('\n') => Ok(None),
            Ok(_) => serde_json::from_str(&line)
                .map(Some)
                .map_err(|error| Error::Reply(error.into())),
            Err(error) => Err(Error::Reply(error)),
        }
    }

    /// Has it end, and waits for that.
    fn end(mut self) -> Result<(), Error> {
        self.input = None;
        self.child.wait().map(|_| ()).map_err(Error::Reply)
    }

    /// How a worker ended that should not have.
    fn ended(mut self) -> String {
        use std::os::unix::process::ExitStatusExt as _;
        self.input = None;
        match self.child.wait() {
            Ok(status) if status.code() == Some(i32::from(memory::TOO_MUCH)) => {
                "out of memory: evaluating this attribute takes much more than --max-memory-size allows"
                    .to_owned()
            }
            Ok(status) => match (status.code(), status.signal()) {
                (Some(code), _) => {
                    format!("the worker process that evaluated this attribute ended with code {code}")
                }
                (None, Some(signal)) => format!(
                    "the worker process that evaluated this attribute was killed by signal {signal}"
                ),
                (None, None) => "the worker process that evaluated this attribute ended".to_owned(),
            },
            Err(error) => format!("the worker process is lost: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Runs two drivers that get `available` workers, each of which finds three attributes that are nothing.
    fn with_workers(available: usize) -> (Result<Summary, Error>, usize) {
        let started = AtomicUsize::new(0);
        let start = || {
            if started.fetch_add(1, Ordering::SeqCst) >= available {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            let script = r#"read -r root; echo '{"attrs":["a","b","c"]}'; while read -r batch; do echo '"nothing"'; done"#;
            Command::new("sh")
                .args(["-c", script])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
        };
        let summary = run(2, &start, &|_| Ok(()));
        (summary, started.into_inner())
    }

    #[test]
    fn fewer_workers_than_wanted() {
        let (summary, _) = with_workers(1);
        assert_eq!(summary.expect("one is enough"), Summary::default());
        let (summary, tried) = with_workers(0);
        assert!(matches!(summary, Err(Error::Start(_))), "{summary:?}");
        assert_eq!(tried, 2);
    }
}
