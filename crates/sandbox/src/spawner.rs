//! The small process that starts builds.
//!
//! It is forked early, owns the namespaces that builds are cloned from, and has one thread. It waits for requests,
//! clones an [`init`](crate::init) for each, kills a build when its control socket is shut down or closed, and reports the end
//! of each. It ends when xbuild closes the request socket or dies, and its builds end with it.
//!
//! After its fork it allocates nothing, takes no lock and prints nothing: xbuild may have had other threads.

use std::ffi::CStr;
use std::io::Write as _;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::thread::UnshareFlags;

use crate::error::Step;
use crate::identity::{Identity, ROOT_BUILD_ID};
use crate::init;
use crate::spec::{INSIDE_GID, INSIDE_UID};
use crate::sys::{self, Cloned};
use crate::wire::{self, MESSAGE_MAX, Message, Received};

/// The greatest number of builds at once; each needs two descriptors here.
const MAX_BUILDS: usize = 256;

/// What builds inherit from the spawner.
pub(crate) struct Context<'a> {
    pub(crate) identity: Identity,
    pub(crate) seccomp: &'a [libc::sock_filter],
    /// The spawner itself, so that a build can see that it has died.
    pub(crate) spawner: BorrowedFd<'a>,
    /// For builds of root: the user namespace they enter when their mounts are done.
    pub(crate) user_namespace: Option<BorrowedFd<'a>>,
}

/// The parent's handle: closing `requests` ends the process.
#[derive(Debug)]
pub(crate) struct Spawner {
    requests: Option<OwnedFd>,
    pid: libc::pid_t,
}

/// Why a spawner did not start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StartFailure {
    pub(crate) step: Step,
    pub(crate) errno: i32,
}

impl Spawner {
    /// Forks the spawner and waits until it is ready.
    #[allow(unsafe_code)]
    pub(crate) fn start(identity: Identity) -> Result<Spawner, StartFailure> {
        let failed = |step| {
            move |errno: Errno| StartFailure {
                step,
                errno: errno.raw_os_error(),
            }
        };
        let (here, there) = wire::pair().map_err(failed(Step::Clone))?;
        // Everything the child uses exists before the fork.
        let mut state = State {
            builds: Vec::with_capacity(MAX_BUILDS),
            polled: Vec::with_capacity(2 * MAX_BUILDS + 1),
        };
        let seccomp = crate::seccomp::program();
        // SAFETY: the child takes no lock: it runs `serve` alone, which does system calls on prepared memory.
        let pid = unsafe { sys::fork() }.map_err(failed(Step::Clone))?;
        if pid == 0 {
            serve(&mut state, identity, &seccomp, there);
        }
        drop(there);
        let spawner = Spawner {
            requests: Some(here),
            pid,
        };
        let mut buffer = [0; MESSAGE_MAX];
        loop {
            match rustix::io::read(spawner.requests(), &mut buffer) {
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed(Step::Clone)(errno)),
                Ok(length) => {
                    return match Message::parse(&buffer[..length]) {
                        Some(Message::Ready) => Ok(spawner),
                        Some(Message::Failed { step, errno, .. }) => Err(StartFailure {
                            step: Step::from_code(step).unwrap_or(Step::Clone),
                            errno,
                        }),
                        _ => Err(failed(Step::Clone)(Errno::CONNRESET)),
                    };
                }
            }
        }
    }

    /// The socket that takes requests.
    pub(crate) fn requests(&self) -> BorrowedFd<'_> {
        self.requests.as_ref().expect("open until dropped").as_fd()
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        self.requests = None;
        // Fails only if something else in this process has already waited for it.
        let _ = sys::wait4(self.pid);
    }
}

/// One running build.
struct Build {
    pid: libc::pid_t,
    pidfd: OwnedFd,
    control: OwnedFd,
    killed: bool,
}

struct State {
    builds: Vec<Build>,
    polled: Vec<libc::pollfd>,
}

