//! The machine stack: evaluation is recursive, so it gets a big one, and how much is left is checked.

use std::cell::Cell;
use std::io;

/// The stack that [`with_big_stack`] asks for. It is only reserved; memory is used as far as the recursion goes.
const BIG_STACK: usize = 4 << 30;
/// What a stack must at least have for the evaluation of ordinary programs.
const SMALLEST_STACK: usize = 64 << 20;
/// What is kept free, for builtins and for the error path.
const RESERVE: usize = 512 << 10;
/// What a thread that was not started by [`with_big_stack`] is taken to have left where it is first seen.
const UNKNOWN_STACK: usize = 1 << 20;

thread_local! {
    /// Below this address the stack must not grow; 0 where it is not known yet.
    static LIMIT: Cell<usize> = const { Cell::new(0) };
}

/// An address in the current stack frame.
#[inline(always)]
fn here() -> usize {
    let marker = 0_u8;
    std::hint::black_box(std::ptr::from_ref(&marker)).addr()
}

/// The address below which the stack of this thread must not grow.
#[must_use]
pub fn limit() -> usize {
    LIMIT.with(|limit| {
        if limit.get() == 0 {
            limit.set(here().saturating_sub(UNKNOWN_STACK - RESERVE));
        }
        limit.get()
    })
}

/// Whether the stack has reached `limit`.
#[inline(always)]
#[must_use]
pub fn is_exhausted(limit: usize) -> bool {
    here() < limit
}

/// Runs `work` on a thread of its own with a stack big enough for any recursion that `max-call-depth` allows.
///
/// # Errors
///
/// If the system refuses even a smaller stack.
pub fn with_big_stack<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let mut work = Some(work);
    let mut size = BIG_STACK;
    loop {
        let attempt = std::thread::scope(|scope| {
            let slot = &mut work;
            let thread = std::thread::Builder::new()
                .name("eval".into())
                .stack_size(size)
                .spawn_scoped(scope, move || {
                    LIMIT.with(|limit| limit.set(here().saturating_sub(size - RESERVE)));
                    slot.take().map(|work| work())
                });
            match thread {
                Ok(thread) => match thread.join() {
                    Ok(result) => Ok(result),
                    Err(panic) => std::panic::resume_unwind(panic),
                },
                Err(error) => Err(error),
            }
        });
        match attempt {
            Ok(Some(result)) => return Ok(result),
            Ok(None) => return Err(io::Error::other("the evaluation thread ran twice")),
            // Limits on address space (`ulimit -v`) or strict overcommit: try with less.
            Err(_) if size / 2 >= SMALLEST_STACK => size /= 2,
            Err(error) => return Err(error),
        }
    }
}
