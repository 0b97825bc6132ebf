//! Immutable arrays behind thin pointers: strings, paths, applications, and what lists and sets are made of.

use std::marker::PhantomData;
use std::ptr::NonNull;

use super::Handle;
use super::growing::Room;
use crate::value::Value;

/// What stands before the elements.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct ArrayHeader<H> {
    pub(super) head: H,
    /// How many elements there are. They follow, or with the bit [`VIEW`] this is the header of a [`View`].
    pub(super) len: usize,
}

/// Set in the length of an array whose elements lie elsewhere.
pub(super) const VIEW: usize = 1 << (usize::BITS - 1);

/// An array whose elements belong to another one too.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct View<H, T: 'static> {
    pub(super) header: ArrayHeader<H>,
    pub(super) elements: *const T,
    /// Where the elements lie, if others can be put beside them.
    pub(super) room: Option<&'static Room<T>>,
}

/// An immutable array in the heap behind a thin pointer, with a header word of type `H`.
pub struct Array<H, T> {
    pub(super) header: NonNull<ArrayHeader<H>>,
    pub(super) marker: PhantomData<*const T>,
}

impl<H, T> Clone for Array<H, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H, T> Copy for Array<H, T> {}

impl<H: Copy + 'static, T: Copy + 'static> std::fmt::Debug for Array<H, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "array of {}", self.len())
    }
}

impl<H: Copy + 'static, T: Copy + 'static> Array<H, T> {
    #[inline]
    fn header(self) -> ArrayHeader<H> {
        // SAFETY: invariants 1 and 4: the header was initialised when the array was made, never changes and never goes
        // away.
        unsafe { *self.header.as_ptr() }
    }

    /// The elements.
    #[inline]
    #[must_use]
    pub fn as_slice(self) -> &'static [T] {
        let elements = match self.view() {
            None => self.header.as_ptr().wrapping_add(1).cast::<T>(),
            Some(view) => view.elements.cast_mut(),
        };
        // SAFETY: invariants 1 and 4: `len` elements were initialised before the array was known, never change and never go
        // away.
        unsafe { std::slice::from_raw_parts(elements, self.len()) }
    }

    /// What the array is, if its elements lie elsewhere.
    #[inline]
    pub(super) fn view(self) -> Option<&'static View<H, T>> {
        if self.header().len & VIEW == 0 {
            return None;
        }
        // SAFETY: a header with this bit is that of a view (invariant 3).
        Some(unsafe { self.header.cast::<View<H, T>>().as_ref() })
    }

    /// The header word.
    #[inline]
    #[must_use]
    pub fn head(self) -> H {
        self.header().head
    }

    /// How many elements there are.
    #[inline]
    #[must_use]
    pub fn len(self) -> usize {
        self.header().len & !VIEW
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl<H: Copy + 'static, T: Copy + 'static> Handle for Array<H, T> {
    #[inline]
    fn start(self) -> NonNull<u64> {
        self.header.cast()
    }

    #[inline]
    unsafe fn from_start(start: NonNull<u64>) -> Self {
        Self {
            header: start.cast(),
            marker: PhantomData,
        }
    }
}

/// A function (the header) with the arguments it is to be applied to.
pub type Application = Array<Value, Value>;
