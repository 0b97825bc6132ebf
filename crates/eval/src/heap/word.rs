//! The machine word of a value, and the tags of what it can point to.

use std::num::NonZeroU64;
use std::ptr::NonNull;

use super::{ADDRESS_MASK, Application, Array, Attrs, List, Thunk};

/// What points to an object of the heap, at its first word.
pub trait Handle: Copy {
    /// The object's first word.
    fn start(self) -> NonNull<u64>;

    /// The handle of the object that begins at `start`.
    ///
    /// # Safety
    ///
    /// `start` is what [`Handle::start`] of the same type of handle gave, or the first word of a whole object of that type.
    unsafe fn from_start(start: NonNull<u64>) -> Self;

    /// The address, which identifies the object.
    #[inline]
    #[must_use]
    fn address(self) -> usize {
        self.start().as_ptr().addr()
    }
}

/// The machine word of a value: a tag in the top byte, and an address or immediate in the 56 bits below.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Word(pub(super) NonZeroU64);

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

impl Word {
    #[inline]
    fn from_handle(tag: u8, handle: impl Handle) -> Self {
        Self::from_address(tag, handle.start().as_ptr().expose_provenance())
    }

    /// The handle that a word was made from.
    ///
    /// # Safety
    ///
    /// The word was made by [`Word::from_handle`] with a `T`.
    #[inline]
    unsafe fn as_handle<T: Handle>(self) -> T {
        let start = std::ptr::with_exposed_provenance_mut(self.address());
        // SAFETY: by the contract of this function; a handle is not null.
        unsafe { T::from_start(NonNull::new_unchecked(start)) }
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
    (@handle handle $target:ty) => { $target };
    (@make reference $tag:expr, $value:expr) => { Word::from_ref($tag, $value) };
    (@make handle $tag:expr, $value:expr) => { Word::from_handle($tag, $value) };
    (@get reference $word:expr, $target:ty) => { $word.as_ref::<$target>() };
    (@get handle $word:expr, $target:ty) => { $word.as_handle::<$target>() };
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
    STRING = 10, from_string, as_string, handle crate::string::Str;
    /// A path.
    PATH = 11, from_path, as_path, handle Array<(), u8>;
    /// An attribute set.
    ATTRS = 12, from_attrs, as_attrs, handle Attrs;
    /// A list.
    LIST = 13, from_list, as_list, handle List;
    /// A function written in the language.
    LAMBDA = 14, from_lambda, as_lambda, reference crate::value::Closure;
    /// A builtin function.
    BUILTIN = 15, from_builtin, as_builtin, reference crate::value::Builtin;
    /// A builtin with some of its arguments.
    PARTIAL = 16, from_partial, as_partial, handle Application;
    /// A delayed computation.
    THUNK = 17, from_thunk, as_thunk, reference Thunk;
}
