//! The small process that starts builds.
//!
//! It is forked early, owns the namespaces that builds are cloned from, and has one thread. It waits for requests,
//! clones an [`init`](crate::init) for each, kills a build when its control socket is shut down or closed, and reports the end
//! of each. It ends when xbuild closes the request socket or dies, and its builds end with it.
//!
//! After its fork it allocates nothing, takes no lock and prints nothing: xbuild may have had other threads.

use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::thread::UnshareFlags;

use crate::disguise;
use crate::error::Step;
use crate::identity::{Identity, ROOT_BUILD_ID};
use crate::init;
use crate::namespace::{self, Emulating};
use crate::network::Network;
use crate::seccomp::{self, Filter};
use crate::spec::{INSIDE_GID, INSIDE_UID, Machine};
use crate::sys::{self, Cloned};
use crate::wire::{self, MESSAGE_MAX, Message, Received};

/// The greatest number of builds at once; each needs two descriptors here.
const MAX_BUILDS: usize = 256;

/// The greatest number of emulators that the builds of one process use.
const MAX_EMULATORS: usize = 8;

/// The greatest number of network namespaces that wait for a build; each has nine descriptors.
const MAX_NETWORKS: usize = 32;

/// What builds inherit from the spawner.
pub(crate) struct Context<'a> {
    pub(crate) identity: Identity,
    /// The builders' programs of [`Filter::ALL`].
    pub(crate) seccomp: &'a [Vec<libc::sock_filter>; 4],
    /// The spawner itself, so that a build can see that it has died.
    pub(crate) spawner: BorrowedFd<'a>,
    /// The network namespace of the build, unless it stays in the machine's.
    pub(crate) network: Option<BorrowedFd<'a>>,
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
            emulations: Vec::with_capacity(MAX_EMULATORS),
            networks: Vec::with_capacity(MAX_NETWORKS),
        };
        let arguments = disguise::arguments();
        let filters = Filters {
            own: seccomp::shared_program(),
            builders: Filter::ALL.map(seccomp::own_program),
        };
        // SAFETY: the child takes no lock: it runs `serve` alone, which does system calls on prepared memory.
        let pid = unsafe { sys::fork() }.map_err(failed(Step::Clone))?;
        if pid == 0 {
            serve(&mut state, identity, &filters, arguments, there);
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

/// The programs of the filters of system calls.
struct Filters {
    /// The spawner's, which all builds inherit.
    own: Vec<libc::sock_filter>,
    /// Those of [`Filter::ALL`].
    builders: [Vec<libc::sock_filter>; 4],
}

/// One running build.
struct Build {
    pid: libc::pid_t,
    pidfd: OwnedFd,
    control: OwnedFd,
    killed: bool,
    /// Its network namespace, unless that is the machine's.
    network: Option<Network>,
}

/// An emulator that builds have used, and its user namespace.
struct Emulation {
    /// The file: device and inode.
    program: (u64, u64),
    machine: Machine,
    emulating: Emulating,
}

struct State {
    builds: Vec<Build>,
    polled: Vec<libc::pollfd>,
    emulations: Vec<Emulation>,
    /// Network namespaces that no build has now, as good as new.
    networks: Vec<Network>,
}

/// The life of the spawner.
fn serve(
    state: &mut State,
    identity: Identity,
    filters: &Filters,
    arguments: Option<Range<u64>>,
    requests: OwnedFd,
) -> ! {
    let requests = match isolate(requests) {
        Ok(requests) => requests,
        Err(_) => sys::exit_now(1),
    };
    if let Some(arguments) = arguments {
        disguise::hide_arguments(arguments);
    }
    disguise::offer_to_oom_killer();
    let entered = confine(&filters.own).and_then(|()| enter_namespaces(identity));
    let (spawner, user_namespace) = match entered {
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
        network: None,
        identity,
        seccomp: &filters.builders,
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

/// Gives up what neither this process nor a build has a use for.
fn confine(filter: &[libc::sock_filter]) -> Result<(), (Step, Errno)> {
    rustix::thread::set_no_new_privs(true).map_err(|errno| (Step::Privileges, errno))?;
    sys::load_seccomp(filter).map_err(|errno| (Step::Seccomp, errno))
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
            namespace::map_own_ids((uid, gid)).map_err(|errno| (Step::IdMaps, errno))?;
            None
        }
        Identity::Root { .. } => {
            rustix::thread::set_thread_groups(&[]).map_err(|errno| (Step::Privileges, errno))?;
            Some(namespace::plain((ROOT_BUILD_ID, ROOT_BUILD_ID))?)
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
            if let Some(network) = build.network
                && state.networks.len() < MAX_NETWORKS
                && network.is_untouched()
            {
                state.networks.push(network);
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
fn start(state: &mut State, context: &Context<'_>, mut request: wire::Request) {
    let refuse = |(step, errno): (Step, Errno)| {
        let _ = Message::Refused {
            step: step as u32,
            errno: errno.raw_os_error(),
        }
        .send(&request.control);
    };
    if state.builds.len() == MAX_BUILDS {
        return refuse((Step::Clone, Errno::AGAIN));
    }
    let user_namespace = match &request.emulator {
        None => context.user_namespace,
        Some((program, machine)) => {
            match emulation(&mut state.emulations, context, program.as_fd(), *machine) {
                Ok(namespace) => Some(namespace),
                Err(failure) => return refuse(failure),
            }
        }
    };
    let network = if request.network {
        None
    } else {
        match state.networks.pop().map_or_else(Network::new, Ok) {
            Ok(network) => Some(network),
            Err(failure) => return refuse(failure),
        }
    };
    let flags = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
    // SAFETY: this process has one thread, and `init::run` uses no thread ids.
    let mut cloned =
        unsafe { sys::clone_process(flags as u64, request.cgroup.as_ref().map(AsFd::as_fd)) };
    if cloned.is_err() && request.cgroup.is_some() {
        // Better outside of its control group than not at all.
        request.cgroup = None;
        // SAFETY: as above.
        cloned = unsafe { sys::clone_process(flags as u64, None) };
    }
    match cloned {
        Ok(Cloned::Child) => init::run(
            &Context {
                user_namespace,
                network: network.as_ref().map(Network::namespace),
                ..*context
            },
            &request,
        ),
        Ok(Cloned::Parent { pid, pidfd }) => state.builds.push(Build {
            pid,
            pidfd,
            control: request.control,
            killed: false,
            network,
        }),
        Err(errno) => refuse((Step::Clone, errno)),
    }
}

/// The user namespace in which `program` emulates `machine`; made when it is first asked for.
fn emulation<'a>(
    known: &'a mut Vec<Emulation>,
    context: &Context<'_>,
    program: BorrowedFd<'_>,
    machine: Machine,
) -> Result<BorrowedFd<'a>, (Step, Errno)> {
    let stat = rustix::fs::fstat(program).map_err(|errno| (Step::RegisterEmulator, errno))?;
    let file = (stat.st_dev, stat.st_ino);
    let same = |it: &Emulation| it.program == file && it.machine == machine;
    let at = match known.iter().position(same) {
        Some(at) => at,
        None if known.len() == MAX_EMULATORS => return Err((Step::RegisterEmulator, Errno::MFILE)),
        None => {
            let outside = match context.identity {
                // The spawner is the builder in a user namespace of its own already.
                Identity::Caller { .. } => (INSIDE_UID, INSIDE_GID),
                Identity::Root { .. } => (ROOT_BUILD_ID, ROOT_BUILD_ID),
            };
            known.push(Emulation {
                program: file,
                machine,
                emulating: namespace::emulating(outside, program, machine)?,
            });
            known.len() - 1
        }
    };
    Ok(known[at].emulating.namespace.as_fd())
}

/// The process id of this module's process, for tests that end it.
#[cfg(test)]
impl Spawner {
    pub(crate) fn pid(&self) -> Option<rustix::process::Pid> {
        rustix::process::Pid::from_raw(self.pid)
    }
}
