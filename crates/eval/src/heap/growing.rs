//! Arrays to which something is added again and again.
//!
//! `foldl' (all: x: all ++ [ x ]) [ ]` makes as many lists as it has steps, each a copy of the one before: as nothing is ever
//! given back, that would take memory with the square of their number. So an array that grew twice gets room on the side
//! where it grew, and whoever adds to it there first puts the new elements into that room. The longer array
//! is a [`View`] of the same elements and the new ones. What grew on both sides gets room on both.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::NonNull;

use super::array::{ArrayHeader, VIEW, View};
use super::{Array, Heap};

/// Shorter arrays, in bytes, are just copied.
const SHORTEST: usize = 1024;

/// Elements in the middle of a piece of memory, with room on both sides.
pub(super) struct Room<T> {
    /// The first element in use.
    first: Cell<NonNull<T>>,
    /// Behind the last element in use.
    end: Cell<NonNull<T>>,
    /// How many elements more there could be before the first.
    before: Cell<usize>,
    /// How many elements more there could be behind the last.
    behind: Cell<usize>,
    /// Whether there ever was room before the first element, and behind the last.
    sides: [bool; 2],
}

impl<T: Copy> Room<T> {
    /// Whether nobody put elements where these are to be put beside `array`.
    fn is_free(&self, before: &[T], array: &[T], after: &[T]) -> bool {
        (before.is_empty() || array.as_ptr() == self.first.get().as_ptr())
            && (after.is_empty() || array.as_ptr_range().end == self.end.get().as_ptr())
    }

    /// Puts `before` before the first element and `after` behind the last one, which must be free, if there is room.
    fn enclose(&self, before: &[T], after: &[T]) -> bool {
        if before.len() > self.before.get() || after.len() > self.behind.get() {
            return false;
        }
        // SAFETY: there is room for so many elements, which no array holds yet, so `before` and `after` are elsewhere.
        unsafe {
            if !before.is_empty() {
                self.first.set(self.first.get().sub(before.len()));
                self.first
                    .get()
                    .copy_from_nonoverlapping(NonNull::from(before).cast(), before.len());
            }
            if !after.is_empty() {
                self.end
                    .get()
                    .copy_from_nonoverlapping(NonNull::from(after).cast(), after.len());
                self.end.set(self.end.get().add(after.len()));
            }
        }
        self.before.set(self.before.get() - before.len());
        self.behind.set(self.behind.get() - after.len());
        true
    }
}

/// How an array came to be.
#[derive(Clone, Copy)]
enum Grown<T: 'static> {
    /// Not from a shorter one.
    Never,
    /// Perhaps from a shorter one.
    Once,
    /// From a shorter one, with room for more.
    InRoom(&'static Room<T>),
}

/// What is put together with another.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a, T: 'static> {
    elements: &'a [T],
    grown: Grown<T>,
}

impl<'a, T> From<&'a [T]> for Part<'a, T> {
    fn from(elements: &'a [T]) -> Self {
        Self {
            elements,
            grown: Grown::Never,
        }
    }
}

impl<H: Copy + 'static, T: Copy + 'static> From<Array<H, T>> for Part<'_, T> {
    fn from(array: Array<H, T>) -> Self {
        Self {
            elements: array.as_slice(),
            grown: match array.view() {
                None => Grown::Never,
                Some(View { room: None, .. }) => Grown::Once,
                Some(View {
                    room: Some(room), ..
                }) => Grown::InRoom(room),
            },
        }
    }
}

impl Heap {
    /// The elements of an array from index `from` on, not copied.
    pub(super) fn tail<H: Copy + 'static, T: Copy + 'static>(
        self,
        array: Array<H, T>,
        from: usize,
    ) -> Array<H, T> {
        let rest = &array.as_slice()[from..];
        let room = array.view().and_then(|view| view.room);
        self.view_in(array.head(), rest.as_ptr(), rest.len(), room)
    }

