//! One jobserver for all builds of a run: GNU make's protocol with a named pipe (make manual, "POSIX Jobserver Interaction",
//! `--jobserver-auth=fifo:PATH`).
//!
//! A build that asks for it (`enableJobserver`) gets a pipe of its own at [`PATH`], and never sees another's. A thread keeps the pipes: it
//! puts tokens in and takes them out as [`Tokens`] says, which knows at every moment what each build holds. So a build that keeps tokens
//! keeps them from others no longer than it lives, and one that makes up tokens fools nobody but itself. The pipes are as short as
//! the kernel allows: then the kernel tells when the last byte was read.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use xbuild_scheduler::{Move, ROTATION_MS, SeatId, Tokens};

use crate::error::{Error, Result};

/// Where a build finds its pipe.
pub(crate) const PATH: &str = "/nix/jobserver";

/// The least size of a pipe: one page, of which one byte is used.
const PIPE_SIZE: usize = 4096;

/// How often the keeper looks at all pipes though it was told of nothing.
const LOOK: Duration = Duration::from_secs(1);

/// What a build is told, in `MAKEFLAGS` and `CARGO_MAKEFLAGS`: it may use `cores` processors, its own included.
pub(crate) fn make_flags(cores: u32) -> String {
    format!(" -j{cores} --jobserver-auth=fifo:{PATH}")
}

/// The jobserver of a run.
pub(crate) struct Jobserver {
    shared: Arc<Shared>,
    /// The directory of the pipes.
    directory: PathBuf,
    /// How many pipes were made.
    pipes: AtomicU64,
    /// Started for the first build that takes part.
    keeper: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    state: Mutex<State>,
    epoll: OwnedFd,
    /// Written to when a build has come or gone.
    bell: OwnedFd,
    begun: Instant,
}

struct State {
    tokens: Tokens,
    pipes: BTreeMap<SeatId, OwnedFd>,
    ended: bool,
}

impl Jobserver {
    /// A jobserver with so many tokens, which makes its pipes in `directory`.
    ///
    /// # Errors
    /// The process has no descriptors left.
    pub(crate) fn new(processors: u32, directory: &Path) -> Result<Self> {
        let failed = |errno: Errno| Error::io("make", "a jobserver")(errno.into());
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(failed)?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(failed)?;
        let edge = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, &bell, EventData::new_u64(0), edge).map_err(failed)?;
        Ok(Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    tokens: Tokens::new(processors),
                    pipes: BTreeMap::new(),
                    ended: false,
                }),
                epoll,
                bell,
                begun: Instant::now(),
            }),
            directory: directory.to_owned(),
            pipes: AtomicU64::new(0),
            keeper: Mutex::new(None),
        })
    }

    /// A build starts, which uses `own` processors by itself. If it takes part, it may be lent up to `limit` more, through the pipe
    /// that the seat names.
    ///
    /// # Errors
    /// The pipe cannot be made.
    pub(crate) fn join(&self, own: u32, limit: u32) -> Result<Seat<'_>> {
        let shared = &self.shared;
        let mut seat = Seat {
            jobserver: self,
            id: None,
            pipe: None,
        };
        let mut made = None;
        if limit > 0 {
            let number = self.pipes.fetch_add(1, Ordering::Relaxed);
            let path = self.directory.join(format!("jobserver-{number}"));
            seat.pipe = Some(path.clone());
            let pipe = make_pipe(&path).map_err(|errno| {
                Error::io("make the pipe of a jobserver at", &path)(errno.into())
            })?;
            let edges = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
            epoll::add(&shared.epoll, &pipe, EventData::new_u64(1), edges)
                .map_err(|errno| Error::io("watch", path)(errno.into()))?;
            made = Some(pipe);
            self.start_keeper()?;
        }
        let mut state = shared.state();
        let id = state.tokens.join(own, limit, shared.now());
        // The keeper must not see one without the other.
        if let Some(pipe) = made {
            state.pipes.insert(id, pipe);
        }
        seat.id = Some(id);
        shared.ring(&state);
        drop(state);
        Ok(seat)
    }

    fn start_keeper(&self) -> Result<()> {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if keeper.is_none() {
            let shared = Arc::clone(&self.shared);
            let started = thread::Builder::new()
                .name("jobserver".to_owned())
                .spawn(move || shared.keep());
            *keeper = Some(started.map_err(Error::io("start", "a thread"))?);
        }
        Ok(())
    }
}