/// The life of the spawner.
fn serve(
    state: &mut State,
    identity: Identity,
    seccomp: &[libc::sock_filter],
    requests: OwnedFd,
) -> ! {
    let requests = match isolate(requests) {
        Ok(requests) => requests,
        Err(_) => sys::exit_now(1),
    };
    let (spawner, user_namespace) = match enter_namespaces(identity) {
        Ok(fds) => fds,
        Err((step, errno)) => {
            let _ = Message::Failed {
                step: step as u32,
                errno: errno.raw_os_error(),
                path: b"",
            }
            .send(&requests);
            sys::exit_now(1);
        }
    };
    let context = Context {
        identity,
        seccomp,
        spawner: spawner.as_fd(),
        user_namespace: user_namespace.as_ref().map(AsFd::as_fd),
    };
    if Message::Ready.send(&requests).is_err() {
        sys::exit_now(0);
    }
    loop {
        wait_for_events(state, &requests);
        let requested = state.polled[0].revents != 0;
        reap(state);
        if requested {
            match wire::receive_request(&requests) {
                Ok(Received::Request(request)) => start(state, &context, request),
                // The build's control socket is closed by now, which its caller sees.
                Ok(Received::Incomplete) => {}
                // Leaving kills the builds: each init has asked for SIGKILL at the spawner's end.
                Ok(Received::Closed) => sys::exit_now(0),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => sys::exit_now(1),
            }
        }
    }
}

