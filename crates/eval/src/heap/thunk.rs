//! Delayed computations.

use std::cell::Cell;
use std::num::NonZeroU64;
use std::ptr::NonNull;

use super::{ADDRESS_MASK, Application, Env, Handle as _, Word};
use crate::code::Code;
use crate::value::Value;

/// A delayed computation, replaced by its value once that is known.
///
/// `state` is [`Thunk::DONE`] (then `payload` is the value), [`Thunk::BLACKHOLE`] (being computed), [`Thunk::APPLY`]
/// (`payload` is an [`Application`]), the address of a [`Code`] (`payload` is the address of an [`Env`]), or the word of a
/// function, which has a tag in the top byte where an address has none (`payload` is the word of its argument).
pub struct Thunk {
    state: Cell<u64>,
    payload: Cell<u64>,
}

impl Thunk {
    /// A thunk that will do `pending`.
    #[inline]
    pub(super) fn new(pending: Pending) -> Self {
        let (state, payload) = Self::encode(pending);
        Self {
            state: Cell::new(state),
            payload: Cell::new(payload),
        }
    }

    #[inline]
    fn encode(pending: Pending) -> (u64, u64) {
        match pending {
            Pending::Code(code, env) => (
                std::ptr::from_ref(code).expose_provenance() as u64,
                env.ptr.as_ptr().expose_provenance() as u64,
            ),
            Pending::Apply(application) => (
                Self::APPLY,
                application.start().as_ptr().expose_provenance() as u64,
            ),
            Pending::ApplyOne(fun, arg) => (fun.word().0.get(), arg.word().0.get()),
        }
    }
}

/// What a thunk is about to do.
#[derive(Clone, Copy)]
pub enum Pending {
    /// Evaluate code in an environment.
    Code(&'static Code, Env),
    /// Apply a function to several arguments, or to none.
    Apply(Application),
    /// Apply a function to one argument.
    ApplyOne(Value, Value),
}

/// What a thunk is.
pub enum ThunkState {
    /// It has a value.
    Done(Value),
    /// It is being evaluated further up the stack.
    Blackhole,
    /// It has not been started; it is marked as [`ThunkState::Blackhole`] from now on.
    Start(Pending),
}

impl Thunk {
    const DONE: u64 = 0;
    const BLACKHOLE: u64 = 1;
    const APPLY: u64 = 2;

    /// The value, if it is known.
    #[inline]
    #[must_use]
    pub fn value(&self) -> Option<Value> {
        if self.state.get() == Self::DONE {
            Some(self.done_value())
        } else {
            None
        }
    }

    #[inline]
    fn done_value(&self) -> Value {
        let bits = NonZeroU64::new(self.payload.get()).expect("a finished thunk has a value");
        Value::from_word(Word(bits))
    }

    /// Whether it is being evaluated further up the stack.
    #[must_use]
    pub fn is_blackhole(&self) -> bool {
        self.state.get() == Self::BLACKHOLE
    }

    /// Whether it has not been started, and is to apply a function.
    #[must_use]
    pub fn is_application(&self) -> bool {
        let state = self.state.get();
        state == Self::APPLY || state > ADDRESS_MASK
    }

    /// The value if it is known; otherwise the computation, to be run now: the thunk becomes a black hole.
    #[inline]
    pub fn start(&self) -> ThunkState {
        match self.state.get() {
            Self::DONE => ThunkState::Done(self.done_value()),
            Self::BLACKHOLE => ThunkState::Blackhole,
            state => {
                let payload = self.payload.get();
                self.state.set(Self::BLACKHOLE);
                // SAFETY: `state` is neither done nor black hole, so state and payload are what `encode` made of a
                // `Pending`: told apart by the tag in the top byte, and by `APPLY`, which is no address.
                unsafe { ThunkState::Start(Self::decode(state, payload)) }
            }
        }
    }

    /// # Safety
    ///
    /// Both words were made by [`Thunk::encode`] from one [`Pending`].
    #[inline]
    unsafe fn decode(state: u64, payload: u64) -> Pending {
        let value = |word: u64| {
            let word = NonZeroU64::new(word).expect("the word of a value");
            Value::from_word(Word(word))
        };
        if state > ADDRESS_MASK {
            return Pending::ApplyOne(value(state), value(payload));
        }
        let payload = std::ptr::with_exposed_provenance_mut::<u64>(payload as usize);
        // SAFETY: by the contract, `payload` is the address of an application or environment, and `state` either the
        // mark of the former or the address of a `Code` with static lifetime.
        unsafe {
            if state == Self::APPLY {
                return Pending::Apply(Application::from_start(NonNull::new_unchecked(payload)));
            }
            let code = &*std::ptr::with_exposed_provenance::<Code>(state as usize);
            let ptr = NonNull::new_unchecked(payload.cast());
            Pending::Code(code, Env { ptr })
        }
    }

    /// Ends the computation.
    #[inline]
    pub fn finish(&self, value: Value) {
        self.payload.set(value.word().0.get());
        self.state.set(Self::DONE);
    }

    /// Undoes [`Thunk::start`] after a failure, so that forcing it again fails in the same way again.
    pub fn restore(&self, pending: Pending) {
        let (state, payload) = Self::encode(pending);
        self.payload.set(payload);
        self.state.set(state);
    }
}
