//! Running one build and watching it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Gid, OFlags, Uid, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::cancel::CancelToken;
use crate::cgroup::{Cgroup, Cgroups};
use crate::error::{BuilderProblem, SandboxError, Step};
use crate::identity::Identity;
use crate::layout;
use crate::plan::{FLAG_NETWORK, PlanWriter};
use crate::probe::{Facts, Unavailable};
use crate::spawner::Spawner;
use crate::spec::{Emulator, Report, Spec, Status};
use crate::wire::{self, MESSAGE_MAX, Message, Problem, Request};

/// Starts builds. Cheap to share between threads; [`Sandbox::run`] may be called from many at once.
#[derive(Debug)]
pub struct Sandbox {
    identity: Identity,
    /// Made when the first build asks for it.
    cgroups: OnceLock<Option<Cgroups>>,
    /// Replaced when it has died.
    spawner: Mutex<Arc<Spawner>>,
}

impl Sandbox {
    /// Starts the spawner. To be called early, while the program has little memory and, best, one thread: every build is a
    /// fork of what the program is now.
    pub fn start() -> Result<Sandbox, SandboxError> {
        let identity = Identity::of_process();
        Ok(Sandbox {
            identity,
            cgroups: OnceLock::new(),
            spawner: Mutex::new(Arc::new(start_spawner(identity)?)),
        })
    }

    /// Runs one build to its end, and calls `log` with what its standard output and error bring, as it comes.
    ///
    /// When this returns, every process of the build has ended, and everything in `spec.work_dir` belongs to the caller. A builder that
    /// fails is a [`Report`]; an error means that the build could not be run.
    pub fn run(
        &self,
        spec: &Spec,
        cancel: &CancelToken,
        log: &mut dyn FnMut(&[u8]),
    ) -> Result<Report, SandboxError> {
        let started = Instant::now();
        if cancel.is_cancelled() {
            return Ok(Report {
                status: Status::Cancelled,
                wall: Duration::ZERO,
                user: Duration::ZERO,
                sys: Duration::ZERO,
                max_rss: 0,
                peak_memory: None,
                memory_kills: None,
                log_bytes: 0,
            });
        }
        let cgroup = self
            .cgroups()
            .and_then(|groups| groups.group(spec.max_processes));
        let with = With {
            emulator: spec.emulator.as_ref(),
            cgroup: cgroup.as_ref(),
        };
        let mut result = layout::prepare(spec, self.identity)
            .and_then(|plan| self.run_plan(&plan, with, Limits::of(spec), cancel, log, started));
        if let (Ok(report), Some(cgroup)) = (&mut result, &cgroup)
            && let Some(peak) = cgroup.peak_memory()
        {
            report.peak_memory = Some(peak);
            report.memory_kills = cgroup.memory_kills();
        }
        let handed_back = layout::hand_back(spec, self.identity);
        if result.is_ok() {
            handed_back?;
        }
        result.map_err(|error| name_builder(error, spec))
    }

    fn cgroups(&self) -> Option<&Cgroups> {
        self.cgroups.get_or_init(|| Cgroups::new().ok()).as_ref()
    }

