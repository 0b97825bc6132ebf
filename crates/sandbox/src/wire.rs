//! What the processes say to each other, each in one packet of a `SOCK_SEQPACKET` socket.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use crate::spec::Machine;

/// Both ends of a new packet socket.
pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
}

/// The descriptors of one request to the spawner.
pub(crate) struct Request {
    /// The memory file with the plan.
    pub(crate) plan: OwnedFd,
    /// The write end of the log.
    pub(crate) log: OwnedFd,
    /// The build's end of its control socket.
    pub(crate) control: OwnedFd,
    /// Whether the build shares the machine's network.
    pub(crate) network: bool,
    /// Whether the control group limits the number of processes, so that nothing else need to.
    pub(crate) limited: bool,
    /// The control group to start in.
    pub(crate) cgroup: Option<OwnedFd>,
    /// The emulator's program, open, and what it emulates.
    pub(crate) emulator: Option<(OwnedFd, Machine)>,
}

/// Bits of the first byte of a request; each descriptor that may be there has one, in this order.
const NETWORK: u8 = 1;
const LIMITED: u8 = 1 << 1;
const EMULATOR: u8 = 1 << 2;
const CGROUP: u8 = 1 << 3;

/// Sends a request, handing over its descriptors.
pub(crate) fn send_request(socket: impl AsFd, request: &Request) -> Result<(), Errno> {
    let plan = request.plan.as_fd();
    let mut fds: [BorrowedFd<'_>; 5] = [
        plan,
        request.log.as_fd(),
        request.control.as_fd(),
        plan,
        plan,
    ];
    let mut count = 3;
    let mut flags = 0;
    let mut machine = 0;
    if request.network {
        flags |= NETWORK;
    }
    if request.limited {
        flags |= LIMITED;
    }
    if let Some((program, emulated)) = &request.emulator {
        flags |= EMULATOR;
        machine = *emulated as u16;
        fds[count] = program.as_fd();
        count += 1;
    }
    if let Some(cgroup) = &request.cgroup {
        flags |= CGROUP;
        fds[count] = cgroup.as_fd();
        count += 1;
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(5))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds[..count]));
    let [low, high] = machine.to_le_bytes();
    let head = [flags, low, high];
    loop {
        match sendmsg(
            &socket,
            &[IoSlice::new(&head)],
            &mut control,
            SendFlags::NOSIGNAL,
        ) {
            Err(Errno::INTR) => {}
            other => return other.map(drop),
        }
    }
}

/// What [`receive_request`] found.
pub(crate) enum Received {
    Request(Request),
    /// A packet without its descriptors: this process could not hold them.
    Incomplete,
    /// The other side is gone.
    Closed,
}

/// Receives one request.
pub(crate) fn receive_request(socket: impl AsFd) -> Result<Received, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(5))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut head = [0; 3];
    let got = recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut head)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    if got.bytes == 0 {
        return Ok(Received::Closed);
    }
    let mut fds: [Option<OwnedFd>; 5] = [const { None }; 5];
    let mut places = fds.iter_mut();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            for (fd, place) in received.zip(&mut places) {
                *place = Some(fd);
            }
        }
    }
    let [flags, low, high] = head;
    let mut fds = fds.into_iter().flatten();
    let (Some(plan), Some(log), Some(control)) = (fds.next(), fds.next(), fds.next()) else {
        return Ok(Received::Incomplete);
    };
    let mut request = Request {
        plan,
        log,
        control,
        network: flags & NETWORK != 0,
        limited: flags & LIMITED != 0,
        emulator: None,
        cgroup: None,
    };
    if flags & EMULATOR != 0 {
        request.emulator = fds
            .next()
            .zip(Machine::from_code(u16::from_le_bytes([low, high])));
        if request.emulator.is_none() {
            return Ok(Received::Incomplete);
        }
    }
    if flags & CGROUP != 0 {
        request.cgroup = fds.next();
    }
    Ok(Received::Request(request))
}

/// Sends one descriptor.
pub(crate) fn send_descriptor(socket: impl AsFd, fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let fds = [fd];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(
        &socket,
        &[IoSlice::new(&[0])],
        &mut control,
        SendFlags::NOSIGNAL,
    )
    .map(drop)
}

/// Receives one descriptor.
pub(crate) fn receive_descriptor(socket: impl AsFd) -> Result<OwnedFd, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut [0])],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    control
        .drain()
        .find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut received) => received.next(),
            _ => None,
        })
        .ok_or(Errno::BADMSG)
}

