//! Values, environments and sets in the heap.

use proptest::prelude::*;
use xbuild_eval::attrs::AttrsBuilder;
use xbuild_eval::heap::Heap;
use xbuild_eval::merge::Merger;
use xbuild_eval::position::Pos;
use xbuild_eval::{Value, ValueKind};
use xbuild_syntax::symbol::Symbol;

proptest! {
    #[test]
    fn integers_of_any_size_come_back(int in any::<i64>()) {
        prop_assert_eq!(Value::int(Heap::new(), int).as_int(), Some(int));
    }

    #[test]
    fn floats_come_back(float in any::<f64>()) {
        let value = Value::float(Heap::new(), float);
        prop_assert!(matches!(value.kind(), ValueKind::Float(found) if found.to_bits() == float.to_bits()));
    }

    #[test]
    fn strings_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let value = Value::string(Heap::new(), &bytes);
        prop_assert_eq!(value.as_string().map(xbuild_eval::heap::Array::bytes), Some(bytes.as_slice()));
    }

    #[test]
    fn updates_are_those_of_a_map(
        left in proptest::collection::btree_map(0..50_u32, any::<i32>(), 0..40),
        right in proptest::collection::btree_map(0..50_u32, any::<i32>(), 0..40),
    ) {
        let heap = Heap::new();
        let set = |map: &std::collections::BTreeMap<u32, i32>| {
            let mut builder = AttrsBuilder::new();
            for (name, value) in map.iter().rev() {
                builder.insert(Symbol(*name), Value::int(heap, i64::from(*value)), Pos::NONE);
            }
            builder.finish(heap)
        };
        let updated = set(&left).update(heap, set(&right));
        let mut expected = left;
        expected.extend(right);
        let found: Vec<(u32, Option<i64>)> = updated.iter().map(|attr| (attr.name.0, attr.value.as_int())).collect();
        let expected: Vec<(u32, Option<i64>)> =
            expected.into_iter().map(|(name, value)| (name, Some(i64::from(value)))).collect();
        prop_assert_eq!(found, expected);
    }

    /// A hint is where a name was in another set, or nonsense.
    #[test]
    fn hints_change_nothing(
        names in proptest::collection::btree_set(0..40_u32, 0..30),
        asked in proptest::collection::vec((0..40_u32, proptest::option::of(0..50_u32)), 1..30),
    ) {
        let heap = Heap::new();
        let mut builder = AttrsBuilder::new();
        for name in &names {
            builder.insert(Symbol(*name), Value::int(heap, i64::from(*name)), Pos::NONE);
        }
        let set = builder.finish(heap);
        let hint = std::cell::Cell::new(0);
        for (name, other) in asked {
            if let Some(other) = other {
                hint.set(other);
            }
            for _ in 0..2 {
                let found = set.get_hinted(Symbol(name), &hint).map(|attr| attr.name.0);
                prop_assert_eq!(found, names.get(&name).copied());
            }
        }
    }

    /// A whole chain is merged at once.
    #[test]
    fn chains_merged_at_once_are_those_of_a_map(
        chains in proptest::collection::vec(
            proptest::collection::vec(proptest::collection::btree_map(0..200_u32, any::<i32>(), 0..120), 0..7),
            1..4,
        ),
    ) {
        let heap = Heap::new();
        let mut merger = Merger::default();
        for operands in chains {
            let sets: Vec<_> = operands
                .iter()
                .map(|operand| {
                    let mut builder = AttrsBuilder::new();
                    for (name, value) in operand {
                        builder.insert(Symbol(*name), Value::int(heap, i64::from(*value)), Pos::NONE);
                    }
                    builder.finish(heap)
                })
                .collect();
            let merged = merger.merge(heap, &sets);
            // The last operand comes first.
            let expected: std::collections::BTreeMap<_, _> = operands.into_iter().rev().flatten().collect();
            let found: Vec<_> = merged.iter().map(|attr| (attr.name.0, attr.value.as_int())).collect();
            let expected: Vec<_> =
                expected.into_iter().map(|(name, value)| (name, Some(i64::from(value)))).collect();
            prop_assert_eq!(found, expected);
        }
    }

    /// Big sets that get a few names each time, or are put on top of small ones, are layered.
    #[test]
    fn chains_of_updates_are_those_of_a_map(
        steps in proptest::collection::vec(
            (proptest::collection::btree_map(0..400_u32, any::<i32>(), 0..120), any::<bool>(), any::<bool>()),
            1..12,
        ),
    ) {
        let heap = Heap::new();
        let mut set = AttrsBuilder::new().finish(heap);
        let mut expected = std::collections::BTreeMap::new();
        for (other, on_top, look) in steps {
            let mut builder = AttrsBuilder::new();
            for (name, value) in &other {
                builder.insert(Symbol(*name), Value::int(heap, i64::from(*value)), Pos::NONE);
            }
            let other_set = builder.finish(heap);
            if on_top {
                set = set.update(heap, other_set);
                expected.extend(other);
            } else {
                set = other_set.update(heap, set);
                let below = std::mem::replace(&mut expected, other);
                expected.extend(below);
            }
            if look {
                // Makes a flat copy.
                prop_assert_eq!(set.as_slice().len(), set.len());
            }
            prop_assert_eq!(set.len(), expected.len());
            let hint = std::cell::Cell::new(0);
            for name in 0..400 {
                let wanted = expected.get(&name).map(|value| i64::from(*value));
                let found = set.get(Symbol(name)).and_then(|attr| attr.value.as_int());
                let hinted = set.get_hinted(Symbol(name), &hint).and_then(|attr| attr.value.as_int());
                prop_assert_eq!((found, hinted), (wanted, wanted));
            }
        }
        let found: Vec<(u32, Option<i64>)> = set.iter().map(|attr| (attr.name.0, attr.value.as_int())).collect();
        let expected: Vec<(u32, Option<i64>)> =
            expected.into_iter().map(|(name, value)| (name, Some(i64::from(value)))).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn tails_are_what_is_left(values in proptest::collection::vec(any::<i32>(), 0..20), from in 0..20_usize, again in 0..20_usize) {
        let heap = Heap::new();
        let elements: Vec<Value> = values.iter().map(|value| Value::int(heap, i64::from(*value))).collect();
        let from = from.min(elements.len());
        let again = again.min(elements.len() - from);
        let tail = heap.list_tail(heap.list_tail(heap.list(&elements), from), again);
        prop_assert_eq!(tail.len(), elements.len() - from - again);
        prop_assert_eq!(tail.as_slice(), &elements[from + again..]);
    }
}