    /// Sends a plan to the spawner and watches the build.
    pub(crate) fn run_plan(
        &self,
        plan: &PlanWriter,
        with: With<'_>,
        limits: Limits,
        cancel: &CancelToken,
        log: &mut dyn FnMut(&[u8]),
        started: Instant,
    ) -> Result<Report, SandboxError> {
        let (log_read, log_write) = pipe_with(PipeFlags::CLOEXEC)
            .map_err(SandboxError::system("create a pipe for the log"))?;
        fcntl_setfl(&log_read, OFlags::NONBLOCK)
            .map_err(SandboxError::system("create a pipe for the log"))?;
        if let Identity::Root { .. } = self.identity {
            // So that the builder can open its log by name, as /dev/stdout.
            let (uid, gid) = self.identity.build_ids();
            rustix::fs::fchown(
                &log_write,
                Some(Uid::from_raw(uid)),
                Some(Gid::from_raw(gid)),
            )
            .map_err(SandboxError::system("give the log to the builder"))?;
        }
        let (control, control_build) =
            wire::pair().map_err(SandboxError::system("create a socket for the build"))?;
        let emulator = match with.emulator {
            Some(Emulator { program, machine }) => {
                let opened =
                    std::fs::File::open(program).map_err(|error| SandboxError::Emulator {
                        path: program.clone(),
                        error,
                    })?;
                Some((OwnedFd::from(opened), *machine))
            }
            None => None,
        };
        let request = Request {
            emulator,
            limited: with.cgroup.is_some_and(|cgroup| cgroup.limits_processes),
            cgroup: with
                .cgroup
                .map(|cgroup| cgroup.fd.try_clone())
                .transpose()
                .map_err(|error| SandboxError::System {
                    action: "pass a control group on",
                    error,
                })?,
            plan: plan.finish().map_err(|error| SandboxError::System {
                action: "write the plan of the build",
                error,
            })?,
            log: log_write,
            control: control_build,
            network: plan.flags & FLAG_NETWORK != 0,
        };
        let spawner = self.send(&request)?;
        drop(request);
        let result = Watch {
            control,
            cgroup: with.cgroup,
            log_read: Some(log_read),
            limits,
            cancel,
            log,
            started,
            last_log: Instant::now(),
            log_bytes: 0,
            killed: None,
            builder: None,
            failure: None,
        }
        .until_gone();
        drop(spawner);
        result
    }

    /// Sends a request, to a new spawner if the old one has died.
    fn send(&self, request: &Request) -> Result<Arc<Spawner>, SandboxError> {
        let current = Arc::clone(&self.spawner.lock().unwrap_or_else(PoisonError::into_inner));
        let gone = match wire::send_request(current.requests(), request) {
            Ok(()) => return Ok(current),
            Err(errno @ (Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN)) => errno,
            Err(errno) => return Err(SandboxError::system("send a build to its spawner")(errno)),
        };
        let mut place = self.spawner.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&place, &current) {
            *place = Arc::new(start_spawner(self.identity)?);
        }
        let fresh = Arc::clone(&place);
        drop(place);
        let _ = gone;
        wire::send_request(fresh.requests(), request)
            .map_err(SandboxError::system("send a build to its spawner"))?;
        Ok(fresh)
    }

    #[cfg(test)]
    pub(crate) fn spawner_pid(&self) -> Option<rustix::process::Pid> {
        self.spawner.lock().unwrap().pid()
    }
}

fn start_spawner(identity: Identity) -> Result<Spawner, SandboxError> {
    Spawner::start(identity)
        .map_err(|failure| Unavailable::new(failure.step, failure.errno, &Facts::gather()).into())
}

/// The builder is not named in init's messages, which have no room for two paths.
fn name_builder(error: SandboxError, spec: &Spec) -> SandboxError {
    match error {
        SandboxError::Builder { problem, .. } => SandboxError::Builder {
            builder: spec.builder.clone(),
            problem,
        },
        other => other,
    }
}

/// What a build runs with, beside its plan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct With<'a> {
    pub(crate) emulator: Option<&'a Emulator>,
    pub(crate) cgroup: Option<&'a Cgroup>,
}

/// When a build is killed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    timeout: Option<Duration>,
    max_silent: Option<Duration>,
    max_log: Option<u64>,
}

impl Limits {
    fn of(spec: &Spec) -> Limits {
        Limits {
            timeout: spec.timeout,
            max_silent: spec.max_silent,
            max_log: spec.max_log,
        }
    }
}

/// The watch over one build.
struct Watch<'a> {
    control: OwnedFd,
    cgroup: Option<&'a Cgroup>,
    /// Until its end.
    log_read: Option<OwnedFd>,
    limits: Limits,
    cancel: &'a CancelToken,
    log: &'a mut dyn FnMut(&[u8]),
    started: Instant,
    last_log: Instant,
    log_bytes: u64,
    /// Why the build was killed, once it was.
    killed: Option<Status>,
    /// The wait status and greatest resident set, when init has said them.
    builder: Option<(i32, u64)>,
    failure: Option<SandboxError>,
}