impl Drop for Jobserver {
    fn drop(&mut self) {
        self.shared.state().ended = true;
        self.shared.wake();
        let keeper = self.keeper.get_mut();
        if let Some(keeper) = keeper.unwrap_or_else(PoisonError::into_inner).take() {
            // It does not panic; if it did, there is nothing left to keep.
            let _ = keeper.join();
        }
    }
}

/// A running build, as long as it lives.
pub(crate) struct Seat<'a> {
    jobserver: &'a Jobserver,
    id: Option<SeatId>,
    /// The pipe on the machine, of a build that takes part.
    pub(crate) pipe: Option<PathBuf>,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let shared = &self.jobserver.shared;
        if let Some(path) = &self.pipe {
            // What is left goes with the run's directory.
            let _ = fs::remove_file(path);
        }
        if let Some(id) = self.id {
            let mut state = shared.state();
            state.pipes.remove(&id);
            state.tokens.leave(id);
            shared.ring(&state);
        }
    }
}

/// A named pipe that anybody who sees it may use, and its descriptor, which keeps it open for reading and writing.
fn make_pipe(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::mkfifoat(CWD, path, Mode::from(0o600))?;
    // Started by root, builds have another uid.
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let pipe = rustix::fs::open(path, flags, Mode::empty())?;
    rustix::pipe::fcntl_setpipe_size(&pipe, PIPE_SIZE)?;
    Ok(pipe)
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Wakes the keeper if it has something to keep: most builds do not take part.
    fn ring(&self, state: &State) {
        if !state.pipes.is_empty() {
            self.wake();
        }
    }

    fn wake(&self) {
        // It refuses only when it is about to ring in any case.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    /// The life of the keeper.
    fn keep(&self) {
        let mut events = Vec::with_capacity(16);
        while let Some(pause) = self.tend() {
            let pause = Timespec {
                tv_sec: i64::try_from(pause.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(pause.subsec_nanos()),
            };
            events.clear();
            let spare = rustix::buffer::spare_capacity(&mut events);
            // Whatever woke it: it looks at all pipes.
            let _ = epoll::wait(&self.epoll, spare, Some(&pause));
        }
    }

    /// Looks at all pipes and does what is to do. Answers how long it may sleep; `None`: for ever.
    fn tend(&self) -> Option<Duration> {
        let mut state = self.state();
        let State {
            tokens,
            pipes,
            ended,
        } = &mut *state;
        if *ended {
            return None;
        }
        let now = self.now();
        for (id, pipe) in pipes.iter() {
            let inside = rustix::io::ioctl_fionread(pipe).unwrap_or(0);
            let surplus = tokens.observe(*id, u32::try_from(inside).unwrap_or(u32::MAX), now);
            if surplus > 0 {
                tokens.withdrawn(*id, take(pipe, surplus), now);
            }
        }
        while let Some(step) = tokens.next_move(now) {
            match step {
                Move::Offer(id) => {
                    let written = pipes.get(&id).is_some_and(put);
                    tokens.offered(id, written, now);
                }
                Move::Withdraw(id) => {
                    let bytes = pipes.get(&id).map_or(0, |pipe| take(pipe, 1));
                    tokens.unused(id, bytes, now);
                }
            }
        }
        Some(if tokens.is_rotating() {
            Duration::from_millis(ROTATION_MS)
        } else {
            LOOK
        })
    }
}

/// Reads up to `bytes` bytes. How many there were.
fn take(pipe: impl AsFd, bytes: u32) -> u32 {
    let mut buffer = [0; PIPE_SIZE];
    let length = usize::try_from(bytes).unwrap_or(PIPE_SIZE).min(PIPE_SIZE);
    let read = rustix::io::retry_on_intr(|| rustix::io::read(&pipe, &mut buffer[..length]));
    u32::try_from(read.unwrap_or(0)).unwrap_or(0)
}

/// Writes a token.
fn put(pipe: impl AsFd) -> bool {
    rustix::io::retry_on_intr(|| rustix::io::write(&pipe, b"+")) == Ok(1)
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::io::{Read as _, Write as _};
    use std::sync::atomic::AtomicU32;

    use super::*;

    fn open(seat: &Seat<'_>) -> File {
        let path = seat.pipe.as_ref().unwrap();
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .unwrap()
    }

    fn read(pipe: &mut File) {
        pipe.read_exact(&mut [0]).unwrap();
    }

    /// As `make` does it: a job needs a token, except one at a time.
    #[test]
    fn jobs_of_several_builds_never_exceed_the_processors() {
        const PROCESSORS: u32 = 4;
        let dir = tempfile::tempdir().unwrap();
        let jobserver = Jobserver::new(PROCESSORS, dir.path()).unwrap();
        let (running, most) = (AtomicU32::new(0), AtomicU32::new(0));
        let job = || {
            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(1));
            running.fetch_sub(1, Ordering::SeqCst);
        };
        let builds = 3;
        thread::scope(|scope| {
            for _ in 0..builds {
                scope.spawn(|| {
                    let seat = jobserver.join(1, PROCESSORS - 1).unwrap();
                    thread::scope(|scope| {
                        for _ in 1..PROCESSORS {
                            scope.spawn(|| {
                                let mut pipe = open(&seat);
                                for _ in 0..20 {
                                    read(&mut pipe);
                                    job();
                                    pipe.write_all(b"+").unwrap();
                                }
                            });
                        }
                        for _ in 0..20 {
                            job();
                        }
                    });
                });
            }
        });
        let most = most.into_inner();
        assert!(most <= PROCESSORS + builds, "{most} jobs at once");
        assert!(most > builds, "nobody was lent anything");
        assert_eq!(jobserver.shared.state().tokens.held(), 0);
    }

    #[test]
    fn made_up_tokens_help_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let jobserver = Jobserver::new(3, dir.path()).unwrap();
        let hostile = jobserver.join(1, 2).unwrap();
        let honest = jobserver.join(1, 2).unwrap();
        let (mut hostile_pipe, mut honest_pipe) = (open(&hostile), open(&honest));
        // There is one token for the two, and it wanders.
        read(&mut honest_pipe);
        hostile_pipe.write_all(&[b'+'; 1000]).unwrap();
        while rustix::io::ioctl_fionread(&hostile_pipe).unwrap() > 0 {
            thread::yield_now();
        }
        assert_eq!(rustix::io::ioctl_fionread(&honest_pipe).unwrap(), 0);
        assert_eq!(jobserver.shared.state().tokens.held(), 3);
        honest_pipe.write_all(b"+").unwrap();
        read(&mut hostile_pipe);
        // It dies with the token.
        drop(hostile);
        read(&mut honest_pipe);
        read(&mut honest_pipe);
    }

    #[test]
    fn who_comes_later_is_served() {
        let dir = tempfile::tempdir().unwrap();
        let jobserver = Jobserver::new(4, dir.path()).unwrap();
        let _first = jobserver.join(1, 1).unwrap();
        for _ in 0..100 {
            let seat = jobserver.join(1, 1).unwrap();
            read(&mut open(&seat));
        }
    }

    #[test]
    fn a_pipe_goes_with_its_build() {
        let dir = tempfile::tempdir().unwrap();
        let jobserver = Jobserver::new(2, dir.path()).unwrap();
        let seat = jobserver.join(1, 1).unwrap();
        let path = seat.pipe.clone().unwrap();
        assert!(path.exists());
        drop(seat);
        assert!(!path.exists());
        assert!(jobserver.join(1, 0).unwrap().pipe.is_none());
    }
}
