//! Cancellation that wakes every waiting build at once.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// A flag that many builds watch. Clones are the same flag; once set it stays set.
///
/// [`CancelToken::cancel`] only stores a flag and writes to a file descriptor, so a thread that handles signals may call it.
#[derive(Debug, Clone)]
pub struct CancelToken(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    set: AtomicBool,
    /// Readable from the moment the flag is set; nobody ever reads it, so it wakes all who poll.
    event: OwnedFd,
}

impl CancelToken {
    /// A flag that is not set. Fails only when the process has no file descriptor left.
    pub fn new() -> io::Result<CancelToken> {
        Ok(CancelToken(Arc::new(Shared {
            set: AtomicBool::new(false),
            event: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })))
    }

    /// Kills every build that was given this token or a clone, and keeps further ones from starting.
    pub fn cancel(&self) {
        self.0.set.store(true, Ordering::SeqCst);
        // An eventfd accepts 2^64 - 2 such writes, and when it refuses one it is readable already.
        let _ = rustix::io::write(&self.0.event, &1u64.to_ne_bytes());
    }

    /// Whether [`CancelToken::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.set.load(Ordering::SeqCst)
    }

    /// The flag itself, for work that polls.
    pub fn flag(&self) -> &AtomicBool {
        &self.0.set
    }

    pub(crate) fn event(&self) -> BorrowedFd<'_> {
        self.0.event.as_fd()
    }
}
