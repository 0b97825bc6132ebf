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
//! 4. Objects are immutable once a handle to them exists, except [`Env`] slots and [`Thunk`]s, which are [`Cell`]s.
//! 5. No handle is `Send` or `Sync`, so the cells are only seen by the thread that made them.

#![allow(unsafe_code)]

use std::alloc::Layout;
use std::cell::Cell;
use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::ptr::NonNull;

use bumpalo::Bump;

use crate::code::Code;
use crate::value::Value;

/// Addresses have this many bits; the bits above hold tags and small lengths.
const ADDRESS_BITS: u32 = 48;
const ADDRESS_MASK: u64 = (1 << ADDRESS_BITS) - 1;

/// The arena. Copies of it are the same arena.
#[derive(Clone, Copy)]
pub struct Heap {
    arena: &'static Bump<8>,
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
            arena: Box::leak(Box::new(Bump::with_min_align())),
        }
    }

    /// Bytes taken from the system so far.
    #[must_use]
    pub fn allocated_bytes(self) -> usize {
        self.arena.allocated_bytes()
    }

    /// Puts one object without drop glue into the arena.
    pub fn alloc<T: Copy>(self, value: T) -> &'static T {
        self.arena.alloc(value)
    }

    /// Puts a compiled object, which may own cells, into the arena. Its destructor never runs.
    pub fn alloc_code<T>(self, value: T) -> &'static T {
        self.arena.alloc(value)
    }

    /// Copies a slice into the arena.
    pub fn alloc_slice<T: Copy>(self, values: &[T]) -> &'static [T] {
        self.arena.alloc_slice_copy(values)
    }

    /// Moves the elements of a vector into the arena. Their destructors never run.
    pub fn alloc_vec<T>(self, values: Vec<T>) -> &'static [T] {
        self.arena.alloc_slice_fill_iter(values)
    }

    #[inline]
    fn raw(self, layout: Layout) -> NonNull<u8> {
        self.arena.alloc_layout(layout)
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

    /// An array of at most `capacity` elements which `fill` initialises from the front; it returns how many it wrote.
    /// What it leaves unused stays allocated.
    ///
    /// # Panics
    ///
    /// If `fill` claims more than `capacity`.
    #[inline]
    fn array_with<H: Copy, T: Copy>(
        self,
        head: H,
        capacity: usize,
        fill: impl FnOnce(&mut [std::mem::MaybeUninit<T>]) -> usize,
    ) -> Array<H, T> {
        const {
            assert!(
                align_of::<ArrayHeader<H>>() <= 8
                    && align_of::<T>() <= align_of::<ArrayHeader<H>>()
            );
        }
        let size = size_of::<T>()
            .checked_mul(capacity)
            .and_then(|bytes| bytes.checked_add(size_of::<ArrayHeader<H>>()))
            .expect("an object smaller than the address space");
        let layout =
            Layout::from_size_align(size, align_of::<ArrayHeader<H>>()).expect("a valid layout");
        let header = self.raw(layout).cast::<ArrayHeader<H>>();
        // SAFETY: `header` points to fresh memory of `layout`, which holds the header followed by `capacity` elements;
        // the element alignment is not stricter than the header's (asserted above). `MaybeUninit` needs no
        // initialisation, and nobody else knows the memory yet.
        unsafe {
            let elements = header.add(1).cast::<std::mem::MaybeUninit<T>>();
            let len = fill(std::slice::from_raw_parts_mut(elements.as_ptr(), capacity));
            assert!(len <= capacity);
            header.write(ArrayHeader { head, len });
        }
        Array {
            header,
            marker: PhantomData,
        }
    }

    /// A byte array of exactly `len` bytes put together from `parts`.
    pub(crate) fn concat<H: Copy>(self, head: H, parts: &[&[u8]]) -> Array<H, u8> {
        let len = parts.iter().map(|part| part.len()).sum();
        self.array_with(head, len, |uninit| {
            let mut at = 0;
            for part in parts {
                for (slot, byte) in uninit[at..at + part.len()].iter_mut().zip(*part) {
                    slot.write(*byte);
                }
                at += part.len();
            }
            at
        })
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

    /// An environment of `slots` unset slots below `up`.
    #[inline]
    pub fn env(self, up: Option<Env>, slots: usize) -> Env {
        let wide = slots >= Env::WIDE;
        let words = slots + 1 + usize::from(wide);
        let layout = Layout::array::<u64>(words).expect("a valid layout");
        let base = self.raw(layout).cast::<u64>();
        let up_bits = up.map_or(0, |env| env.ptr.as_ptr().expose_provenance() as u64);
        debug_assert_eq!(up_bits & !ADDRESS_MASK, 0);
        // SAFETY: the memory has `words` words: the wide length if any, the header, `slots` slots. All are written
        // before the handle exists; zero is the unset state of a `Cell<Option<Value>>` (a niche of `NonZeroU64`).
        unsafe {
            let header = if wide {
                base.write(slots as u64);
                base.add(1)
            } else {
                base
            };
            header.write(up_bits | ((slots.min(Env::WIDE) as u64) << ADDRESS_BITS));
            header.add(1).write_bytes(0, slots);
            Env { ptr: header }
        }
    }

    /// A thunk that will evaluate `code` in `env`.
    #[inline]
    pub fn thunk(self, code: &'static Code, env: Env) -> &'static Thunk {
        self.arena.alloc(Thunk {
            state: Cell::new(std::ptr::from_ref(code).expose_provenance() as u64),
            payload: Cell::new(env.ptr.as_ptr().expose_provenance() as u64),
        })
    }

    /// A thunk that will apply a function to arguments.
    #[inline]
    pub fn thunk_apply(self, application: Application) -> &'static Thunk {
        self.arena.alloc(Thunk {
            state: Cell::new(Thunk::APPLY),
            payload: Cell::new(application.header.as_ptr().expose_provenance() as u64),
        })
    }
}

#[repr(C)]
struct ArrayHeader<H> {
    head: H,
    len: usize,
}

/// An immutable array in the heap behind a thin pointer, with a header word of type `H`.
pub struct Array<H, T> {
    header: NonNull<ArrayHeader<H>>,
    marker: PhantomData<*const T>,
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
    pub(crate) fn into_word(self, tag: u8) -> Word {
        Word::from_address(tag, self.header.as_ptr().expose_provenance())
    }

    /// # Safety
    ///
    /// `word` was made by `into_word` of the same type of array.
    #[inline]
    unsafe fn from_word(word: Word) -> Self {
        let pointer = std::ptr::with_exposed_provenance_mut(word.address());
        // SAFETY: not null by the contract of this function.
        let header = unsafe { NonNull::new_unchecked(pointer) };
        Self {
            header,
            marker: PhantomData,
        }
    }
}

/// A function (the header) with the arguments it is to be applied to.
pub type Application = Array<Value, Value>;

/// A run-time environment: the slots of one frame, and the frame around it.
#[derive(Clone, Copy)]
pub struct Env {
    /// Points at the header word: the address of the outer frame, and 16 bits of length. Where those do not suffice,
    /// they are all ones, and the word before the header has the length.
    ptr: NonNull<u64>,
}

impl Env {
    const WIDE: usize = 0xffff;

    #[inline]
    fn header(self) -> u64 {
        // SAFETY: invariant 1; the header never changes.
        unsafe { self.ptr.read() }
    }

    #[inline]
    fn len(self) -> usize {
        let len = (self.header() >> ADDRESS_BITS) as usize;
        if len == Self::WIDE {
            // SAFETY: a header with this length is preceded by a length word.
            return unsafe { self.ptr.sub(1).read() as usize };
        }
        len
    }

    /// The frame around this one.
    ///
    /// # Panics
    ///
    /// If this is the outermost.
    #[inline]
    #[must_use]
    pub fn up(self) -> Self {
        let pointer =
            std::ptr::with_exposed_provenance_mut((self.header() & ADDRESS_MASK) as usize);
        Self {
            ptr: NonNull::new(pointer).expect("the compiler counts frames right"),
        }
    }

    #[inline]
    fn cell(self, slot: u32) -> &'static Cell<Option<Value>> {
        let slot = slot as usize;
        assert!(slot < self.len(), "the compiler counts slots right");
        // SAFETY: in bounds; slots are words that are either zero or a `Value`, which is what `Option<Value>` is
        // (`Value` is a transparent wrapper of `NonZeroU64`), and are only accessed through this cell.
        unsafe {
            &*self
                .ptr
                .add(1 + slot)
                .cast::<Cell<Option<Value>>>()
                .as_ptr()
        }
    }

    /// The value in a slot, unless it has not been set yet.
    #[inline]
    #[must_use]
    pub fn get(self, slot: u32) -> Option<Value> {
        self.cell(slot).get()
    }

    /// Sets a slot.
    #[inline]
    pub fn set(self, slot: u32, value: Value) {
        self.cell(slot).set(Some(value));
    }
}

