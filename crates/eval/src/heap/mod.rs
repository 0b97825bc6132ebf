//! The heap: the one module of the evaluator with `unsafe` code.
//!
//! Everything an evaluation makes is put into one arena that is never freed (a process evaluates once, and then
//! builds), so that a value is a plain machine word which may be copied and kept anywhere on its thread.
//!
//! # Invariants
//!
//! 1. Memory handed out by [`Heap::alloc`] is valid for the rest of the process: the arena is leaked, and nothing is
//!    ever returned to it. So every pointer made here is `'static`.
//! 2. Heap addresses fit into 48 bits (true of user space on x86_64 and AArch64 Linux); checked when one is packed
//!    together with a tag.
//! 3. A [`Word`] with the tag of an object was made by this module from a pointer to a fully initialised object of
//!    exactly that type: only the `from_*` constructors set a pointer tag, and each takes the typed handle.
//! 4. Objects are immutable once a handle to them exists, except [`Env`] slots, [`Thunk`]s, the flat copies of [`Layered`]
//!    sets, which are [`Cell`](std::cell::Cell)s, and the part of a [`Room`](growing::Room) that is in no array yet.
//! 5. Fresh memory is zero, and an unset slot of an [`Env`] is a zero word. The thread that gets memory ahead writes nothing.
//! 6. The memory of a frame that nothing in the heap refers to is used again, but only for a frame with as many slots: a
//!    handle to it that was kept by mistake is still a handle to a frame.
//! 7. No handle is `Send` or `Sync`, so the cells are only seen by the thread that made them.

#![allow(unsafe_code)]

mod ahead;
mod arena;
mod array;
mod env;
mod frames;
mod growing;
mod list;
mod set;
mod thunk;
mod word;

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use crate::code::{Code, LambdaCode};
use crate::value::{Closure, Value};
use arena::Arena;
use array::ArrayHeader;

pub use array::{Application, Array};
pub use env::Env;
use frames::FreeFrames;
pub(crate) use growing::Part;
pub use list::List;
pub use set::{Attrs, Layered};
pub use thunk::{Pending, Thunk, ThunkState};
pub use word::{Handle, Word};

/// Addresses have this many bits; the bits above hold tags and small lengths.
const ADDRESS_BITS: u32 = 48;
const ADDRESS_MASK: u64 = (1 << ADDRESS_BITS) - 1;

/// The arena. Copies of it are the same arena.
#[derive(Clone, Copy)]
pub struct Heap {
    arena: &'static Arena,
    frames: &'static FreeFrames,
}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

impl Heap {
    /// A new arena, which lives as long as the process.
    #[must_use]
    pub fn new() -> Self {
        Self {
            arena: Box::leak(Box::new(Arena::new())),
            frames: Box::leak(Box::default()),
        }
    }

    /// Bytes taken from the system so far.
    #[must_use]
    pub fn allocated_bytes(self) -> usize {
        self.arena.allocated_bytes()
    }

