//! Memory that is got from the system by a thread beside the evaluation, before it is needed.
//!
//! The system clears each page that it gives out, which takes a good part of the time of an evaluation that makes much.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};

use rustix::mm::{Advice, madvise};

/// Some bytes of a mapping that are to have memory soon.
pub(super) struct Piece {
    start: usize,
    len: usize,
    state: AtomicU8,
    /// Held by the thread while it is at work on the piece.
    working: Mutex<()>,
}

const WANTED: u8 = 0;
const TAKEN: u8 = 1;

/// Gives memory to mapped bytes that nobody uses yet. Where the system does not know the advice, they get it when they are
/// touched.
///
/// # Safety
///
/// The bytes are mapped, and stay so.
pub(super) unsafe fn populate(start: NonNull<u8>, len: usize) {
    // SAFETY: by the contract of this function; the contents of what has memory already do not change.
    let _ = unsafe { madvise(start.as_ptr().cast(), len, Advice::LinuxPopulateWrite) };
}

impl Piece {
    /// Asks for memory for `len` bytes from `start` on. `None` if there is no thread for it.
    ///
    /// # Safety
    ///
    /// The bytes are mapped for the rest of the process.
    pub(super) unsafe fn ask(start: NonNull<u8>, len: usize) -> Option<Arc<Self>> {
        static THREAD: OnceLock<Option<SyncSender<Arc<Piece>>>> = OnceLock::new();
        let thread = THREAD.get_or_init(|| {
            // More than one evaluation at a time is rare. Where the thread is behind, the evaluations help themselves.
            let (sender, receiver) = sync_channel::<Arc<Self>>(4);
            std::thread::Builder::new()
                .name("memory".into())
                .stack_size(64 << 10)
                .spawn(move || {
                    for piece in receiver {
                        piece.work();
                    }
                })
                .ok()
                .map(|_| sender)
        });
        let piece = Arc::new(Self {
            start: start.as_ptr().expose_provenance(),
            len,
            state: AtomicU8::new(WANTED),
            working: Mutex::new(()),
        });
        thread.as_ref()?.try_send(Arc::clone(&piece)).ok()?;
        Some(piece)
    }

    /// Makes the caller the one who gets the memory, if nobody has begun.
    fn take(&self) -> bool {
        self.state.swap(TAKEN, Ordering::AcqRel) == WANTED
    }

    fn work(&self) {
        let Ok(_working) = self.working.lock() else {
            return;
        };
        if !self.take() {
            return;
        }
        let start = std::ptr::with_exposed_provenance_mut(self.start);
        if let Some(start) = NonNull::new(start) {
            // SAFETY: by the contract of `ask`.
            unsafe { populate(start, self.len) };
        }
    }

    /// Whether this is the piece of these bytes, and they have their memory now.
    pub(super) fn is_ready(&self, start: NonNull<u8>, len: usize) -> bool {
        if self.start != start.as_ptr().addr() || self.len < len || self.take() {
            return false;
        }
        // The thread has begun, and will be done sooner than who begins now.
        self.working.lock().is_ok()
    }
}
