//! Run-time environments.

use std::cell::Cell;
use std::ptr::NonNull;

use super::{ADDRESS_BITS, ADDRESS_MASK};
use crate::value::Value;

/// A run-time environment: the slots of one frame, and the frame around it.
#[derive(Clone, Copy)]
pub struct Env {
    /// Points at the header word: the address of the outer frame, 15 bits of length, and [`Env::CAPTURED`]. Where the bits
    /// do not suffice for the length, they are all ones, and the word before the header has it.
    pub(super) ptr: NonNull<u64>,
}

impl Env {
    pub(super) const WIDE: usize = 0x7fff;
    /// Set in the header of a frame that a thunk, a function or an inner frame refers to.
    const CAPTURED: u64 = 1 << 63;

    #[inline]
    pub(super) fn header(self) -> &'static Cell<u64> {
        // SAFETY: invariant 1; the header is only accessed through this cell.
        unsafe { self.ptr.cast::<Cell<u64>>().as_ref() }
    }

    #[inline]
    pub(super) fn len(self) -> usize {
        let len = ((self.header().get() & !Self::CAPTURED) >> ADDRESS_BITS) as usize;
        if len == Self::WIDE {
            // SAFETY: a header with this length is preceded by a length word.
            return unsafe { self.ptr.sub(1).read() as usize };
        }
        len
    }

    /// Notes that something in the heap refers to this frame from now on.
    #[inline]
    pub(super) fn capture(self) {
        let header = self.header();
        header.set(header.get() | Self::CAPTURED);
    }

    #[inline]
    pub(super) fn is_captured(self) -> bool {
        self.header().get() & Self::CAPTURED != 0
    }

    /// The frame around this one, if there is one.
    #[inline]
    pub(super) fn outer(self) -> Option<Self> {
        let address = (self.header().get() & ADDRESS_MASK) as usize;
        let ptr = NonNull::new(std::ptr::with_exposed_provenance_mut(address))?;
        Some(Self { ptr })
    }

    /// The frame around this one.
    ///
    /// # Panics
    ///
    /// If this is the outermost.
    #[inline]
    #[must_use]
    pub fn up(self) -> Self {
        self.outer().expect("the compiler counts frames right")
    }

    #[inline]
    fn cell(self, slot: u32) -> &'static Cell<Option<Value>> {
        let slot = slot as usize;
        let short = (self.header().get() >> ADDRESS_BITS) as usize & Self::WIDE;
        if slot >= short {
            assert!(slot < self.len(), "the compiler counts slots right");
        }
        // SAFETY: in bounds; slots are words that are either zero or a `Value`, which is what `Option<Value>` is
        // (`Value` is a transparent wrapper of `NonZeroU64`), and are only accessed through this cell.
        unsafe {
            &*self
                .ptr
                .add(1 + slot)
                .cast::<Cell<Option<Value>>>()
                .as_ptr()
        }
    }

    /// The value in a slot, unless it has not been set yet.
    #[inline]
    #[must_use]
    pub fn get(self, slot: u32) -> Option<Value> {
        self.cell(slot).get()
    }

    /// Sets a slot.
    #[inline]
    pub fn set(self, slot: u32, value: Value) {
        self.cell(slot).set(Some(value));
    }
}
