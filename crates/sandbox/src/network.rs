//! Network namespaces with nothing but a loopback interface, used again by one build after another.
//!
//! To make and dismantle one costs more processor time than all the rest of a sandbox. A build has one alone, and the next build gets
//! it only if nothing in there tells of the first: its processes are gone, and what the kernel keeps for each namespace ([`WATCHED`]: counters
//! of packets and errors, sockets, flow labels) reads as it did at the beginning, byte for byte. A single packet through the loopback
//! interface, even a refused one, changes a counter; then the namespace is given up, so that no connection in TIME-WAIT and no entry of a cache
//! lives on. Addresses, routes and settings cannot be changed by a build, which has no rights over the namespace.

use std::ffi::CStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use crate::error::Step;
use crate::sys::{self, Cloned};
use crate::wire;

/// What the kernel tells of a network namespace (proc_pid_net(5)).
const WATCHED: [&CStr; 8] = [
    c"/proc/thread-self/net/dev",
    c"/proc/thread-self/net/snmp",
    c"/proc/thread-self/net/netstat",
    c"/proc/thread-self/net/sockstat",
    c"/proc/thread-self/net/unix",
    c"/proc/thread-self/net/snmp6",
    c"/proc/thread-self/net/sockstat6",
    c"/proc/thread-self/net/ip6_flowlabel",
];

/// The greatest size of such a file, in bytes; a longer one is never what it was.
const LONGEST: usize = 16 << 10;

/// A network namespace of its own.
pub(crate) struct Network {
    namespace: OwnedFd,
    /// The open files, and a fingerprint of what they said at the beginning.
    watched: [Option<(OwnedFd, u64)>; WATCHED.len()],
}

impl Network {
    /// Makes a namespace, with the loopback interface up. A process of its own does it: an ordinary user's spawner could not come back
    /// to the machine's network.
    #[allow(unsafe_code)]
    pub(crate) fn new() -> Result<Network, (Step, Errno)> {
        let failed = |errno| (Step::Clone, errno);
        let (here, there) = wire::pair().map_err(failed)?;
        // SAFETY: this process has one thread; the child does system calls on its own copy of the memory and ends by `exit_now`.
        match unsafe { sys::clone_process(0, None) }.map_err(failed)? {
            Cloned::Child => {
                // Its end is the answer: an error number.
                let made = make(there.as_fd());
                sys::exit_now(made.map_or_else(Errno::raw_os_error, |()| 0))
            }
            Cloned::Parent { pid, .. } => {
                drop(there);
                let namespace = wire::receive_descriptor(&here);
                let mut watched = [const { None }; WATCHED.len()];
                for place in &mut watched {
                    // A kernel without IPv6 has fewer of them.
                    let Ok(file) = wire::receive_descriptor(&here) else {
                        break;
                    };
                    let now = fingerprint(&file).map_err(failed)?;
                    *place = Some((file, now));
                }
                let ended = sys::wait4(pid).map_err(failed)?;
                let namespace = namespace.map_err(|_| {
                    let code = libc::WEXITSTATUS(ended.status);
                    failed(Errno::from_raw_os_error(if code == 0 {
                        libc::EIO
                    } else {
                        code
                    }))
                })?;
                Ok(Network { namespace, watched })
            }
        }
    }

    /// The namespace, to be entered by a build's first process.
    pub(crate) fn namespace(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }

    /// Whether it is as it was when it was made. Its processes must have ended.
    pub(crate) fn is_untouched(&self) -> bool {
        self.watched
            .iter()
            .flatten()
            .all(|(file, then)| fingerprint(file).is_ok_and(|now| now == *then))
    }
}

/// Makes a namespace in this process, and sends its descriptors.
#[allow(unsafe_code)]
fn make(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: this process has one thread and shares no descriptor table.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
    sys::loopback_up()?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let namespace = open(c"/proc/thread-self/ns/net", flags, Mode::empty())?;
    wire::send_descriptor(socket, namespace.as_fd())?;
    for path in WATCHED {
        if let Ok(file) = open(path, flags, Mode::empty()) {
            wire::send_descriptor(socket, file.as_fd())?;
        }
    }
    Ok(())
}

/// Enters a network namespace.
pub(crate) fn enter(namespace: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::thread::move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))
}

/// A number that tells contents apart (FNV-1a, of words). It need not withstand an attacker: nobody chooses what counters say.
fn fingerprint(file: &OwnedFd) -> Result<u64, Errno> {
    let mut buffer = [0; LONGEST];
    let mut length = 0;
    loop {
        match rustix::io::pread(file, &mut buffer[length..], length as u64)? {
            0 => break,
            more => length += more,
        }
        if length == LONGEST {
            return Err(Errno::FBIG);
        }
    }
    let words = buffer[..length.next_multiple_of(8)].as_chunks().0;
    Ok(words
        .iter()
        .map(|word| u64::from_ne_bytes(*word))
        .chain([length as u64])
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, word| {
            (hash ^ word).wrapping_mul(0x100_0000_01b3)
        }))
}
