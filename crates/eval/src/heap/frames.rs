//! Frames, and the reuse of those that nothing refers to any more.

use std::cell::Cell;

use super::{ADDRESS_BITS, ADDRESS_MASK, Env, Heap};

/// Frames of fewer slots than this are used again.
const REUSED: usize = 12;

/// Frames that may be used again, by their number of slots; each refers to the next as its outer frame.
#[derive(Default)]
pub(super) struct FreeFrames {
    first: [Cell<Option<Env>>; REUSED],
}

impl Heap {
    /// An environment of `slots` unset slots below `up`.
    #[inline]
    pub fn env(self, up: Option<Env>, slots: usize) -> Env {
        if let Some(up) = up {
            up.capture();
        }
        if let Some(first) = self.frames.first.get(slots)
            && let Some(env) = first.get()
        {
            first.set(env.outer());
            env.set_outer(up);
            env.clear();
            return env;
        }
        self.new_env(up, slots)
    }

    fn new_env(self, up: Option<Env>, slots: usize) -> Env {
        let wide = slots >= Env::WIDE;
        let words = slots + 1 + usize::from(wide);
        let size = words
            .checked_mul(size_of::<u64>())
            .expect("an object smaller than the address space");
        let base = self.arena.alloc(size).cast::<u64>();
        // SAFETY: the memory has `words` words: the wide length if any, the header, `slots` slots. The first two are
        // written here. The slots are zero (invariant 5), which is the unset state of a `Cell<Option<Value>>` (a niche
        // of `NonZeroU64`).
        let env = unsafe {
            let header = if wide {
                base.write(slots as u64);
                base.add(1)
            } else {
                base
            };
            header.write((slots.min(Env::WIDE) as u64) << ADDRESS_BITS);
            Env { ptr: header }
        };
        env.set_outer(up);
        env
    }

    /// Says that the caller, who made this frame, has no more use for it.
    #[inline]
    pub fn release(self, env: Env) {
        if env.is_captured() {
            return;
        }
        if let Some(first) = self.frames.first.get(env.len()) {
            env.set_outer(first.get());
            first.set(Some(env));
        }
    }
}

impl Env {
    /// Makes `up` the outer frame.
    #[inline]
    fn set_outer(self, up: Option<Self>) {
        let bits = up.map_or(0, |env| env.ptr.as_ptr().expose_provenance() as u64);
        debug_assert_eq!(bits & !ADDRESS_MASK, 0);
        let header = self.header();
        header.set((header.get() & !ADDRESS_MASK) | bits);
    }
}
