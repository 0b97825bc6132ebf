//! Attribute sets as they lie in memory.
//!
//! A set is either *flat*: its length and its attributes, sorted by symbol; or *layered*: a big flat set with a small one
//! on top, whose attributes replace or extend those of the big one. Layers make `//` cheap where a big set gets a few
//! names; whoever asks for all attributes gets a flat copy, which is made once.

use std::cell::Cell;
use std::ptr::NonNull;

use super::{Array, Handle, Heap};
use crate::value::Attr;

/// An attribute set in the heap. The attributes are sorted by symbol (not by name), each name once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Attrs {
    /// Points at a word with the number of attributes. Either it is that of an `Array<(), Attr>`; or, if it has the bit
    /// [`Attrs::LAYERED`], it is the first word of a [`Layered`].
    header: NonNull<u64>,
}

/// What a layered set consists of.
#[derive(Clone)]
#[repr(C)]
pub struct Layered {
    /// As of [`Attrs::header`].
    len: u64,
    /// A flat set.
    pub base: Attrs,
    /// A flat set whose attributes count before those of `base`.
    pub top: Attrs,
    /// All attributes, once somebody asked for them.
    flat: Cell<Option<Attrs>>,
    /// Where to make `flat`.
    heap: Heap,
}

impl Heap {
    /// A set of at most `capacity` attributes, which must come sorted by symbol, each once.
    #[inline]
    pub fn attrs_from_iter(self, capacity: usize, attrs: impl IntoIterator<Item = Attr>) -> Attrs {
        Attrs {
            header: self.array_from_iter((), capacity, attrs).start(),
        }
    }

    /// A set of these attributes, which must be sorted by symbol, each once.
    #[inline]
    pub fn attrs(self, attrs: &[Attr]) -> Attrs {
        self.attrs_from_iter(attrs.len(), attrs.iter().copied())
    }

    /// The `len` attributes of `base // top`.
    pub(crate) fn layered_attrs(self, base: Attrs, top: Attrs, len: usize) -> Attrs {
        debug_assert!(base.layers().is_none() && top.layers().is_none());
        let object = self.alloc_code(Layered {
            len: len as u64 | Attrs::LAYERED,
            base,
            top,
            flat: Cell::new(None),
            heap: self,
        });
        Attrs {
            header: NonNull::from(object).cast(),
        }
    }

    /// A set of the attributes of both slices, each of which is sorted by symbol; where both have a name, the right one counts.
    pub(crate) fn merged_attrs(self, left: &[Attr], right: &[Attr]) -> Attrs {
        let array = self.array_with((), left.len() + right.len(), |places| {
            let (mut i, mut j, mut len) = (0, 0, 0);
            while i < left.len() && j < right.len() {
                let (a, b) = (left[i], right[j]);
                places[len].write(if a.name < b.name { a } else { b });
                i += usize::from(a.name <= b.name);
                j += usize::from(b.name <= a.name);
                len += 1;
            }
            for (place, attr) in places[len..]
                .iter_mut()
                .zip(left[i..].iter().chain(&right[j..]))
            {
                place.write(*attr);
                len += 1;
            }
            len
        });
        Attrs {
            header: array.start(),
        }
    }
}

impl Attrs {
    const LAYERED: u64 = 1 << 63;

    #[inline]
    fn header(self) -> u64 {
        // SAFETY: invariant 1; the header never changes.
        unsafe { self.header.read() }
    }

    /// How many attributes there are.
    #[inline]
    #[must_use]
    pub fn len(self) -> usize {
        (self.header() & !Self::LAYERED) as usize
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The layers, if there are any and no flat copy yet.
    #[inline]
    #[must_use]
    pub fn layers(self) -> Option<&'static Layered> {
        let layered = self.layered()?;
        match layered.flat.get() {
            None => Some(layered),
            Some(_) => None,
        }
    }

    #[inline]
    fn layered(self) -> Option<&'static Layered> {
        if self.header() & Self::LAYERED == 0 {
            return None;
        }
        // SAFETY: only `layered_attrs` sets the bit, in the first word of a `Layered`, which is `repr(C)`.
        Some(unsafe { self.header.cast::<Layered>().as_ref() })
    }

    /// The attributes, sorted by symbol. Makes a flat copy of a layered set.
    #[inline]
    #[must_use]
    pub fn as_slice(self) -> &'static [Attr] {
        let flat = self.flat().header;
        // SAFETY: invariants 1 and 4: the header of a flat set is that of an array.
        unsafe { Array::<(), Attr>::from_start(flat) }.as_slice()
    }

    /// The same set without layers. Makes a flat copy of a layered set.
    #[inline]
    #[must_use]
    pub fn flat(self) -> Self {
        match self.layered() {
            None => self,
            Some(layered) => layered.flatten(),
        }
    }
}

impl Handle for Attrs {
    #[inline]
    fn start(self) -> NonNull<u64> {
        self.header
    }

    #[inline]
    unsafe fn from_start(start: NonNull<u64>) -> Self {
        Self { header: start }
    }
}

impl Layered {
    fn flatten(&self) -> Attrs {
        if let Some(flat) = self.flat.get() {
            return flat;
        }
        let flat = self
            .heap
            .merged_attrs(self.base.as_slice(), self.top.as_slice());
        self.flat.set(Some(flat));
        flat
    }
}
