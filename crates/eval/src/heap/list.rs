//! Lists as they lie in memory.

use std::ptr::NonNull;

use super::{Array, Handle, Heap};
use crate::value::Value;

/// A list in the heap: its elements may be thunks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct List {
    /// Points at a word with the number of elements. Either it is that of an `Array<(), Value>`; or, if it has the bit
    /// [`List::VIEW`], it is the first word of a [`View`].
    header: NonNull<u64>,
}

/// A list whose elements belong to another one.
#[derive(Clone, Copy)]
#[repr(C)]
struct View {
    /// As of [`List::header`].
    len: u64,
    elements: *const Value,
}

impl Heap {
    /// A list of at most `capacity` elements.
    #[inline]
    pub fn list_from_iter(self, capacity: usize, values: impl IntoIterator<Item = Value>) -> List {
        List {
            header: self.array_from_iter((), capacity, values).start(),
        }
    }

    /// A list of these elements.
    #[inline]
    pub fn list(self, values: &[Value]) -> List {
        self.list_from_iter(values.len(), values.iter().copied())
    }

    /// The elements of `list` from index `from` on, not copied if they are many.
    pub fn list_tail(self, list: List, from: usize) -> List {
        let rest = &list.as_slice()[from..];
        if rest.len() < 2 {
            return self.list(rest);
        }
        let object = self.alloc(View {
            len: rest.len() as u64 | List::VIEW,
            elements: rest.as_ptr(),
        });
        List {
            header: NonNull::from(object).cast(),
        }
    }
}

impl List {
    const VIEW: u64 = 1 << 63;

    #[inline]
    fn header(self) -> u64 {
        // SAFETY: invariant 1; the header never changes.
        unsafe { self.header.read() }
    }

    /// How many elements there are.
    #[inline]
    #[must_use]
    pub fn len(self) -> usize {
        (self.header() & !Self::VIEW) as usize
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The elements.
    #[inline]
    #[must_use]
    pub fn as_slice(self) -> &'static [Value] {
        // SAFETY: invariants 1 and 4: the header is that of an array, or of a view of the elements of one.
        unsafe {
            if self.header() & Self::VIEW == 0 {
                Array::<(), Value>::from_start(self.header).as_slice()
            } else {
                let view = self.header.cast::<View>().as_ref();
                std::slice::from_raw_parts(view.elements, self.len())
            }
        }
    }
}

impl Handle for List {
    #[inline]
    fn start(self) -> NonNull<u64> {
        self.header
    }

    #[inline]
    unsafe fn from_start(start: NonNull<u64>) -> Self {
        Self { header: start }
    }
}
