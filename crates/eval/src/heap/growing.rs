//! Arrays to which something is added again and again.
//!
//! `foldl' (all: x: all ++ [ x ]) [ ]` makes as many lists as it has steps, each a copy of the one before: as nothing is ever
//! given back, that would take memory with the square of their number. So an array that grew twice gets room on the side
//! where it grew, and whoever adds to it there first puts the new elements into that room. The longer array
//! is a [`View`] of the same elements and the new ones.

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
}

impl<T: Copy> Room<T> {
    /// Puts `elements` behind the last one, if that is the last of `array` and there is room.
    fn append(&self, array: &[T], elements: &[T]) -> bool {
        if array.as_ptr_range().end != self.end.get().as_ptr() || elements.len() > self.behind.get()
        {
            return false;
        }
        // SAFETY: there is room for so many elements, which no array holds yet, so `elements` are elsewhere.
        unsafe {
            self.end
                .get()
                .copy_from_nonoverlapping(NonNull::from(elements).cast(), elements.len());
            self.end.set(self.end.get().add(elements.len()));
        }
        self.behind.set(self.behind.get() - elements.len());
        true
    }

    /// Puts `elements` before the first one, if that is the first of `array` and there is room.
    fn prepend(&self, elements: &[T], array: &[T]) -> bool {
        if array.as_ptr() != self.first.get().as_ptr() || elements.len() > self.before.get() {
            return false;
        }
        // SAFETY: as above.
        unsafe {
            self.first.set(self.first.get().sub(elements.len()));
            self.first
                .get()
                .copy_from_nonoverlapping(NonNull::from(elements).cast(), elements.len());
        }
        self.before.set(self.before.get() - elements.len());
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
    /// An array of elements that are in the heap already.
    pub(super) fn view<H: Copy + 'static, T: Copy + 'static>(
        self,
        head: H,
        elements: &'static [T],
    ) -> Array<H, T> {
        self.view_in(head, elements.as_ptr(), elements.len(), None)
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
        let len = left.elements.len() + right.elements.len();
        if len * size_of::<T>() < SHORTEST {
            let all = left.elements.iter().chain(right.elements).copied();
            return self.array_from_iter(head, len, all);
        }
        self.join_long(head, left, right)
    }

    #[inline(never)]
    fn join_long<H: Copy + 'static, T: Copy + 'static>(
        self,
        head: H,
        left: Part<'_, T>,
        right: Part<'_, T>,
    ) -> Array<H, T> {
        let (first, second) = (left.elements, right.elements);
        let len = first.len() + second.len();
        let appended = first.len() >= second.len();
        let (grown, added) = if appended {
            (left.grown, second.len())
        } else {
            (right.grown, first.len())
        };
        if let Grown::InRoom(room) = grown {
            if appended && room.append(first, second) {
                return self.view_in(head, first.as_ptr(), len, Some(room));
            }
            if !appended && room.prepend(first, second) {
                return self.view_in(head, room.first.get().as_ptr(), len, Some(room));
            }
        }
        // What grew for the first time may never grow again, nor does one go on for long to double something.
        let spare = if !matches!(grown, Grown::Never) && added < len / 4 {
            len / 2
        } else {
            0
        };
        let (before, behind) = if appended { (0, spare) } else { (spare, 0) };
        let start = self.arena.alloc((spare + len) * size_of::<T>()).cast::<T>();
        // SAFETY: fresh memory for so many elements, aligned to a word as elements at most need it.
        let (begin, end) = unsafe {
            const { assert!(align_of::<T>() <= super::arena::ALIGN) };
            let begin = start.add(before);
            let middle = begin.add(first.len());
            begin.copy_from_nonoverlapping(NonNull::from(first).cast(), first.len());
            middle.copy_from_nonoverlapping(NonNull::from(second).cast(), second.len());
            (begin, middle.add(second.len()))
        };
        let room = (spare > 0).then(|| {
            self.alloc_code(Room {
                first: Cell::new(begin),
                end: Cell::new(end),
                before: Cell::new(before),
                behind: Cell::new(behind),
            })
        });
        self.view_in(head, begin.as_ptr(), len, room)
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
    fn two_that_continue_the_same_array_do_not_disturb_each_other() {
        let heap = Heap::new();
        let mut common = numbers(heap, 0..200);
        for i in 200..300 {
            common = joined(heap, common, numbers(heap, i..i + 1));
        }
        let one = joined(heap, common, numbers(heap, 300..310));
        let other = joined(heap, common, numbers(heap, 500..510));
        let shorter = heap.view((), &common.as_slice()[..250]);
        let third = joined(heap, shorter, numbers(heap, 700..701));
        let front = joined(heap, numbers(heap, 900..901), common);
        let all = |upto: u64, more: std::ops::Range<u64>| (0..upto).chain(more).collect::<Vec<_>>();
        assert_eq!(common.as_slice(), all(300, 0..0));
        assert_eq!(one.as_slice(), all(300, 300..310));
        assert_eq!(other.as_slice(), all(300, 500..510));
        assert_eq!(third.as_slice(), all(250, 700..701));
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
