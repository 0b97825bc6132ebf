//! The few system calls that rustix does not offer, each with its types checked once here.
//!
//! Everything here is usable between fork and exec: no allocation, no locks.

use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use rustix::io::Errno;

type Result<T> = std::result::Result<T, Errno>;

fn check(result: libc::c_long) -> Result<libc::c_long> {
    if result < 0 {
        Err(last_errno())
    } else {
        Ok(result)
    }
}

/// The error of the last libc call of this thread.
#[allow(unsafe_code)]
pub(crate) fn last_errno() -> Errno {
    // SAFETY: `__errno_location` returns a valid pointer to this thread's errno.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}

/// The two sides of a clone.
pub(crate) enum Cloned {
    /// The new process, on a copy of the caller's memory.
    Child,
    /// The caller, with the new process's id and descriptor.
    Parent { pid: libc::pid_t, pidfd: OwnedFd },
}

/// Of linux/sched.h; the `libc` crate's is too narrow.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `clone3` with `flags` (CLONE_NEW…) and a pidfd, as a fork: the child continues on a copy of the stack, in the given control group if
/// there is one.
///
/// # Safety
///
/// The caller must be the only thread of its process, and must not rely on libc's idea of thread ids in the child.
#[allow(unsafe_code)]
pub(crate) unsafe fn clone_process(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> Result<Cloned> {
    let mut pidfd: libc::c_int = -1;
    // SAFETY: all-zero is the documented "nothing" of every field.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags | libc::CLONE_PIDFD as u64;
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    args.pidfd = (&raw mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: `args` is valid for its size; without CLONE_VM the child has its own copy of this stack.
    let pid = check(unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut args,
            size_of::<libc::clone_args>(),
        )
    })?;
    if pid == 0 {
        return Ok(Cloned::Child);
    }
    // SAFETY: the kernel has stored a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Cloned::Parent {
        pid: pid as libc::pid_t,
        pidfd,
    })
}

/// `fork` through libc, which makes its own allocator usable in the child even when other threads existed.
///
/// # Safety
///
/// In the child, nothing may take a lock that another thread could have held (standard streams, the environment).
#[allow(unsafe_code)]
pub(crate) unsafe fn fork() -> Result<libc::pid_t> {
    // SAFETY: the caller's promise.
    check(libc::c_long::from(unsafe { libc::fork() })).map(|pid| pid as libc::pid_t)
}

/// What `wait4` says of one ended child.
pub(crate) struct Ended {
    pub(crate) pid: libc::pid_t,
    /// The raw wait status.
    pub(crate) status: i32,
    pub(crate) user_micros: u64,
    pub(crate) sys_micros: u64,
    pub(crate) max_rss: u64,
}

/// Waits for the end of child `pid` (-1: any) and retries when interrupted.
#[allow(unsafe_code)]
pub(crate) fn wait4(pid: libc::pid_t) -> Result<Ended> {
    let mut status = 0;
    // SAFETY: all-zero is a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are valid for writes.
        let result = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        match check(libc::c_long::from(result)) {
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
            Ok(pid) => {
                let micros =
                    |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
                return Ok(Ended {
                    pid: pid as libc::pid_t,
                    status,
                    user_micros: micros(usage.ru_utime),
                    sys_micros: micros(usage.ru_stime),
                    max_rss: usage.ru_maxrss as u64 * 1024,
                });
            }
        }
    }
}

/// `mount_setattr(2)` below the working directory: sets and clears `MOUNT_ATTR_*`, and makes mounts private if asked.
#[allow(unsafe_code)]
pub(crate) fn mount_setattr(
    path: &CStr,
    recursive: bool,
    set: u64,
    clear: u64,
    private: bool,
) -> Result<()> {
    let attr = libc::mount_attr {
        attr_set: set,
        attr_clr: clear,
        propagation: if private { libc::MS_PRIVATE } else { 0 },
        userns_fd: 0,
    };
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path ends with NUL and `attr` is valid for its size.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    })
    .map(drop)
}

/// `close_range(2)` from `first` to the greatest descriptor; with `on_exec` they are only marked.
///
/// # Safety
///
/// Without `on_exec`, no descriptor from `first` on may be used afterwards.
#[allow(unsafe_code)]
pub(crate) unsafe fn close_from(first: u32, on_exec: bool) -> Result<()> {
    let flags = if on_exec {
        libc::CLOSE_RANGE_CLOEXEC
    } else {
        0
    };
    // SAFETY: the caller's promise.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) }).map(drop)
}

/// Closes all descriptors from 3 on but `one` and `other`.
///
/// # Safety
///
/// No other descriptor may be used afterwards.
#[allow(unsafe_code)]
pub(crate) unsafe fn keep_two(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> Result<()> {
    let (one, other) = (one.as_raw_fd(), other.as_raw_fd());
    let (low, high) = (one.min(other), one.max(other));
    for (first, end) in [(3, low), (low + 1, high)] {
        if first < end {
            // SAFETY: the caller's promise.
            check(unsafe { libc::syscall(libc::SYS_close_range, first, end - 1, 0) })?;
        }
    }
    // SAFETY: the caller's promise.
    unsafe { close_from(high as u32 + 1, false) }
}

/// Gives every signal its default action and blocks none.
#[allow(unsafe_code)]
pub(crate) fn default_signals() {
    /// The kernel's `struct sigaction`; all-zero is SIG_DFL without flags on every architecture.
    const DEFAULT: [u64; 8] = [0; 8];
    /// The size of the kernel's `sigset_t`.
    const SET: usize = 8;
    let none = 0u64;
    // SAFETY: `rt_sigaction` reads less than 64 bytes and `rt_sigprocmask` 8. The calls are raw because libc keeps signals 32 and 33
    // to itself, and a builder must not inherit those ignored either. Errors (SIGKILL, SIGSTOP) leave the default.
    unsafe {
        for signal in 1..=64 {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                DEFAULT.as_ptr(),
                std::ptr::null::<u64>(),
                SET,
            );
        }
        let set_mask = libc::SIG_SETMASK;
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            set_mask,
            &raw const none,
            std::ptr::null::<u64>(),
            SET,
        );
    }
}