/// A message from the spawner or from a build's init, about one build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// The spawner is ready for requests.
    Ready,
    /// A step of the set-up failed, on `path` if that is not empty.
    Failed {
        step: u32,
        errno: i32,
        path: &'a [u8],
    },
    /// The build's first process could not be made, because this step failed.
    Refused { step: u32, errno: i32 },
    /// `execve` of the builder failed; `problem` is a [`Problem`], `path` what it is about.
    NotExecuted {
        problem: Problem,
        errno: i32,
        path: &'a [u8],
    },
    /// The builder ended with this wait status. The greatest resident set is in bytes.
    BuilderEnded { status: i32, max_rss: u64 },
    /// The build's last process is gone. Times in microseconds, over all its processes.
    Gone {
        status: i32,
        user: u64,
        sys: u64,
        max_rss: u64,
    },
}

/// Why a builder could not be executed, as init found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Problem {
    Missing = 0,
    NotExecutable = 1,
    ScriptInterpreterMissing = 2,
    DynamicLinkerMissing = 3,
    WrongFormat = 4,
    TooLong = 5,
    Other = 6,
}

impl Problem {
    const ALL: [Problem; 7] = [
        Problem::Missing,
        Problem::NotExecutable,
        Problem::ScriptInterpreterMissing,
        Problem::DynamicLinkerMissing,
        Problem::WrongFormat,
        Problem::TooLong,
        Problem::Other,
    ];
}

const WORDS: usize = 5;
/// The size of a receive buffer that holds every message: paths are cut at the kernel's `PATH_MAX`.
pub(crate) const MESSAGE_MAX: usize = 8 * WORDS + 4096;

impl<'a> Message<'a> {
    /// Sends the message. An error means that nobody listens any more.
    pub(crate) fn send(&self, socket: impl AsFd) -> Result<(), Errno> {
        let signed = |value: i32| value as u32 as u64;
        let (words, path): ([u64; WORDS], &[u8]) = match *self {
            Message::Ready => ([0; WORDS], &[]),
            Message::Failed { step, errno, path } => {
                ([1, u64::from(step), signed(errno), 0, 0], path)
            }
            Message::Refused { step, errno } => ([5, u64::from(step), signed(errno), 0, 0], &[]),
            Message::NotExecuted {
                problem,
                errno,
                path,
            } => ([2, problem as u64, signed(errno), 0, 0], path),
            Message::BuilderEnded { status, max_rss } => ([3, signed(status), max_rss, 0, 0], &[]),
            Message::Gone {
                status,
                user,
                sys,
                max_rss,
            } => ([4, signed(status), user, sys, max_rss], &[]),
        };
        let mut head = [0; 8 * WORDS];
        for (place, word) in head.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        let parts = [
            IoSlice::new(&head),
            IoSlice::new(&path[..path.len().min(4096)]),
        ];
        loop {
            match sendmsg(
                &socket,
                &parts,
                &mut SendAncillaryBuffer::default(),
                SendFlags::NOSIGNAL,
            ) {
                Err(Errno::INTR) => {}
                other => return other.map(drop),
            }
        }
    }

    /// Reads a packet; `None` if it is none of ours.
    pub(crate) fn parse(packet: &'a [u8]) -> Option<Message<'a>> {
        let (head, path) = packet.split_at_checked(8 * WORDS)?;
        let mut words = [0u64; WORDS];
        for (word, bytes) in words.iter_mut().zip(head.chunks_exact(8)) {
            *word = u64::from_ne_bytes(bytes.try_into().ok()?);
        }
        let signed = |word: u64| word as u32 as i32;
        Some(match words[0] {
            0 => Message::Ready,
            1 => Message::Failed {
                step: words[1] as u32,
                errno: signed(words[2]),
                path,
            },
            2 => Message::NotExecuted {
                problem: *Problem::ALL.get(words[1] as usize)?,
                errno: signed(words[2]),
                path,
            },
            3 => Message::BuilderEnded {
                status: signed(words[1]),
                max_rss: words[2],
            },
            4 => Message::Gone {
                status: signed(words[1]),
                user: words[2],
                sys: words[3],
                max_rss: words[4],
            },
            5 => Message::Refused {
                step: words[1] as u32,
                errno: signed(words[2]),
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_as_sent() {
        let (here, there) = pair().unwrap();
        let messages = [
            Message::Ready,
            Message::Failed {
                step: 3,
                errno: 1,
                path: b"/a b",
            },
            Message::NotExecuted {
                problem: Problem::Other,
                errno: -5,
                path: b"",
            },
            Message::Refused { step: 3, errno: 12 },
            Message::BuilderEnded {
                status: 256,
                max_rss: 1 << 40,
            },
            Message::Gone {
                status: 9,
                user: 1,
                sys: 2,
                max_rss: 3,
            },
        ];
        for message in messages {
            message.send(&here).unwrap();
            let mut buffer = [0; MESSAGE_MAX];
            let length = rustix::io::read(&there, &mut buffer).unwrap();
            assert_eq!(Message::parse(&buffer[..length]), Some(message));
        }
        assert_eq!(Message::parse(b"short"), None);
        for (code, problem) in Problem::ALL.iter().enumerate() {
            assert_eq!(*problem as usize, code);
        }
    }
}