    fn view_in<H: Copy + 'static, T: Copy + 'static>(
        self,
        head: H,
        elements: *const T,
        len: usize,
        room: Option<&'static Room<T>>,
    ) -> Array<H, T> {
        let header = ArrayHeader {
            head,
            len: len | VIEW,
        };
        let view = self.alloc(View {
            header,
            elements,
            room,
        });
        Array {
            header: NonNull::from(view).cast(),
            marker: PhantomData,
        }
    }

    /// The elements of `left` and those of `right`.
    #[inline]
    pub(crate) fn joined<H: Copy + 'static, T: Copy + 'static>(
        self,
        head: H,
        left: Part<'_, T>,
        right: Part<'_, T>,
    ) -> Array<H, T> {
        if left.elements.len() >= right.elements.len() {
            self.enclosed(head, &[], left, right.elements)
        } else {
            self.enclosed(head, left.elements, right, &[])
        }
    }

    /// The elements of `middle`, with others before and after them.
    #[inline]
    pub(crate) fn enclosed<H: Copy + 'static, T: Copy + 'static>(
        self,
        head: H,
        before: &[T],
        middle: Part<'_, T>,
        after: &[T],
    ) -> Array<H, T> {
        let len = before.len() + middle.elements.len() + after.len();
        if len * size_of::<T>() < SHORTEST {
            let all = before.iter().chain(middle.elements).chain(after).copied();
            return self.array_from_iter(head, len, all);
        }
        self.enclose_long(head, before, middle, after)
    }

