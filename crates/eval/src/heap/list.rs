//! Lists as they lie in memory.

use std::ptr::NonNull;

use super::{Heap, Word};
use crate::value::Value;

/// A list in the heap: its elements may be thunks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct List {
    /// Points at a word with the number of elements. The elements follow; or, if the word has the bit [`List::VIEW`], it is
    /// the first of a [`View`].
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
        let size = size_of::<Value>()
            .checked_mul(capacity)
            .and_then(|bytes| bytes.checked_add(size_of::<u64>()))
            .expect("an object smaller than the address space");
        let header = self.arena.alloc(size).cast::<u64>();
        // SAFETY: the memory holds the header and `capacity` elements, and nobody else knows it yet. At most `capacity`
        // elements are written, from the front, and exactly as many are counted.
        unsafe {
            let elements = header.add(1).cast::<Value>();
            let mut len = 0;
            for value in values.into_iter().take(capacity) {
                elements.add(len).write(value);
                len += 1;
            }
            header.write(len as u64);
        }
        List { header }
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
        // SAFETY: invariants 1 and 4: the elements follow the header, or lie where the word behind it says.
        unsafe {
            let elements = if self.header() & Self::VIEW == 0 {
                self.header.add(1).cast::<Value>().as_ptr().cast_const()
            } else {
                self.header.cast::<View>().as_ref().elements
            };
            std::slice::from_raw_parts(elements, self.len())
        }
    }

    /// Whether both are the same object.
    #[inline]
    #[must_use]
    pub fn same(self, other: Self) -> bool {
        self.header == other.header
    }

    /// The address, which identifies the object.
    #[inline]
    #[must_use]
    pub fn address(self) -> usize {
        self.header.as_ptr().addr()
    }

    #[inline]
    pub(super) fn into_word(self, tag: u8) -> Word {
        Word::from_address(tag, self.header.as_ptr().expose_provenance())
    }

    /// # Safety
    ///
    /// `word` was made by `into_word`.
    #[inline]
    pub(super) unsafe fn from_word(word: Word) -> Self {
        let pointer = std::ptr::with_exposed_provenance_mut(word.address());
        // SAFETY: not null by the contract of this function.
        let header = unsafe { NonNull::new_unchecked(pointer) };
        Self { header }
    }
}
