//! A stable merge sort whose order may fail, and may be no order at all: a comparison written in the language is not
//! to be trusted, and the standard library's sort may panic over an inconsistent one.

/// Up to this length insertion sort is used, as in Nix: with an inconsistent order, short lists come out the same.
const SMALL: usize = 16;

/// Sorts by `less`, keeping the order of equal elements.
///
/// # Errors
///
/// The first error of `less`; the elements are then in some order, each once.
pub(super) fn stable_sort<T: Copy, E>(
    elements: &mut [T],
    mut less: impl FnMut(&T, &T) -> Result<bool, E>,
) -> Result<(), E> {
    let mut buffer = Vec::with_capacity(elements.len() / 2);
    merge_sort(elements, &mut buffer, &mut less)
}

fn merge_sort<T: Copy, E>(
    elements: &mut [T],
    buffer: &mut Vec<T>,
    less: &mut impl FnMut(&T, &T) -> Result<bool, E>,
) -> Result<(), E> {
    if elements.len() <= SMALL {
        return insertion_sort(elements, less);
    }
    let middle = elements.len() / 2;
    merge_sort(&mut elements[..middle], buffer, less)?;
    merge_sort(&mut elements[middle..], buffer, less)?;
    // Lists are often sorted already.
    if !less(&elements[middle], &elements[middle - 1])? {
        return Ok(());
    }
    buffer.clear();
    buffer.extend_from_slice(&elements[..middle]);
    let (mut left, mut right, mut out) = (0, middle, 0);
    while left < buffer.len() && right < elements.len() {
        match less(&elements[right], &buffer[left]) {
            Ok(true) => {
                elements[out] = elements[right];
                right += 1;
            }
            Ok(false) => {
                elements[out] = buffer[left];
                left += 1;
            }
            Err(error) => {
                elements[out..right].copy_from_slice(&buffer[left..]);
                return Err(error);
            }
        }
        out += 1;
    }
    let rest = &buffer[left..];
    elements[out..out + rest.len()].copy_from_slice(rest);
    Ok(())
}

fn insertion_sort<T: Copy, E>(
    elements: &mut [T],
    less: &mut impl FnMut(&T, &T) -> Result<bool, E>,
) -> Result<(), E> {
    for end in 1..elements.len() {
        let mut at = end;
        while at > 0 && less(&elements[at], &elements[at - 1])? {
            elements.swap(at, at - 1);
            at -= 1;
        }
    }
    Ok(())
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