/// `personality(2)`: adds `flags` to the execution domain of this process.
#[allow(unsafe_code)]
pub(crate) fn add_personality(flags: libc::c_ulong) -> Result<()> {
    // SAFETY: no pointers; 0xffffffff only asks.
    let current = check(libc::c_long::from(unsafe {
        libc::personality(0xffff_ffff)
    }))?;
    // SAFETY: no pointers.
    check(libc::c_long::from(unsafe {
        libc::personality(current as libc::c_ulong | flags)
    }))
    .map(drop)
}

/// Sets `IFF_UP` on the interface `lo` of this network namespace (netdevice(7)).
#[allow(unsafe_code)]
pub(crate) fn loopback_up() -> Result<()> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: all-zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an ifreq.
    check(libc::c_long::from(unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS as _,
            &raw const request,
        )
    }))
    .map(drop)
}

/// Loads a seccomp program for this thread. Needs no_new_privs.
#[allow(unsafe_code)]
pub(crate) fn load_seccomp(program: &[libc::sock_filter]) -> Result<()> {
    let description = libc::sock_fprog {
        len: program.len() as libc::c_ushort,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel only reads `len` instructions at `filter`, and checks them.
    check(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const description,
        )
    })
    .map(drop)
}

/// `landlock_create_ruleset(2)`: a descriptor, or a version.
///
/// # Safety
///
/// `attributes` must be valid for `size` bytes, or null with 0.
#[allow(unsafe_code)]
pub(crate) unsafe fn landlock_create_ruleset(
    attributes: *const libc::c_void,
    size: usize,
    flags: u32,
) -> Result<libc::c_long> {
    // SAFETY: the caller's promise.
    check(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, attributes, size, flags) })
}

/// `landlock_restrict_self(2)`.
#[allow(unsafe_code)]
pub(crate) fn landlock_restrict_self(ruleset: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) })
        .map(drop)
}

/// Ends this process at once, running no destructor and no exit handler.
#[allow(unsafe_code)]
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: takes no pointers and does not return.
    unsafe { libc::_exit(code) }
}

/// `poll(2)`; a negative timeout in milliseconds waits for ever.
#[allow(unsafe_code)]
pub(crate) fn poll(fds: &mut [libc::pollfd], timeout: i32) -> Result<()> {
    // SAFETY: the pointer is valid for `len` entries.
    let result = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout) };
    check(libc::c_long::from(result)).map(drop)
}

/// What the builder's process needs between its creation and `execve`.
pub(crate) struct Launch<'a> {
    pub(crate) program: &'a CStr,
    pub(crate) argv: *const *const libc::c_char,
    pub(crate) envp: *const *const libc::c_char,
    pub(crate) seccomp: &'a [libc::sock_filter],
    /// Set by the child when it could not execute: whether the filter was the reason, and the error.
    pub(crate) failure: Option<(bool, Errno)>,
}

/// Starts a process that makes a session, loads the filter and executes, as vfork does: sharing this process's memory, which stands
/// still until the child executes or exits. Returns its id; `launch.failure` says whether it executed.
#[allow(unsafe_code)]
pub(crate) fn launch(launch: &mut Launch<'_>) -> Result<libc::pid_t> {
    extern "C" fn child(argument: *mut libc::c_void) -> libc::c_int {
        // SAFETY: the argument is the `Launch` below, which outlives this child's use of the memory.
        let launch = unsafe { &mut *argument.cast::<Launch<'_>>() };
        let _ = rustix::process::setsid();
        launch.failure = match load_seccomp(launch.seccomp) {
            Err(errno) => Some((true, errno)),
            Ok(()) => {
                // SAFETY: the program ends with NUL; the tables end with a null pointer and hold such strings.
                unsafe { libc::execve(launch.program.as_ptr(), launch.argv, launch.envp) };
                Some((false, last_errno()))
            }
        };
        exit_now(127)
    }
    const STACK: usize = 64 * 1024;
    let mut stack = std::mem::MaybeUninit::<[u128; STACK / 16]>::uninit();
    // SAFETY: the stack grows down from its aligned end; parent and child do not run at the same time (CLONE_VFORK), so the
    // stack and `launch` are not used by both at once.
    let pid = unsafe {
        let top = stack.as_mut_ptr().cast::<u8>().add(STACK);
        libc::clone(
            child,
            top.cast(),
            libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
            std::ptr::from_mut(launch).cast(),
        )
    };
    check(libc::c_long::from(pid)).map(|pid| pid as libc::pid_t)
}

/// Moves `fd` to descriptor 3 and closes all beyond it.
///
/// # Safety
///
/// No other descriptor from 3 on may be used or dropped afterwards.
#[allow(unsafe_code)]
pub(crate) unsafe fn keep_only(fd: OwnedFd) -> Result<OwnedFd> {
    use std::os::fd::IntoRawFd as _;
    let fd = fd.into_raw_fd();
    if fd != 3 {
        // SAFETY: descriptor 3 belongs to nobody any more (the caller's promise).
        check(libc::c_long::from(unsafe {
            libc::dup3(fd, 3, libc::O_CLOEXEC)
        }))?;
    }
    // SAFETY: the caller's promise.
    unsafe { close_from(4, false)? };
    // SAFETY: descriptor 3 is the one just made, or the one that was taken from its owner.
    Ok(unsafe { OwnedFd::from_raw_fd(3) })
}