impl Watch<'_> {
    fn until_gone(mut self) -> Result<Report, SandboxError> {
        let mut packet = [0; MESSAGE_MAX];
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let (control, logged) = self.wait()?;
            if logged {
                self.read_log(&mut chunk)?;
            }
            if control {
                let length = match rustix::io::read(&self.control, &mut packet) {
                    Err(Errno::INTR | Errno::AGAIN) => continue,
                    // A spawner that dies with unread messages resets the connection.
                    Err(Errno::CONNRESET) | Ok(0) => return Err(SandboxError::SpawnerLost),
                    Err(errno) => return Err(SandboxError::system("hear of the build")(errno)),
                    Ok(length) => length,
                };
                if let Some(report) = self.hear(&packet[..length]) {
                    return report.and_then(|mut report| {
                        // No process is left that could write, so this ends.
                        self.read_log(&mut chunk)?;
                        report.log_bytes = self.log_bytes;
                        report.status = self.killed.unwrap_or(report.status);
                        Ok(report)
                    });
                }
            }
            self.kill_if_due();
        }
    }

    /// Waits for a message, log, cancellation or the next deadline.
    fn wait(&self) -> Result<(bool, bool), SandboxError> {
        let mut fds = vec![PollFd::new(&self.control, PollFlags::IN)];
        if let Some(log) = &self.log_read {
            fds.push(PollFd::new(log, PollFlags::IN));
        }
        let event = self.cancel.event();
        if self.killed.is_none() {
            fds.push(PollFd::from_borrowed_fd(event.as_fd(), PollFlags::IN));
        }
        let timeout = self.next_deadline().map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        match poll(&mut fds, timeout.as_ref()) {
            Err(Errno::INTR) => return Ok((false, false)),
            other => other.map_err(SandboxError::system("wait for the build"))?,
        };
        let ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
        Ok((ready(0), self.log_read.is_some() && ready(1)))
    }

    fn next_deadline(&self) -> Option<Instant> {
        if self.killed.is_some() {
            return None;
        }
        let total = self
            .limits
            .timeout
            .and_then(|limit| self.started.checked_add(limit));
        let silent = self
            .limits
            .max_silent
            .and_then(|limit| self.last_log.checked_add(limit));
        total.into_iter().chain(silent).min()
    }

    /// Delivers what the log holds, up to its limit.
    fn read_log(&mut self, chunk: &mut [u8]) -> Result<(), SandboxError> {
        while let Some(log) = &self.log_read {
            match rustix::io::read(log, &mut *chunk) {
                Ok(0) => self.log_read = None,
                Ok(length) => {
                    self.last_log = Instant::now();
                    let left = self
                        .limits
                        .max_log
                        .map_or(u64::MAX, |limit| limit.saturating_sub(self.log_bytes));
                    self.log_bytes += length as u64;
                    let kept = length.min(usize::try_from(left).unwrap_or(usize::MAX));
                    if kept > 0 {
                        (self.log)(&chunk[..kept]);
                    }
                    if kept < length {
                        self.kill(Status::LogLimit);
                    }
                    if length < chunk.len() {
                        // Most likely empty; a poll will say, and messages are not kept waiting by a busy log.
                        return Ok(());
                    }
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(SandboxError::system("read the log of the build")(errno)),
            }
        }
        Ok(())
    }

    /// Notes a message; returns the end of the build if it was the last.
    fn hear(&mut self, packet: &[u8]) -> Option<Result<Report, SandboxError>> {
        match Message::parse(packet)? {
            Message::Ready => None,
            Message::Failed { step, errno, path } => {
                let step = Step::from_code(step).unwrap_or(Step::Plan);
                self.failure = Some(setup_failure(step, errno, path));
                None
            }
            Message::Refused { step, errno } => {
                let step = Step::from_code(step).unwrap_or(Step::Clone);
                Some(Err(setup_failure(step, errno, &[])))
            }
            Message::NotExecuted {
                problem,
                errno,
                path,
            } => {
                let path = || {
                    PathBuf::from(
                        <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(path),
                    )
                };
                self.failure = Some(SandboxError::Builder {
                    builder: PathBuf::new(),
                    problem: match problem {
                        Problem::Missing => BuilderProblem::Missing,
                        Problem::NotExecutable => BuilderProblem::NotExecutable,
                        Problem::ScriptInterpreterMissing => {
                            BuilderProblem::ScriptInterpreterMissing(path())
                        }
                        Problem::DynamicLinkerMissing => {
                            BuilderProblem::DynamicLinkerMissing(path())
                        }
                        Problem::WrongFormat => BuilderProblem::WrongFormat,
                        Problem::TooLong => BuilderProblem::TooLong,
                        Problem::Other => BuilderProblem::Other(errno),
                    },
                });
                None
            }
            Message::BuilderEnded { status, max_rss } => {
                self.builder = Some((status, max_rss));
                // A build that ended by itself was not killed by what comes after.
                None
            }
            Message::Gone {
                status,
                user,
                sys,
                max_rss,
            } => Some(match (self.failure.take(), self.killed) {
                (Some(error), None) => Err(error),
                _ => {
                    let (status, max_rss) = self.builder.unwrap_or((status, max_rss));
                    Ok(Report {
                        status: if libc::WIFSIGNALED(status) {
                            Status::Signalled(libc::WTERMSIG(status))
                        } else {
                            Status::Exited(libc::WEXITSTATUS(status))
                        },
                        wall: self.started.elapsed(),
                        user: Duration::from_micros(user),
                        sys: Duration::from_micros(sys),
                        max_rss,
                        peak_memory: Some(max_rss),
                        memory_kills: None,
                        log_bytes: 0,
                    })
                }
            }),
        }
    }

    fn kill_if_due(&mut self) {
        if self.killed.is_some() || self.builder.is_some() {
            return;
        }
        let passed = |since: Instant, limit: Option<Duration>| {
            limit.is_some_and(|limit| since.elapsed() >= limit)
        };
        if self.cancel.is_cancelled() {
            self.kill(Status::Cancelled);
        } else if passed(self.started, self.limits.timeout) {
            self.kill(Status::TimedOut);
        } else if passed(self.last_log, self.limits.max_silent) {
            self.kill(Status::Silent);
        }
    }

    /// Has the spawner kill the build; its end comes as a message.
    fn kill(&mut self, why: Status) {
        if self.killed.is_none() {
            self.killed = Some(why);
            // Shut down rather than written to: a packet that the spawner leaves unread would destroy its own last message.
            // Fails only if the spawner is gone, which the next read reports.
            let _ = rustix::net::shutdown(&self.control, rustix::net::Shutdown::Write);
            if let Some(cgroup) = self.cgroup {
                cgroup.kill();
            }
        }
    }
}

