//! The first process of a build, PID 1 of its namespace: sets the sandbox up, starts the builder, and reaps.
//!
//! The builder is its child and not PID 1 itself, because the kernel ignores a signal that PID 1 sends itself or gets from its own
//! namespace (`kill $$`, `abort`), and because a builder does not reap the orphans that fall to PID 1. When the
//! builder has ended, init exits, and the kernel kills all the rest of the namespace.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd as _};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, statat};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};
use rustix::thread::{CapabilitySet, CapabilitySets, LinkNameSpaceType, UnshareFlags};

use crate::error::Step;
use crate::landlock;
use crate::mounts;
use crate::network;
use crate::plan::{FLAG_LINUX32, FLAG_NAMESPACES, FLAG_NETWORK, FLAG_PROBE, FLAG_RANDOMISE, Plan};
use crate::seccomp::Filter;
use crate::spawner::Context;
use crate::spec::{INSIDE_GID, INSIDE_UID};
use crate::sys::{self, Launch};
use crate::wire::{Message, Problem, Request};

/// The execution domain in which `uname` says a 32-bit machine (personality(2)).
const PER_LINUX32: libc::c_int = 0x0008;

/// A step that failed, before it becomes a message.
pub(crate) struct Failure {
    pub(crate) step: Step,
    pub(crate) errno: Errno,
    pub(crate) path: Option<&'static CStr>,
}

fn failed(step: Step) -> impl Fn(Errno) -> Failure {
    move |errno| Failure {
        step,
        errno,
        path: None,
    }
}

/// The life of init.
pub(crate) fn run(context: &Context<'_>, request: &Request) -> ! {
    match set_up(context, request) {
        Err(failure) => {
            let _ = Message::Failed {
                step: failure.step as u32,
                errno: failure.errno.raw_os_error(),
                path: failure.path.map(CStr::to_bytes).unwrap_or_default(),
            }
            .send(&request.control);
            sys::exit_now(1);
        }
        Ok((plan, _)) if plan.has(FLAG_PROBE) => {
            let _ = Message::BuilderEnded {
                status: 0,
                max_rss: 0,
            }
            .send(&request.control);
            sys::exit_now(0);
        }
        Ok((plan, filter)) => supervise(context, request, plan, filter),
    }
}

/// Everything up to the builder's own process.
fn set_up(context: &Context<'_>, request: &Request) -> Result<(Plan, Filter), Failure> {
    tie_to_spawner(context)?;
    hide_control_group();
    if let Some(namespace) = context.network {
        network::enter(namespace).map_err(failed(Step::Clone))?;
    }
    let plan = Plan::map(&request.plan).map_err(failed(Step::Plan))?;
    mounts::mount_inputs(plan)?;
    mounts::mount_dev()?;
    mounts::mount_proc()?;
    if context.identity.builder_is_uid_0() {
        mounts::mask_proc()?;
    }
    mounts::mount_extra(plan)?;
    mounts::enter_root()?;
    let hostname = plan.hostname().map_err(failed(Step::Plan))?;
    rustix::system::sethostname(hostname.to_bytes()).map_err(failed(Step::HostName))?;
    // What `getdomainname` says on a machine without one, as Nix sets it.
    rustix::system::setdomainname(b"(none)").map_err(failed(Step::HostName))?;
    give_up_privileges(context).map_err(failed(Step::Privileges))?;
    tie_to_spawner(context)?;
    limit(plan, request).map_err(failed(Step::Limits))?;
    rustix::process::chdir(c"/build").map_err(failed(Step::EnterBuildDir))?;
    // In a network namespace of its own there are no sockets of others.
    let unix_sockets = !plan.has(FLAG_NETWORK)
        || landlock::confine_abstract_sockets().map_err(failed(Step::Landlock))?;
    let filter = Filter {
        namespaces: plan.has(FLAG_NAMESPACES),
        unix_sockets,
    };
    Ok((plan, filter))
}

