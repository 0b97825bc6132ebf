//! User namespaces that builds enter when their mounts are done.
//!
//! A namespace is made by a helper, a process that is cloned into it and waits until its ids are mapped. The plain one outlives its
//! helper. An emulating one is the child of another, in which the helper is uid 0, since that owns `binfmt_misc`'s files; it lives as
//! long as its helper, which keeps the mount.

use std::ffi::CStr;
use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Signal, pidfd_send_signal};

use crate::emulation;
use crate::error::Step;
use crate::spec::{INSIDE_GID, INSIDE_UID, Machine};
use crate::sys::{self, Cloned};
use crate::wire::{self, MESSAGE_MAX, Message};

type Failure = (Step, Errno);

/// A uid and a gid.
pub(crate) type Ids = (u32, u32);

/// The builder's ids inside.
const INSIDE: Ids = (INSIDE_UID, INSIDE_GID);

/// A process in a new user namespace, and the socket over which it hears that its ids are mapped.
struct Helper {
    pid: libc::pid_t,
    pidfd: OwnedFd,
    socket: OwnedFd,
}

impl Helper {
    /// Clones a helper, which lives `life`, and maps `inside` to `outside` for it.
    #[allow(unsafe_code)]
    fn start(
        flags: libc::c_int,
        inside: Ids,
        outside: Ids,
        life: &dyn Fn(&OwnedFd) -> Result<(), Failure>,
    ) -> Result<Helper, Failure> {
        let new = |errno| (Step::UserNamespace, errno);
        let (here, there) = wire::pair().map_err(new)?;
        // SAFETY: this process has one thread; the helper does system calls on its own copy of the memory and ends by `exit_now`.
        match unsafe { sys::clone_process((flags | libc::CLONE_NEWUSER) as u64, None) }
            .map_err(new)?
        {
            Cloned::Child => {
                let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
                if let Err((step, errno)) = life(&there) {
                    let _ = Message::Refused {
                        step: step as u32,
                        errno: errno.raw_os_error(),
                    }
                    .send(&there);
                }
                sys::exit_now(0)
            }
            Cloned::Parent { pid, pidfd } => {
                drop(there);
                let helper = Helper {
                    pid,
                    pidfd,
                    socket: here,
                };
                let map = || {
                    write_maps(proc_path(pid, "")?.as_c_str()?, inside, outside)?;
                    Message::Ready.send(&helper.socket)
                };
                match map() {
                    Ok(()) => Ok(helper),
                    Err(errno) => {
                        helper.end();
                        Err((Step::IdMaps, errno))
                    }
                }
            }
        }
    }

    fn end(&self) {
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        let _ = sys::wait4(self.pid);
    }
}

/// A user namespace in which the builder's ids are `outside` of the caller's.
pub(crate) fn plain(outside: Ids) -> Result<OwnedFd, Failure> {
    let helper = Helper::start(0, INSIDE, outside, &|_| loop {
        let _ = sys::poll(&mut [], -1);
    })?;
    let opened = proc_path(helper.pid, "ns/user").and_then(|path| {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        rustix::fs::open(path.as_c_str()?, flags, Mode::empty())
    });
    helper.end();
    opened.map_err(|errno| (Step::IdMaps, errno))
}

/// A user namespace with an emulator, as long as this is not dropped.
pub(crate) struct Emulating {
    pub(crate) namespace: OwnedFd,
    _helper: Helper,
}

/// A user namespace as [`plain`], in which programs for `machine` run through the program that `emulator` has open.
pub(crate) fn emulating(
    outside: Ids,
    emulator: BorrowedFd<'_>,
    machine: Machine,
) -> Result<Emulating, Failure> {
    // To mount, the helper needs a mount namespace that belongs to its user namespace.
    let helper = Helper::start(libc::CLONE_NEWNS, (0, 0), outside, &|socket| {
        keep_emulating(socket, emulator, machine)
    })?;
    let told = hear(&helper.socket).and_then(|()| {
        wire::receive_descriptor(&helper.socket).map_err(|errno| (Step::UserNamespace, errno))
    });
    match told {
        Ok(namespace) => Ok(Emulating {
            namespace,
            _helper: helper,
        }),
        Err(failure) => {
            helper.end();
            Err(failure)
        }
    }
}