    /// Puts one object without drop glue into the arena.
    #[inline]
    pub fn alloc<T: Copy>(self, value: T) -> &'static T {
        self.alloc_code(value)
    }

    /// Puts an object, which may own cells, into the arena. Its destructor never runs.
    #[inline]
    pub fn alloc_code<T>(self, value: T) -> &'static T {
        const { assert!(align_of::<T>() <= arena::ALIGN && size_of::<T>() > 0) };
        let place = self.arena.alloc(size_of::<T>()).cast::<T>();
        // SAFETY: fresh memory of the size and alignment, which never goes away.
        unsafe {
            place.write(value);
            place.as_ref()
        }
    }

    /// Copies a slice into the arena.
    #[inline]
    pub fn alloc_slice<T: Copy>(self, values: &[T]) -> &'static [T] {
        const { assert!(align_of::<T>() <= arena::ALIGN) };
        let place = self.arena.alloc(size_of_val(values)).cast::<T>();
        // SAFETY: fresh memory of the size and alignment, which never goes away.
        unsafe {
            place.copy_from_nonoverlapping(NonNull::from(values).cast(), values.len());
            std::slice::from_raw_parts(place.as_ptr(), values.len())
        }
    }

    /// Moves the elements of a vector into the arena. Their destructors never run.
    pub fn alloc_vec<T>(self, mut values: Vec<T>) -> &'static [T] {
        const { assert!(align_of::<T>() <= arena::ALIGN) };
        let len = values.len();
        let place = self.arena.alloc(size_of_val(values.as_slice())).cast::<T>();
        // SAFETY: fresh memory of the size and alignment, which never goes away; the vector forgets its elements.
        unsafe {
            place.copy_from_nonoverlapping(NonNull::from(values.as_slice()).cast(), len);
            values.set_len(0);
            std::slice::from_raw_parts(place.as_ptr(), len)
        }
    }

    /// An array whose elements are copied from `values`.
    #[inline]
    pub fn array<H: Copy, T: Copy>(self, head: H, values: &[T]) -> Array<H, T> {
        self.array_with(head, values.len(), |uninit| {
            for (slot, value) in uninit.iter_mut().zip(values) {
                slot.write(*value);
            }
            values.len()
        })
    }

    /// An array of at most `capacity` elements which `fill` initialises from the front; it returns how many it wrote, and
    /// must not have written more. What it leaves unused is used for what comes next, unless `fill` itself allocated.
    ///
    /// # Panics
    ///
    /// If `fill` claims more than `capacity`.
    #[inline]
    fn array_with<H: Copy, T: Copy>(
        self,
        head: H,
        capacity: usize,
        fill: impl FnOnce(&mut [MaybeUninit<T>]) -> usize,
    ) -> Array<H, T> {
        const {
            assert!(
                align_of::<ArrayHeader<H>>() <= arena::ALIGN
                    && align_of::<T>() <= align_of::<ArrayHeader<H>>()
            );
        }
        let size = size_of::<T>()
            .checked_mul(capacity)
            .and_then(|bytes| bytes.checked_add(size_of::<ArrayHeader<H>>()))
            .expect("an object smaller than the address space");
        let header = self.arena.alloc(size).cast::<ArrayHeader<H>>();
        // SAFETY: `header` points to fresh memory of `size` bytes, which hold the header followed by `capacity` elements;
        // the element alignment is not stricter than the header's (asserted above). `MaybeUninit` needs no
        // initialisation, and nobody else knows the memory yet.
        unsafe {
            let elements = header.add(1).cast::<MaybeUninit<T>>();
            let len = fill(std::slice::from_raw_parts_mut(elements.as_ptr(), capacity));
            assert!(len <= capacity);
            header.write(ArrayHeader { head, len });
            if len < capacity {
                let end = size.next_multiple_of(arena::ALIGN);
                let used = size_of::<ArrayHeader<H>>() + len * size_of::<T>();
                let unused = end - used.next_multiple_of(arena::ALIGN);
                self.arena.take_back(header.byte_add(end).cast(), unused);
            }
        }
        Array {
            header,
            marker: PhantomData,
        }
    }

    /// An array of exactly the elements that `values` yields, of which there must be `len`, or fewer.
    #[inline]
    pub fn array_from_iter<H: Copy, T: Copy>(
        self,
        head: H,
        len: usize,
        values: impl IntoIterator<Item = T>,
    ) -> Array<H, T> {
        self.array_with(head, len, |uninit| {
            let mut count = 0;
            for (slot, value) in uninit.iter_mut().zip(values) {
                slot.write(value);
                count += 1;
            }
            count
        })
    }

    /// A thunk.
    #[inline]
    pub fn thunk_of(self, pending: Pending) -> &'static Thunk {
        if let Pending::Code(_, env) = pending {
            env.capture();
        }
        self.alloc_code(Thunk::new(pending))
    }

    /// A thunk that will evaluate `code` in `env`.
    #[inline]
    pub fn thunk(self, code: &'static Code, env: Env) -> &'static Thunk {
        self.thunk_of(Pending::Code(code, env))
    }

    /// A function value.
    #[inline]
    pub fn closure(self, code: &'static LambdaCode, env: Env) -> &'static Closure {
        env.capture();
        self.alloc(Closure { code, env })
    }

    /// A thunk that will apply a function to arguments.
    #[inline]
    pub fn thunk_apply(self, fun: Value, args: &[Value]) -> &'static Thunk {
        self.thunk_of(match args {
            [arg] => Pending::ApplyOne(fun, *arg),
            _ => Pending::Apply(self.array(fun, args)),
        })
    }
}