#[test]
fn only_frames_that_nothing_refers_to_are_used_again() {
    let heap = Heap::new();
    let outer = heap.env(None, 2);
    let inner = heap.env(Some(outer), 3);
    inner.set(1, Value::TRUE);
    heap.release(outer);
    heap.release(inner);
    // The outer one is what the inner one refers to, so it is not free.
    outer.set(0, Value::FALSE);
    let other = heap.env(None, 2);
    other.set(0, Value::NULL);
    assert_eq!(outer.get(0), Some(Value::FALSE));
    // The inner one is: it comes back with all slots unset.
    let fresh = heap.env(None, 3);
    assert!((0..3).all(|slot| fresh.get(slot).is_none()));
    inner.set(2, Value::TRUE);
    assert_eq!(fresh.get(2), Some(Value::TRUE));
}

#[test]
fn environments_of_any_size_keep_their_slots() {
    let heap = Heap::new();
    // 32767 slots and more have their length in a word of its own.
    for size in [1, 2, 32_766, 32_767, 32_768, 65_535, 100_000] {
        let outer = heap.env(None, 1);
        outer.set(0, Value::TRUE);
        let env = heap.env(Some(outer), size);
        let last = u32::try_from(size - 1).expect("small");
        assert!(env.get(last).is_none());
        env.set(last, Value::NULL);
        assert!(matches!(
            env.get(last).map(Value::kind),
            Some(ValueKind::Null)
        ));
        assert!(matches!(
            env.up().get(0).map(Value::kind),
            Some(ValueKind::Bool(true))
        ));
    }
}

#[test]
#[should_panic(expected = "slots")]
fn a_slot_beyond_the_end_is_caught() {
    let env = Heap::new().env(None, 3);
    env.set(3, Value::NULL);
}
