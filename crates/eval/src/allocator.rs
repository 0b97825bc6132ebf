//! A global allocator for programs that evaluate: where there is no more memory, they end with an error.
//!
//! An evaluation takes as much memory as its program asks for. Without this, a limit on it (`ulimit -v`, a control group) would
//! end in an abort with a core dump, as if it were a fault of ours.

// An allocator is unsafe to implement. This one hands everything to another.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::io::Write as _;

/// Another allocator, except that it never fails: the process ends with exit code 1 instead.
#[derive(Debug, Clone, Copy, Default)]
pub struct EndingAllocator<A>(pub A);

const MESSAGE: &[u8] = b"error: out of memory\n\
    hint: the machine, its control group or `ulimit -v` allows no more: raise the limit, or evaluate less at once\n";

#[inline]
fn checked(memory: *mut u8) -> *mut u8 {
    if memory.is_null() {
        end();
    }
    memory
}

/// Ends the process, since there is no more memory. Takes none.
#[cold]
#[inline(never)]
pub(crate) fn end() -> ! {
    // A stderr that is gone changes nothing.
    let _ = std::io::stderr().write_all(MESSAGE);
    std::process::exit(1)
}

// SAFETY: every method hands its arguments to the same method of `A` and returns what that returns, so the contract is
// kept by `A`, whose requirements on the caller are the same. Ending the process is no return.
unsafe impl<A: GlobalAlloc> GlobalAlloc for EndingAllocator<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        checked(unsafe { self.0.alloc(layout) })
    }

    #[inline]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { self.0.dealloc(memory, layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        checked(unsafe { self.0.alloc_zeroed(layout) })
    }

    #[inline]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        checked(unsafe { self.0.realloc(memory, layout, size) })
    }
}
