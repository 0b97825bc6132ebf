//! Values, environments and sets in the heap.

use proptest::prelude::*;
use xbuild_eval::attrs::AttrsBuilder;
use xbuild_eval::heap::Heap;
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
}

#[test]
fn environments_of_any_size_keep_their_slots() {
    let heap = Heap::new();
    // 65535 slots and more have their length in a word of its own.
    for size in [1, 2, 65_534, 65_535, 65_536, 100_000] {
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
