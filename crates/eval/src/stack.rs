//! The machine stack: evaluation is recursive, so it gets a big one, and how much is left is checked.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The stack that [`with_big_stack`] asks for: eight times what takes any recursion as deep as stock Nix does with its 60 MiB. It is
/// only reserved; memory is used as far as the recursion goes, so this bounds what a recursion without end takes.
const BIG_STACK: usize = 512 << 20;
/// What a stack must at least have for the evaluation of ordinary programs.
const SMALLEST_STACK: usize = 4 << 20;
/// An address space in which there is room for a stack beside everything else.
const COMFORTABLE: usize = 512 << 20;
/// What is kept free, for builtins and for the error path.
const RESERVE: usize = 512 << 10;
/// What a thread that was not started by [`with_big_stack`] is taken to have left where it is first seen.
const UNKNOWN_STACK: usize = 1 << 20;

/// Below this address the stack of a thread must not grow.
///
/// It is also how an evaluation is interrupted: every recursion compares with it, so raising it to the top of the address
/// space ends the evaluation at its next call, at no cost while nobody does.
#[derive(Debug)]
pub struct Limit(AtomicUsize, usize);

impl Limit {
    fn leak(address: usize) -> &'static Self {
        // One for each thread that evaluates.
        Box::leak(Box::new(Self(AtomicUsize::new(address), address)))
    }

    /// Ends the evaluation on this stack as soon as it calls something. May be called in any thread.
    pub fn interrupt(&self) {
        self.0.store(usize::MAX, Ordering::Relaxed);
    }

    /// Whether [`Limit::interrupt`] was called.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.0.load(Ordering::Relaxed) == usize::MAX
    }

    /// Forgets an interruption.
    pub fn resume(&self) {
        self.0.store(self.1, Ordering::Relaxed);
    }
}

thread_local! {
    /// The limit of this thread, where it is known.
    static LIMIT: Cell<Option<&'static Limit>> = const { Cell::new(None) };
}

/// An address in the current stack frame.
#[inline(always)]
fn here() -> usize {
    let marker = 0_u8;
    std::hint::black_box(std::ptr::from_ref(&marker)).addr()
}

/// The limit of this thread's stack.
#[must_use]
pub fn limit() -> &'static Limit {
    LIMIT.with(|limit| match limit.get() {
        Some(limit) => limit,
        None => {
            let known = Limit::leak(here().saturating_sub(UNKNOWN_STACK - RESERVE));
            limit.set(Some(known));
            known
        }
    })
}

/// Whether the stack has reached `limit`, or the evaluation was interrupted.
#[inline(always)]
#[must_use]
pub fn is_exhausted(limit: &Limit) -> bool {
    here() < limit.0.load(Ordering::Relaxed)
}

/// Runs `work` on a thread of its own with a stack big enough for any recursion that `max-call-depth` allows by default.
///
/// # Errors
///
/// If the system refuses even a smaller stack; the message says how much that is, and what to do.
pub fn with_big_stack<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let mut work = Some(work);
    let mut size = first_size();
    loop {
        let attempt = std::thread::scope(|scope| {
            let slot = &mut work;
            let thread = std::thread::Builder::new()
                .name("eval".into())
                .stack_size(size)
                .spawn_scoped(scope, move || {
                    LIMIT.with(|limit| {
                        limit.set(Some(Limit::leak(here().saturating_sub(size - RESERVE))));
                    });
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
            Err(error) => return Err(refused(&error)),
        }
    }
}

/// How much to ask for first: where the address space is limited, most of it stays for the values.
fn first_size() -> usize {
    let share = address_space_limit().map_or(BIG_STACK, |limit| limit / 4);
    share.clamp(SMALLEST_STACK, BIG_STACK) & !0xffff
}

/// The limit of the address space (`ulimit -v`) in bytes.
fn address_space_limit() -> Option<usize> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::As).current?;
    usize::try_from(limit).ok()
}

fn refused(error: &io::Error) -> io::Error {
    let limit = match address_space_limit() {
        Some(limit) => format!(
            "the address space is limited to {} MiB: raise the limit (`ulimit -v`); {} MiB and what the values take are enough",
            limit >> 20,
            COMFORTABLE >> 20
        ),
        None => "the machine has no memory left, or no more threads are allowed (`ulimit -u`, \
                 the control group's pids.max)"
            .to_owned(),
    };
    io::Error::new(
        error.kind(),
        format!(
            "cannot get a stack of {} MiB to evaluate on: {error}\nhint: {limit}",
            SMALLEST_STACK >> 20
        ),
    )
}