/// A delayed computation, replaced by its value once that is known.
///
/// `state` is [`Thunk::DONE`] (then `payload` is the value), [`Thunk::BLACKHOLE`] (being computed), [`Thunk::APPLY`]
/// (`payload` is an [`Application`]), or the address of a [`Code`] (`payload` is the address of an [`Env`]).
pub struct Thunk {
    state: Cell<u64>,
    payload: Cell<u64>,
}

/// What a thunk is about to do.
#[derive(Clone, Copy)]
pub enum Pending {
    /// Evaluate code in an environment.
    Code(&'static Code, Env),
    /// Apply a function.
    Apply(Application),
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

    /// The value if it is known; otherwise the computation, to be run now: the thunk becomes a black hole.
    #[inline]
    pub fn start(&self) -> ThunkState {
        match self.state.get() {
            Self::DONE => ThunkState::Done(self.done_value()),
            Self::BLACKHOLE => ThunkState::Blackhole,
            state => {
                let payload = self.payload.get() as usize;
                self.state.set(Self::BLACKHOLE);
                // SAFETY: `state` is neither done nor black hole, so `payload` is what `Heap::thunk_apply` or
                // `Heap::thunk` (or `restore`) put there: the address of an application or environment, and then
                // `state` is the address of a `Code` with static lifetime.
                unsafe {
                    if state == Self::APPLY {
                        let header =
                            NonNull::new_unchecked(std::ptr::with_exposed_provenance_mut(payload));
                        ThunkState::Start(Pending::Apply(Array {
                            header,
                            marker: PhantomData,
                        }))
                    } else {
                        let code = &*std::ptr::with_exposed_provenance::<Code>(state as usize);
                        let ptr =
                            NonNull::new_unchecked(std::ptr::with_exposed_provenance_mut(payload));
                        ThunkState::Start(Pending::Code(code, Env { ptr }))
                    }
                }
            }
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
        match pending {
            Pending::Code(code, env) => {
                self.state
                    .set(std::ptr::from_ref(code).expose_provenance() as u64);
                self.payload
                    .set(env.ptr.as_ptr().expose_provenance() as u64);
            }
            Pending::Apply(application) => {
                self.state.set(Self::APPLY);
                self.payload
                    .set(application.header.as_ptr().expose_provenance() as u64);
            }
        }
    }
}

/// The machine word of a value: a tag in the top byte, and an address or immediate in the 56 bits below.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Word(NonZeroU64);

impl Word {
    const TAG_SHIFT: u32 = 56;
    #[inline]
    fn from_address(tag: u8, address: usize) -> Self {
        assert_eq!(
            address as u64 & !ADDRESS_MASK,
            0,
            "heap addresses have 48 bits"
        );
        Self::immediate(tag, address as u64)
    }

    /// A word with an immediate, of which the low 56 bits count. `tag` must not be zero.
    #[inline]
    pub(crate) const fn immediate(tag: u8, bits: u64) -> Self {
        let word = ((tag as u64) << Self::TAG_SHIFT) | (bits & ((1 << Self::TAG_SHIFT) - 1));
        Self(NonZeroU64::new(word).expect("a tag"))
    }

    #[inline]
    pub(crate) const fn tag(self) -> u8 {
        (self.0.get() >> Self::TAG_SHIFT) as u8
    }

    /// The immediate, sign extended.
    #[inline]
    pub(crate) const fn signed(self) -> i64 {
        ((self.0.get() << (64 - Self::TAG_SHIFT)) as i64) >> (64 - Self::TAG_SHIFT)
    }

    #[inline]
    fn address(self) -> usize {
        (self.0.get() & ADDRESS_MASK) as usize
    }

    /// A pointer to a heap object.
    #[inline]
    pub(crate) fn from_ref<T>(tag: u8, reference: &'static T) -> Self {
        Self::from_address(tag, std::ptr::from_ref(reference).expose_provenance())
    }

    /// The heap object a word points to.
    ///
    /// # Safety
    ///
    /// The word was made by [`Word::from_ref`] with a `T`.
    #[inline]
    unsafe fn as_ref<T>(self) -> &'static T {
        // SAFETY: by the contract of this function.
        unsafe { &*std::ptr::with_exposed_provenance::<T>(self.address()) }
    }
}

/// Declares the tags of pointer words, with a constructor and an accessor that agree on the type: this is what keeps
/// invariant 3.
macro_rules! pointer_tags {
    ($($(#[$doc:meta])* $tag:ident = $number:literal, $make:ident, $get:ident, $kind:ident $target:ty;)*) => {
        impl Word {
            $(
                pub(crate) const $tag: u8 = $number;

                $(#[$doc])*
                #[inline]
                pub(crate) fn $make(target: pointer_tags!(@handle $kind $target)) -> Self {
                    pointer_tags!(@make $kind Self::$tag, target)
                }

                $(#[$doc])*
                #[inline]
                pub(crate) fn $get(self) -> pointer_tags!(@handle $kind $target) {
                    debug_assert_eq!(self.tag(), Self::$tag);
                    if self.tag() != Self::$tag {
                        wrong_tag();
                    }
                    // SAFETY: only the constructor above makes words with this tag, from this type (invariant 3).
                    unsafe { pointer_tags!(@get $kind self, $target) }
                }
            )*
        }
    };
    (@handle reference $target:ty) => { &'static $target };
    (@handle array $target:ty) => { $target };
    (@make reference $tag:expr, $value:expr) => { Word::from_ref($tag, $value) };
    (@make array $tag:expr, $value:expr) => { $value.into_word($tag) };
    (@get reference $word:expr, $target:ty) => { $word.as_ref::<$target>() };
    (@get array $word:expr, $target:ty) => { <$target>::from_word($word) };
}

#[cold]
#[inline(never)]
fn wrong_tag() -> ! {
    panic!("a value was taken for one of another type")
}

pointer_tags! {
    /// An integer beyond 56 bits.
    WIDE_INT = 8, from_wide_int, as_wide_int, reference i64;
    /// A float.
    FLOAT = 9, from_float, as_float, reference f64;
    /// A string.
    STRING = 10, from_string, as_string, array crate::string::Str;
    /// A path.
    PATH = 11, from_path, as_path, array Array<(), u8>;
    /// An attribute set.
    ATTRS = 12, from_attrs, as_attrs, array crate::attrs::Attrs;
    /// A list.
    LIST = 13, from_list, as_list, array Array<(), Value>;
    /// A function written in the language.
    LAMBDA = 14, from_lambda, as_lambda, reference crate::value::Closure;
    /// A builtin function.
    BUILTIN = 15, from_builtin, as_builtin, reference crate::value::Builtin;
    /// A builtin with some of its arguments.
    PARTIAL = 16, from_partial, as_partial, array Application;
    /// A delayed computation.
    THUNK = 17, from_thunk, as_thunk, reference Thunk;
}
