//! A stable merge sort whose order may fail, and may be no order at all: a comparison written in the language is not
//! to be trusted, and the standard library's sort may panic over an inconsistent one.
//!
//! It is peeksort (Munro and Wild, "Nearly-optimal mergesorts", 2018), as Nix has it: each comparison is made when Nix makes it, so that
//! what an inconsistent order gives, and what a comparison tells or fails with, is the same. The sort looks at the middle first, and
//! splits the elements at an end of the run that it finds there.

/// Up to this length insertion sort is used, as in Nix.
const SMALL: usize = 16;

/// Sorts by `less`, keeping the order of equal elements.
///
/// # Errors
///
/// The first error of `less`; the elements are then in some order, each once.
pub(super) fn stable_sort<T: Copy, E>(
    elements: &mut [T],
    less: impl FnMut(&T, &T) -> Result<bool, E>,
) -> Result<(), E> {
    let mut sorter = Sorter {
        less,
        buffer: Vec::new(),
    };
    let len = elements.len();
    sorter.sort(elements, 0, len)
}

struct Sorter<T, L> {
    less: L,
    /// Room for the left one of two runs that are merged.
    buffer: Vec<T>,
}

impl<T: Copy, E, L: FnMut(&T, &T) -> Result<bool, E>> Sorter<T, L> {
    /// Sorts elements of which those before `first_end`, and those from `last_start` on, are known to be in order.
    fn sort(&mut self, elements: &mut [T], first_end: usize, last_start: usize) -> Result<(), E> {
        let len = elements.len();
        if first_end == len || last_start == 0 {
            return Ok(());
        }
        if len <= SMALL {
            return self.insertion_sort(elements);
        }
        let middle = len / 2;
        if middle <= first_end {
            self.sort(&mut elements[first_end..], 1, last_start - first_end)?;
            return self.merge(elements, first_end);
        }
        if middle >= last_start {
            self.sort(&mut elements[..last_start], first_end, last_start - 1)?;
            return self.merge(elements, last_start);
        }
        let falls = (self.less)(&elements[middle], &elements[middle - 1])?;
        let mut start = middle - 1;
        while start > first_end && (self.less)(&elements[start], &elements[start - 1])? == falls {
            start -= 1;
        }
        let mut end = middle;
        while end < last_start && (self.less)(&elements[end], &elements[end - 1])? == falls {
            end += 1;
        }
        if falls {
            elements[start..end].reverse();
        }
        if start == 0 && end == len {
            return Ok(());
        }
        // Where the run reaches less far from the middle, the halves are more alike.
        if middle - start < end - middle {
            self.sort(&mut elements[..start], first_end, start.saturating_sub(1))?;
            self.sort(&mut elements[start..], end - start, last_start - start)?;
            self.merge(elements, start)
        } else {
            self.sort(&mut elements[..end], first_end, start)?;
            self.sort(&mut elements[end..], 1, last_start - end)?;
            self.merge(elements, end)
        }
    }

    /// Merges what is before `middle` with the rest, each of which is in order.
    fn merge(&mut self, elements: &mut [T], middle: usize) -> Result<(), E> {
        self.buffer.clear();
        self.buffer.extend_from_slice(&elements[..middle]);
        let (mut left, mut right, mut out) = (0, middle, 0);
        while left < self.buffer.len() && right < elements.len() {
            match (self.less)(&elements[right], &self.buffer[left]) {
                Ok(true) => {
                    elements[out] = elements[right];
                    right += 1;
                }
                Ok(false) => {
                    elements[out] = self.buffer[left];
                    left += 1;
                }
                Err(error) => {
                    elements[out..right].copy_from_slice(&self.buffer[left..]);
                    return Err(error);
                }
            }
            out += 1;
        }
        let rest = &self.buffer[left..];
        elements[out..out + rest.len()].copy_from_slice(rest);
        Ok(())
    }

    fn insertion_sort(&mut self, elements: &mut [T]) -> Result<(), E> {
        for end in 1..elements.len() {
            let mut at = end;
            while at > 0 && (self.less)(&elements[at], &elements[at - 1])? {
                elements.swap(at, at - 1);
                at -= 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::stable_sort;

    proptest::proptest! {
        #[test]
        fn sorts_stably(keys: Vec<u8>) {
            let mut elements: Vec<(u8, usize)> = keys.iter().copied().zip(0..).collect();
            let mut expected = elements.clone();
            expected.sort_by_key(|e| e.0);
            stable_sort(&mut elements, |a, b| Ok::<_, ()>(a.0 < b.0)).unwrap();
            proptest::prop_assert_eq!(elements, expected);
        }

        #[test]
        fn sorts_runs(lengths in proptest::collection::vec((0..40_usize, proptest::bool::ANY), 0..12)) {
            let runs = lengths.iter().flat_map(|&(length, falls)| {
                (0..length).map(move |at| if falls { length - at } else { at })
            });
            let mut elements: Vec<(usize, usize)> = runs.zip(0..).collect();
            let mut expected = elements.clone();
            expected.sort_by_key(|e| e.0);
            stable_sort(&mut elements, |a, b| Ok::<_, ()>(a.0 < b.0)).unwrap();
            proptest::prop_assert_eq!(elements, expected);
        }

        #[test]
        fn survives_any_order(mut elements: Vec<u8>, answers: Vec<Option<bool>>) {
            let mut expected = elements.clone();
            let mut answers = answers.into_iter().cycle();
            let _ = stable_sort(&mut elements, |_, _| answers.next().unwrap_or(Some(true)).ok_or(()));
            elements.sort_unstable();
            expected.sort_unstable();
            proptest::prop_assert_eq!(elements, expected);
        }
    }
}
