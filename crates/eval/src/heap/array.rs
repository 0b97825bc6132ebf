//! Immutable arrays behind thin pointers: strings, paths, applications, and what lists and sets are made of.

use std::marker::PhantomData;
use std::ptr::NonNull;

use super::Handle;
use crate::value::Value;

/// What stands before the elements.
#[repr(C)]
pub(super) struct ArrayHeader<H> {
    pub(super) head: H,
    pub(super) len: usize,
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

impl<H: Copy, T: Copy> std::fmt::Debug for Array<H, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "array of {}", self.len())
    }
}

impl<H: Copy, T: Copy> Array<H, T> {
    /// The elements.
    #[inline]
    #[must_use]
    pub fn as_slice(self) -> &'static [T] {
        // SAFETY: invariants 1 and 4: header and `len` elements were initialised by `array_with`, never change and
        // never go away.
        unsafe {
            std::slice::from_raw_parts(
                self.header.add(1).cast::<T>().as_ptr(),
                (*self.header.as_ptr()).len,
            )
        }
    }

    /// The header word.
    #[inline]
    #[must_use]
    pub fn head(self) -> H {
        // SAFETY: as above.
        unsafe { (*self.header.as_ptr()).head }
    }

    /// How many elements there are.
    #[inline]
    #[must_use]
    pub fn len(self) -> usize {
        // SAFETY: as above.
        unsafe { (*self.header.as_ptr()).len }
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl<H: Copy, T: Copy> Handle for Array<H, T> {
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