fn setup_failure(step: Step, errno: i32, path: &[u8]) -> SandboxError {
    let facts = Facts::gather();
    let path = (!path.is_empty()).then(|| {
        PathBuf::from(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(path))
    });
    SandboxError::Setup {
        step,
        path,
        error: io::Error::from_raw_os_error(errno),
        hint_text: crate::probe::explain(step, errno, &facts)
            .map(|(cause, remedy)| format!("{cause}; {remedy}"))
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spawner_that_was_killed_is_replaced() {
        let scratch = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::start().unwrap();
        let cancel = CancelToken::new().unwrap();
        let missing = || {
            let spec = Spec::new("/missing", scratch.path().join("work"));
            sandbox.run(&spec, &cancel, &mut |_| {})
        };
        assert!(matches!(missing(), Err(SandboxError::Builder { .. })));
        let first = sandbox.spawner_pid().unwrap();
        rustix::process::kill_process(first, rustix::process::Signal::KILL).unwrap();
        // The request may still reach the dying process; then the build is lost, and the next one runs.
        let found = match missing() {
            Err(SandboxError::SpawnerLost) => missing(),
            other => other,
        };
        assert!(
            matches!(found, Err(SandboxError::Builder { .. })),
            "{found:?}"
        );
        assert_ne!(sandbox.spawner_pid().unwrap(), first);
        crate::tree::remove_tree(&scratch.path().join("work")).unwrap();
    }
}
