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
        let outer = up.map_or(0, |up| {
            up.capture();
            up.bits()
        });
        if let Some(first) = self.frames.first.get(slots)
            && let Some(env) = first.get()
        {
            first.set(env.outer());
            env.set_header(slots, outer);
            for slot in 0..slots {
                // SAFETY: a frame is only put into the list of those with as many slots.
                unsafe { env.ptr.add(1 + slot).write(0) };
            }
            return env;
        }
        self.new_env(outer, slots)
    }

    #[inline(never)]
    fn new_env(self, outer: u64, slots: usize) -> Env {
        let wide = slots >= Env::WIDE;
        let words = slots + 1 + usize::from(wide);
        let size = words
            .checked_mul(size_of::<u64>())
            .expect("an object smaller than the address space");
        let base = self.arena.alloc(size).cast::<u64>();
        // SAFETY: the memory has `words` words: the wide length if any, the header, `slots` slots. The first two are
        // written here. The slots are zero (invariant 5), which is the unset state of a `Cell<Option<Value>>` (a niche
        // of `NonZeroU64`).
        let ptr = unsafe {
            if wide {
                base.write(slots as u64);
                base.add(1)
            } else {
                base
            }
        };
        let env = Env { ptr };
        env.set_header(slots, outer);
        env
    }

    /// Says that the caller, who made this frame, has no more use for it.
    #[inline]
    pub fn release(self, env: Env) {
        if env.is_captured() {
            return;
        }
        let slots = env.len();
        if let Some(first) = self.frames.first.get(slots) {
            env.set_header(slots, first.get().map_or(0, Env::bits));
            first.set(Some(env));
        }
    }
}

impl Env {
    /// The address, as it stands in a header.
    #[inline]
    fn bits(self) -> u64 {
        let bits = self.ptr.as_ptr().expose_provenance() as u64;
        debug_assert_eq!(bits & !ADDRESS_MASK, 0);
        bits
    }

    /// Sets the header of a frame that nothing refers to yet.
    #[inline]
    fn set_header(self, slots: usize, outer: u64) {
        self.header()
            .set(((slots.min(Self::WIDE) as u64) << ADDRESS_BITS) | outer);
    }
}