    #[inline(never)]
    fn enclose_long<H: Copy + 'static, T: Copy + 'static>(
        self,
        head: H,
        before: &[T],
        middle: Part<'_, T>,
        after: &[T],
    ) -> Array<H, T> {
        let elements = middle.elements;
        let added = before.len() + after.len();
        let len = elements.len() + added;
        let mut sides = [!before.is_empty(), !after.is_empty()];
        // What grew for the first time may never grow again, nor what many continue.
        let mut grows = matches!(middle.grown, Grown::Once);
        if let Grown::InRoom(room) = middle.grown
            && room.is_free(before, elements, after)
        {
            if room.enclose(before, after) {
                let start = elements.as_ptr().wrapping_sub(before.len());
                return self.view_in(head, start, len, Some(room));
            }
            grows = true;
            sides = [sides[0] || room.sides[0], sides[1] || room.sides[1]];
        }
        // Nor does one go on for long to double something.
        grows &= added < len / 4;
        let [room_before, room_behind] = sides.map(|grew| if grows && grew { len / 2 } else { 0 });
        let size = (room_before + len + room_behind) * size_of::<T>();
        let start = self.arena.alloc(size).cast::<T>();
        // SAFETY: fresh memory for so many elements, aligned to a word as elements at most need it.
        let (first, end) = unsafe {
            const { assert!(align_of::<T>() <= super::arena::ALIGN) };
            let first = start.add(room_before);
            let mut end = first;
            for part in [before, elements, after] {
                end.copy_from_nonoverlapping(NonNull::from(part).cast(), part.len());
                end = end.add(part.len());
            }
            (first, end)
        };
        let room = grows.then(|| {
            self.alloc_code(Room {
                first: Cell::new(first),
                end: Cell::new(end),
                before: Cell::new(room_before),
                behind: Cell::new(room_behind),
                sides,
            })
        });
        self.view_in(head, first.as_ptr(), len, room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(heap: Heap, left: Array<(), u64>, right: Array<(), u64>) -> Array<(), u64> {
        heap.joined((), left.into(), right.into())
    }

    fn numbers(heap: Heap, range: std::ops::Range<u64>) -> Array<(), u64> {
        let len = (range.end - range.start) as usize;
        heap.array_from_iter((), len, range)
    }

    #[test]
    fn what_is_added_many_times_takes_memory_once() {
        for append in [true, false] {
            let heap = Heap::new();
            let mut all = numbers(heap, 0..0);
            let mut kept = Vec::new();
            for i in 0..20_000 {
                let one = numbers(heap, i..i + 1);
                all = if append {
                    joined(heap, all, one)
                } else {
                    joined(heap, one, all)
                };
                kept.push(all);
            }
            for (i, array) in kept.iter().enumerate().step_by(997) {
                let expected: Vec<u64> = if append {
                    (0..=i as u64).collect()
                } else {
                    (0..=i as u64).rev().collect()
                };
                assert_eq!(array.as_slice(), expected);
            }
            // The lists of less than a kilobyte, and some hundred bytes for each of the others.
            assert!(
                heap.allocated_bytes() < 8 << 20,
                "{}",
                heap.allocated_bytes()
            );
        }
    }

    #[test]
    fn what_grows_on_both_sides_takes_memory_once() {
        let heap = Heap::new();
        let mut all = numbers(heap, 0..0);
        let mut kept = Vec::new();
        for i in 1..20_000_u64 {
            all = match i % 3 {
                0 => heap.enclosed((), &[i], all.into(), &[i]),
                _ => joined(
                    heap,
                    numbers(heap, i..i + 1),
                    joined(heap, all, numbers(heap, i..i + 1)),
                ),
            };
            kept.push(all);
        }
        for array in kept.iter().step_by(997) {
            let half = array.len() as u64 / 2;
            let expected: Vec<u64> = (1..=half).rev().chain(1..=half).collect();
            assert_eq!(array.as_slice(), expected);
        }
        assert!(
            heap.allocated_bytes() < 8 << 20,
            "{}",
            heap.allocated_bytes()
        );
    }

    #[test]
    fn a_queue_takes_memory_once() {
        let heap = Heap::new();
        let mut queue = numbers(heap, 0..1000);
        for i in 1000..20_000 {
            queue = joined(heap, heap.tail(queue, 1), numbers(heap, i..i + 1));
        }
        let expected: Vec<u64> = (19_000..20_000).collect();
        assert_eq!(queue.as_slice(), expected);
        assert!(
            heap.allocated_bytes() < 8 << 20,
            "{}",
            heap.allocated_bytes()
        );
    }

    #[test]
    fn two_that_continue_the_same_array_do_not_disturb_each_other() {
        let heap = Heap::new();
        let mut common = numbers(heap, 0..200);
        for i in 200..300 {
            common = joined(heap, common, numbers(heap, i..i + 1));
        }
        let one = joined(heap, common, numbers(heap, 300..310));
        let other = joined(heap, common, numbers(heap, 500..510));
        let tail = joined(heap, heap.tail(common, 250), numbers(heap, 700..701));
        let front = joined(heap, numbers(heap, 900..901), common);
        let all = |upto: u64, more: std::ops::Range<u64>| (0..upto).chain(more).collect::<Vec<_>>();
        assert_eq!(common.as_slice(), all(300, 0..0));
        assert_eq!(one.as_slice(), all(300, 300..310));
        assert_eq!(other.as_slice(), all(300, 500..510));
        assert_eq!(tail.as_slice()[..50], all(300, 0..0)[250..]);
        assert_eq!(tail.as_slice()[50..], [700]);
        assert_eq!(front.as_slice()[..3], [900, 0, 1]);
        assert_eq!(front.len(), 301);
    }

    #[test]
    fn an_array_can_be_joined_with_itself() {
        let heap = Heap::new();
        let mut all = numbers(heap, 0..100);
        for _ in 0..8 {
            all = joined(heap, all, all);
        }
        let mut grown = joined(heap, all, numbers(heap, 0..1));
        grown = joined(heap, grown, numbers(heap, 1..2));
        let twice = joined(heap, grown, grown);
        assert_eq!(twice.len(), 2 * (25_600 + 2));
        assert_eq!(
            twice.as_slice()[..grown.len()],
            twice.as_slice()[grown.len()..]
        );
    }
}