/// Leaves everything of xbuild behind but the request socket.
#[allow(unsafe_code)]
fn isolate(requests: OwnedFd) -> Result<OwnedFd, Errno> {
    sys::default_signals();
    // A session of its own, so that Ctrl-C at the terminal reaches xbuild alone, which then decides.
    rustix::process::setsid().map(drop).or_else(|errno| {
        if errno == Errno::PERM {
            Ok(())
        } else {
            Err(errno)
        }
    })?;
    rustix::thread::set_name(c"xbuild-spawner")?;
    rustix::process::chdir(c"/")?;
    let null = rustix::fs::open(c"/dev/null", OFlags::RDWR, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    std::mem::forget(null);
    // SAFETY: this process uses no descriptor of xbuild's; those that had owners are forgotten or never dropped, since
    // this process leaves by `exit_now` only.
    unsafe { sys::keep_only(requests) }
}

type Prepared = (OwnedFd, Option<OwnedFd>);

/// Makes the namespaces that all builds share: the user namespace, and a mount namespace that the machine's mounts reach but that sends
/// none back.
#[allow(unsafe_code)]
fn enter_namespaces(identity: Identity) -> Result<Prepared, (Step, Errno)> {
    let user_namespace = match identity {
        Identity::Caller { uid, gid } => {
            // SAFETY: this process has one thread and shares no descriptor table.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER) }
                .map_err(|errno| (Step::UserNamespace, errno))?;
            write_maps(c"/proc/self/", uid, gid).map_err(|errno| (Step::IdMaps, errno))?;
            None
        }
        Identity::Root { .. } => {
            rustix::thread::set_thread_groups(&[]).map_err(|errno| (Step::Privileges, errno))?;
            Some(build_user_namespace()?)
        }
    };
    // SAFETY: as above.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
        .map_err(|errno| (Step::SpawnerMounts, errno))?;
    rustix::mount::mount_change(
        c"/",
        rustix::mount::MountPropagationFlags::DOWNSTREAM
            | rustix::mount::MountPropagationFlags::REC,
    )
    .map_err(|errno| (Step::SpawnerMounts, errno))?;
    let own = pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
        .map_err(|errno| (Step::Clone, errno))?;
    Ok((own, user_namespace))
}

/// A user namespace, without processes, in which the builder's ids are [`ROOT_BUILD_ID`] of the machine.
#[allow(unsafe_code)]
fn build_user_namespace() -> Result<OwnedFd, (Step, Errno)> {
    // SAFETY: this process has one thread; the child only waits to be killed.
    match unsafe { sys::clone_process(libc::CLONE_NEWUSER as u64) }
        .map_err(|errno| (Step::UserNamespace, errno))?
    {
        Cloned::Child => {
            let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
            loop {
                let _ = sys::poll(&mut [], -1);
            }
        }
        Cloned::Parent { pid, pidfd } => {
            let opened = proc_path(pid, "").and_then(|directory| {
                write_maps(directory.as_c_str()?, ROOT_BUILD_ID, ROOT_BUILD_ID)?;
                rustix::fs::open(
                    proc_path(pid, "ns/user")?.as_c_str()?,
                    OFlags::RDONLY | OFlags::CLOEXEC,
                    Mode::empty(),
                )
            });
            let _ = pidfd_send_signal(&pidfd, Signal::KILL);
            let _ = sys::wait4(pid);
            opened.map_err(|errno| (Step::IdMaps, errno))
        }
    }
}

/// A path or line put together without allocation.
struct Text {
    bytes: [u8; 128],
    length: usize,
}

impl Text {
    fn new(arguments: std::fmt::Arguments<'_>) -> Result<Text, Errno> {
        let mut bytes = [0; 128];
        let mut rest = &mut bytes[..127];
        rest.write_fmt(arguments).map_err(|_| Errno::NAMETOOLONG)?;
        let length = 127 - rest.len();
        Ok(Text { bytes, length })
    }

    fn as_c_str(&self) -> Result<&CStr, Errno> {
        CStr::from_bytes_with_nul(&self.bytes[..=self.length]).map_err(|_| Errno::INVAL)
    }
}

fn proc_path(pid: libc::pid_t, rest: &str) -> Result<Text, Errno> {
    Text::new(format_args!("/proc/{pid}/{rest}"))
}

/// Maps the ids inside to one uid and one gid outside, for the process whose directory in `/proc` is given, with the
/// slash at its end (user_namespaces(7)).
fn write_maps(directory: &CStr, uid: u32, gid: u32) -> Result<(), Errno> {
    let directory = directory.to_str().map_err(|_| Errno::INVAL)?;
    let write = |name: &str, line: std::fmt::Arguments<'_>| {
        let path = Text::new(format_args!("{directory}{name}"))?;
        let file = rustix::fs::open(
            path.as_c_str()?,
            OFlags::WRONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let line = Text::new(line)?;
        rustix::io::write(&file, &line.bytes[..line.length]).map(drop)
    };
    // Without this an ordinary user may not write a gid map.
    write("setgroups", format_args!("deny"))?;
    write("gid_map", format_args!("{INSIDE_GID} {gid} 1\n"))?;
    write("uid_map", format_args!("{INSIDE_UID} {uid} 1\n"))
}

/// Waits until a request has come, a build has ended, or a build is to be killed.
fn wait_for_events(state: &mut State, requests: &OwnedFd) {
    let watch = |fd: &OwnedFd| libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    loop {
        state.polled.clear();
        state.polled.push(watch(requests));
        for build in &state.builds {
            state.polled.push(watch(&build.pidfd));
            let mut control = watch(&build.control);
            if build.killed {
                control.fd = -1;
            }
            state.polled.push(control);
        }
        match sys::poll(&mut state.polled, -1) {
            Ok(()) => return,
            Err(Errno::INTR) => {}
            Err(_) => sys::exit_now(1),
        }
    }
}

/// Kills what is to be killed and reports what has ended.
fn reap(state: &mut State) {
    // From the back, so that removal by swap moves only builds that were looked at.
    for at in (0..state.builds.len()).rev() {
        let ended = state.polled[1 + 2 * at].revents != 0;
        let asked = state.polled[2 + 2 * at].revents != 0;
        let build = &mut state.builds[at];
        if ended {
            let build = state.builds.swap_remove(at);
            if let Ok(end) = sys::wait4(build.pid) {
                let _ = Message::Gone {
                    status: end.status,
                    user: end.user_micros,
                    sys: end.sys_micros,
                    max_rss: end.max_rss,
                }
                .send(&build.control);
            }
        } else if asked {
            // Killing PID 1 kills its namespace. It fails only if init has just ended, which the next round sees.
            let _ = pidfd_send_signal(&build.pidfd, Signal::KILL);
            build.killed = true;
        }
    }
}

/// Clones the first process of a build.
#[allow(unsafe_code)]
fn start(state: &mut State, context: &Context<'_>, request: wire::Request) {
    let refuse = |errno: Errno| {
        let _ = Message::Failed {
            step: Step::Clone as u32,
            errno: errno.raw_os_error(),
            path: b"",
        }
        .send(&request.control);
    };
    if state.builds.len() == MAX_BUILDS {
        return refuse(Errno::AGAIN);
    }
    let mut flags =
        libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
    if !request.network {
        flags |= libc::CLONE_NEWNET;
    }
    // SAFETY: this process has one thread, and `init::run` uses no thread ids.
    match unsafe { sys::clone_process(flags as u64) } {
        Ok(Cloned::Child) => init::run(context, &request),
        Ok(Cloned::Parent { pid, pidfd }) => state.builds.push(Build {
            pid,
            pidfd,
            control: request.control,
            killed: false,
        }),
        Err(errno) => refuse(errno),
    }
}

/// The process id of this module's process, for tests that end it.
#[cfg(test)]
impl Spawner {
    pub(crate) fn pid(&self) -> Option<rustix::process::Pid> {
        rustix::process::Pid::from_raw(self.pid)
    }
}