/// The life of an emulating namespace's helper.
#[allow(unsafe_code)]
fn keep_emulating(
    socket: &OwnedFd,
    emulator: BorrowedFd<'_>,
    machine: Machine,
) -> Result<(), Failure> {
    let new = |errno| (Step::UserNamespace, errno);
    let _ = rustix::thread::set_name(c"xbuild-emulator");
    // The descriptors of builds that run or start would otherwise stay open here.
    // SAFETY: nothing but these two is used from here on.
    unsafe { sys::keep_two(socket.as_fd(), emulator) }.map_err(new)?;
    hear(socket)?;
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(new)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(new)?;
    // A change of ids takes `/proc/PID` of this process and its children from it, and undoes the first request.
    rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(new)?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(new)?;
    let mount = emulation::register(emulator, machine)?;
    let inner = plain((0, 0))?;
    Message::Ready.send(socket).map_err(new)?;
    wire::send_descriptor(socket, inner.as_fd()).map_err(new)?;
    drop(inner);
    // Until the other end is closed, which happens when the spawner ends.
    let ended = hear(socket);
    drop(mount);
    ended
}

/// Waits for [`Message::Ready`].
fn hear(socket: &OwnedFd) -> Result<(), Failure> {
    let mut packet = [0; MESSAGE_MAX];
    let length = loop {
        match rustix::io::read(socket, &mut packet) {
            Err(Errno::INTR) => {}
            Err(errno) => return Err((Step::UserNamespace, errno)),
            Ok(length) => break length,
        }
    };
    match Message::parse(&packet[..length]) {
        Some(Message::Ready) => Ok(()),
        Some(Message::Refused { step, errno }) => Err((
            Step::from_code(step).unwrap_or(Step::UserNamespace),
            Errno::from_raw_os_error(errno),
        )),
        _ => Err((Step::UserNamespace, Errno::CONNRESET)),
    }
}

/// A path or line put together without allocation.
pub(crate) struct Text {
    bytes: [u8; 512],
    length: usize,
}

impl Text {
    pub(crate) fn new(arguments: std::fmt::Arguments<'_>) -> Result<Text, Errno> {
        let mut bytes = [0; 512];
        let mut rest = &mut bytes[..511];
        rest.write_fmt(arguments).map_err(|_| Errno::NAMETOOLONG)?;
        let length = 511 - rest.len();
        Ok(Text { bytes, length })
    }

    pub(crate) fn as_c_str(&self) -> Result<&CStr, Errno> {
        CStr::from_bytes_with_nul(&self.bytes[..=self.length]).map_err(|_| Errno::INVAL)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

fn proc_path(pid: libc::pid_t, rest: &str) -> Result<Text, Errno> {
    Text::new(format_args!("/proc/{pid}/{rest}"))
}

/// Maps the builder's ids to `outside` for this process, which has just made its user namespace.
pub(crate) fn map_own_ids(outside: Ids) -> Result<(), Errno> {
    write_maps(c"/proc/self/", INSIDE, outside)
}

/// Maps one uid and one gid inside to those outside, for the process whose directory in `/proc` is given, with the
/// slash at its end (user_namespaces(7)).
fn write_maps(directory: &CStr, inside: Ids, outside: Ids) -> Result<(), Errno> {
    let directory = directory.to_str().map_err(|_| Errno::INVAL)?;
    let write = |name: &str, line: std::fmt::Arguments<'_>| {
        let path = Text::new(format_args!("{directory}{name}"))?;
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::open(path.as_c_str()?, flags, Mode::empty())?;
        rustix::io::write(&file, Text::new(line)?.as_bytes()).map(drop)
    };
    // Without this an ordinary user may not write a gid map.
    write("setgroups", format_args!("deny"))?;
    write("gid_map", format_args!("{} {} 1\n", inside.1, outside.1))?;
    write("uid_map", format_args!("{} {} 1\n", inside.0, outside.0))
}