/// Makes the control group that this process is in the root of all that the build sees of control groups: `/proc/PID/cgroup` would tell
/// it where on the machine it runs. A kernel without control groups has none to hide.
#[allow(unsafe_code)]
fn hide_control_group() {
    // SAFETY: this process has one thread.
    let _ = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWCGROUP) };
}

/// Asks to be killed with the spawner, and leaves if that has already ended. A change of ids undoes the request.
fn tie_to_spawner(context: &Context<'_>) -> Result<(), Failure> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(failed(Step::Lifeline))?;
    let mut spawner = [libc::pollfd {
        fd: context.spawner.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    }];
    sys::poll(&mut spawner, 0).map_err(failed(Step::Lifeline))?;
    if spawner[0].revents != 0 {
        sys::exit_now(1);
    }
    Ok(())
}

#[allow(unsafe_code)]
fn give_up_privileges(context: &Context<'_>) -> Result<(), Errno> {
    if let Some(user_namespace) = context.user_namespace {
        rustix::thread::move_into_link_name_space(user_namespace, Some(LinkNameSpaceType::User))?;
        let gid = Gid::from_raw(INSIDE_GID);
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        let uid = Uid::from_raw(INSIDE_UID);
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    }
    rustix::thread::clear_ambient_capability_set()?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none)?;
    rustix::thread::set_no_new_privs(true)?;
    // The builder has init's ids; it must not trace init, which holds the control socket.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

/// Sets what the builder inherits: streams, umask, limits, personality.
fn limit(plan: Plan, request: &Request) -> Result<(), Errno> {
    let null = rustix::fs::open(
        c"/dev/null",
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&request.log)?;
    rustix::stdio::dup2_stderr(&request.log)?;
    rustix::process::umask(Mode::from(0o022));
    // No core files, as in Nix; a build may raise the limit again.
    let core = rustix::process::getrlimit(Resource::Core);
    rustix::process::setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: core.maximum,
        },
    )?;
    let limited = request.limited && request.cgroup.is_some();
    if let Some(limit) = plan.max_processes().filter(|_| !limited) {
        let maximum = rustix::process::getrlimit(Resource::Nproc).maximum;
        let limit = maximum.map_or(limit, |maximum| maximum.min(limit));
        let both = Rlimit {
            current: Some(limit),
            maximum: Some(limit),
        };
        rustix::process::setrlimit(Resource::Nproc, both)?;
    }
    let mut personality: libc::c_int = 0;
    if plan.has(FLAG_LINUX32) {
        personality |= PER_LINUX32;
    }
    if !plan.has(FLAG_RANDOMISE) {
        personality |= libc::ADDR_NO_RANDOMIZE;
    }
    if personality != 0 {
        sys::add_personality(personality as libc::c_ulong)?;
    }
    Ok(())
}

/// Starts the builder and waits for its end.
#[allow(unsafe_code)]
fn supervise(context: &Context<'_>, request: &Request, plan: Plan, filter: Filter) -> ! {
    let fail = |step: Step, errno: Errno| -> ! {
        let _ = Message::Failed {
            step: step as u32,
            errno: errno.raw_os_error(),
            path: b"",
        }
        .send(&request.control);
        sys::exit_now(1)
    };
    let program = match plan.builder() {
        Ok(program) => program,
        Err(errno) => fail(Step::Plan, errno),
    };
    // SAFETY: nothing is closed, only marked.
    if let Err(errno) = unsafe { sys::close_from(3, true) } {
        fail(Step::StartBuilder, errno);
    }
    let mut launch = Launch {
        program,
        argv: plan.argv(),
        envp: plan.envp(),
        seccomp: &context.seccomp[filter.index()],
        failure: None,
    };
    let builder = match sys::launch(&mut launch) {
        Ok(pid) => pid,
        Err(errno) => fail(Step::StartBuilder, errno),
    };
    match launch.failure {
        Some((true, errno)) => fail(Step::Seccomp, errno),
        Some((false, errno)) => {
            explain_execution_failure(request, program, errno);
            sys::exit_now(1);
        }
        None => {}
    }
    let mut max_rss = 0;
    loop {
        let Ok(ended) = sys::wait4(-1) else {
            sys::exit_now(1)
        };
        max_rss = ended.max_rss.max(max_rss);
        if ended.pid == builder {
            let _ = Message::BuilderEnded {
                status: ended.status,
                max_rss,
            }
            .send(&request.control);
            sys::exit_now(0);
        }
    }
}

