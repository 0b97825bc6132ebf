//! Memory that is handed out piece after piece and never given back.

use std::cell::Cell;
use std::ptr::NonNull;

use std::sync::Arc;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

use super::ahead::{self, Piece};

/// All objects are aligned so.
pub(super) const ALIGN: usize = 8;
/// The first mapping, in pages of the usual size: most evaluations of one expression need no more.
const FIRST_MAPPING: usize = 1 << 20;
/// Later mappings double up to this size.
const LARGEST_MAPPING: usize = 64 << 20;
/// The step by which the first mapping is filled with memory.
const FIRST_STEP: usize = 128 << 10;
/// The step by which others are filled with pages of the usual size.
const STEP: usize = 1 << 20;
/// Of one object, no more than this is filled at once: it would take long, and not all of it may come to be used.
const MOST_AT_ONCE: usize = 64 << 20;
/// A huge page.
const HUGE_PAGE: usize = 2 << 20;
/// As long as the arena is smaller than this, it is filled with huge pages. Beyond, they cost more than they save: where a
/// virtual machine gives free memory back to its host, a huge page is memory that the host has to find first, while
/// single pages are those that other programs have just freed.
const MOST_HUGE: usize = 64 << 20;

/// Bump allocation in mappings of growing size.
///
/// Memory comes from the system in steps that are larger than a page, as each page fault costs as much as thousands of
/// the instructions that fill the page; beyond the first mapping, one step ahead, in a thread beside the evaluation, and
/// up to a limit in huge pages where the system has them.
pub(super) struct Arena {
    /// The next free byte; always a multiple of [`ALIGN`].
    next: Cell<*mut u8>,
    /// How many bytes from `next` on have memory.
    room: Cell<usize>,
    /// How many bytes from `next + room` on are mapped.
    mapped: Cell<usize>,
    /// The size of the last mapping.
    last_mapping: Cell<usize>,
    /// Whether that is filled with huge pages.
    huge: Cell<bool>,
    /// How many bytes have memory, or had it when they were handed out.
    total: Cell<usize>,
    /// The next step, if it was asked for.
    ahead: Cell<Option<Arc<Piece>>>,
}

impl Arena {
    pub(super) const fn new() -> Self {
        Self {
            next: Cell::new(std::ptr::null_mut()),
            room: Cell::new(0),
            mapped: Cell::new(0),
            last_mapping: Cell::new(0),
            huge: Cell::new(false),
            total: Cell::new(0),
            ahead: Cell::new(None),
        }
    }

    /// Bytes taken from the system so far.
    pub(super) fn allocated_bytes(&self) -> usize {
        self.total.get()
    }

    /// Fresh memory of `size` bytes, aligned to [`ALIGN`]. Its contents are zero.
    #[inline]
    pub(super) fn alloc(&self, size: usize) -> NonNull<u8> {
        let size = size.next_multiple_of(ALIGN);
        if size > self.room.get() {
            self.grow(size);
        }
        let start = self.next.get();
        self.room.set(self.room.get() - size);
        // SAFETY: `size` bytes from `next` on belong to the current mapping, and `next` is not null once there is room;
        // for a size of zero before the first mapping, `grow` is not called and the offset is zero.
        unsafe {
            self.next.set(start.add(size));
            if size == 0 {
                return NonNull::<u64>::dangling().cast();
            }
            NonNull::new_unchecked(start)
        }
    }

    /// Takes back the last bytes of what was handed out last, which must still be zero. Does nothing unless they end at `end`.
    #[inline]
    pub(super) fn take_back(&self, end: NonNull<u8>, bytes: usize) {
        if self.next.get() == end.as_ptr() {
            // SAFETY: `bytes` before `next` are of the current mapping, since they were handed out last.
            self.next.set(unsafe { end.as_ptr().sub(bytes) });
            self.room.set(self.room.get() + bytes);
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&self, size: usize) {
        let missing = size - self.room.get();
        if missing > self.mapped.get() {
            self.map(size);
        }
        let step = match self.last_mapping.get() {
            FIRST_MAPPING => FIRST_STEP,
            _ if self.huge.get() => HUGE_PAGE,
            _ => STEP,
        };
        let missing = size - self.room.get();
        let more = missing.next_multiple_of(step).min(self.mapped.get());
        // SAFETY: the bytes behind the room are mapped and unused, and only get their memory earlier than they would.
        unsafe {
            let start = NonNull::new_unchecked(self.next.get().add(self.room.get()));
            let ahead = self.ahead.take();
            if !ahead.is_some_and(|piece| piece.is_ready(start, more)) {
                ahead::populate(start, more.min(MOST_AT_ONCE));
            }
            self.room.set(self.room.get() + more);
            self.mapped.set(self.mapped.get() - more);
            self.total.set(self.total.get() + more);
            if step != FIRST_STEP && self.mapped.get() >= step {
                self.ahead.set(Piece::ask(start.add(more), step));
            }
        }
    }

    /// Goes on in a new mapping with room for at least `size` bytes.
    fn map(&self, size: usize) {
        let last = self.last_mapping.get();
        let smallest = size.next_multiple_of(HUGE_PAGE);
        let mut wanted = match last {
            0 if size <= FIRST_MAPPING => FIRST_MAPPING,
            0..=FIRST_MAPPING => smallest.max(4 * HUGE_PAGE),
            _ => smallest.max((2 * last).min(LARGEST_MAPPING)),
        };
        let (start, length) = loop {
            // Beyond the first mapping, room to begin at a huge page.
            let slack = if wanted > FIRST_MAPPING { HUGE_PAGE } else { 0 };
            // SAFETY: a new anonymous mapping, which overlaps nothing.
            let mapping = unsafe {
                mmap_anonymous(
                    std::ptr::null_mut(),
                    wanted + slack,
                    ProtFlags::READ | ProtFlags::WRITE,
                    MapFlags::PRIVATE | MapFlags::NORESERVE,
                )
            };
            match mapping {
                Ok(start) => {
                    let start = start.cast::<u8>();
                    let skipped = if slack == 0 {
                        0
                    } else {
                        start.align_offset(HUGE_PAGE).min(slack)
                    };
                    // SAFETY: within the mapping.
                    break (unsafe { start.add(skipped) }, wanted);
                }
                // A limit on the address space: less may still do.
                Err(_) if wanted > smallest => wanted = (wanted / 2).max(smallest),
                Err(_) => crate::allocator::end(),
            }
        };
        self.huge
            .set(length > FIRST_MAPPING && self.total.get() < MOST_HUGE);
        if self.huge.get() {
            // SAFETY: advice on the new mapping, which changes no contents. A system without huge pages refuses it.
            let _ = unsafe { madvise(start.cast(), length, Advice::LinuxHugepage) };
        }
        self.next.set(start);
        self.room.set(0);
        self.mapped.set(length);
        self.last_mapping.set(length.max(last));
    }
}