/// Finds out what `execve` did not find, and says so.
fn explain_execution_failure(request: &Request, program: &'static CStr, errno: Errno) {
    let mut head = [0; 4096];
    let (problem, path) = diagnose(program, errno, &mut head);
    let _ = Message::NotExecuted {
        problem,
        errno: errno.raw_os_error(),
        path,
    }
    .send(&request.control);
}

fn diagnose<'a>(
    program: &'static CStr,
    errno: Errno,
    head: &'a mut [u8; 4096],
) -> (Problem, &'a [u8]) {
    let Ok(stat) = statat(CWD, program, AtFlags::empty()) else {
        return (Problem::Missing, b"");
    };
    match errno {
        Errno::TOOBIG => return (Problem::TooLong, b""),
        Errno::NOEXEC => return (Problem::WrongFormat, b""),
        Errno::ACCESS
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile
                || stat.st_mode & 0o111 == 0 =>
        {
            return (Problem::NotExecutable, b"");
        }
        Errno::NOENT => {}
        _ => return (Problem::Other, b""),
    }
    let length = rustix::fs::open(program, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .and_then(|file| rustix::io::read(file.as_fd(), &mut head[..]))
        .unwrap_or(0);
    let head = &head[..length];
    if let Some(rest) = head.strip_prefix(b"#!") {
        let line = rest
            .split(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        let interpreter = line
            .split(u8::is_ascii_whitespace)
            .next()
            .unwrap_or_default();
        return (Problem::ScriptInterpreterMissing, interpreter);
    }
    match elf_interpreter(head) {
        Some(interpreter) => (Problem::DynamicLinkerMissing, interpreter),
        None => (Problem::Other, b""),
    }
}

/// The interpreter of a 64- or 32-bit little-endian ELF program whose beginning is given (System V ABI, "Program Header").
fn elf_interpreter(head: &[u8]) -> Option<&[u8]> {
    let class64 = match head.get(..6)? {
        [0x7f, b'E', b'L', b'F', 2, 1] => true,
        [0x7f, b'E', b'L', b'F', 1, 1] => false,
        _ => return None,
    };
    let word = |at: usize, size: usize| -> Option<usize> {
        let bytes = head.get(at..at.checked_add(size)?)?;
        let value = bytes
            .iter()
            .rev()
            .fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        usize::try_from(value).ok()
    };
    let (table, size, count, offset_at, length_at, width) = if class64 {
        (word(32, 8)?, word(54, 2)?, word(56, 2)?, 8, 32, 8)
    } else {
        (word(28, 4)?, word(42, 2)?, word(44, 2)?, 4, 16, 4)
    };
    (0..count).find_map(|index| {
        let entry = table.checked_add(index.checked_mul(size)?)?;
        if word(entry, 4)? != 3 {
            return None; // not PT_INTERP
        }
        let start = word(entry.checked_add(offset_at)?, width)?;
        let length = word(entry.checked_add(length_at)?, width)?;
        head.get(start..start.checked_add(length)?)?
            .split(|byte| *byte == 0)
            .next()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_elf_headers_have_no_interpreter() {
        let mut head = vec![0xff; 4096];
        head[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
        assert_eq!(elf_interpreter(&head), None);
        assert_eq!(elf_interpreter(&head[..20]), None);
        assert_eq!(elf_interpreter(b""), None);
    }

    #[test]
    fn the_interpreter_of_this_test_is_found() {
        let program = std::fs::read("/proc/self/exe").unwrap();
        let found = elf_interpreter(&program[..4096]);
        if let Some(path) = found {
            assert!(path.starts_with(b"/"), "{path:?}");
        }
    }
}
