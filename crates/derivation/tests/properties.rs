//! The reader and the writer, with derivations nobody thought of.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use xbuild_derivation::{Derivation, DrvHash, Error, Output, fill_outputs};
use xbuild_store_model::{ContentAddressMethod, Hash, HashAlgo, StorePath};

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(
        prop_oneof![
            3 => any::<u8>(),
            1 => Just(b'"'), 1 => Just(b'\\'), 1 => Just(b'\n'), 1 => Just(b'n'),
        ],
        0..12,
    )
}

fn path() -> impl Strategy<Value = StorePath> {
    "[0-9a-df-np-sv-z]{32}-[a-z]{1,8}"
        .prop_map(|name| StorePath::from_base_name(&name).expect("a valid name"))
}

fn output() -> impl Strategy<Value = Output> {
    let method = prop_oneof![
        Just(ContentAddressMethod::FLAT),
        Just(ContentAddressMethod::NIX_ARCHIVE),
        Just(ContentAddressMethod::Text),
    ];
    let algo = (0usize..5).prop_map(|i| HashAlgo::ALL[i]);
    prop_oneof![
        path().prop_map(Output::InputAddressed),
        Just(Output::Deferred),
        (method.clone(), algo.clone()).prop_map(|(method, algo)| Output::Floating { method, algo }),
        (method, algo).prop_map(|(method, algo)| Output::Impure { method, algo }),
    ]
}

prop_compose! {
    fn derivation()(
        outputs in btree_map("[a-z]{1,5}", output(), 0..4),
        fixed in proptest::option::of((0usize..4, bytes())),
        input_drvs in btree_map(path(), btree_set("[a-zé\"]{1,4}".prop_map(|s| s.replace('"', "q")), 1..3), 0..4),
        input_srcs in btree_set(path(), 0..4),
        system in bytes(), builder in bytes(),
        args in vec(bytes(), 0..4),
        env in btree_map(bytes(), bytes(), 0..6),
    ) -> Derivation {
        let mut outputs = outputs;
        if let Some((algo, data)) = fixed {
            let hash = Hash::of(HashAlgo::ALL[algo], &data);
            let output = Output::fixed("name", "out", ContentAddressMethod::NIX_ARCHIVE, hash)
                .expect("a valid name");
            outputs.insert("out".to_owned(), output);
        }
        Derivation {
            name: "name".to_owned(), outputs, input_drvs, input_srcs, system, builder, args, env,
        }
    }
}

proptest! {
    #[test]
    fn reading_undoes_writing(drv in derivation()) {
        let aterm = drv.to_aterm();
        prop_assert_eq!(Derivation::parse("name", &aterm), Ok(drv));
    }

    /// What is left after damage is refused, or is a derivation that can be
    /// written and read again.
    #[test]
    fn damage_is_noticed_or_harmless(
        drv in derivation(),
        edits in vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..4),
    ) {
        let mut aterm = drv.to_aterm();
        for (at, byte, kind) in edits {
            if aterm.is_empty() {
                break;
            }
            let at = at.index(aterm.len());
            match kind {
                0 => aterm[at] = byte,
                1 => { aterm.remove(at); }
                _ => aterm.insert(at, byte),
            }
        }
        if let Ok(read) = Derivation::parse("name", &aterm) {
            prop_assert_eq!(Derivation::parse("name", &read.to_aterm()), Ok(read));
        }
    }

    #[test]
    fn every_cut_is_an_error(drv in derivation()) {
        let aterm = drv.to_aterm();
        for len in 0..aterm.len() {
            let error = Derivation::parse("name", &aterm[..len]).expect_err("cut short");
            let is_aterm = matches!(error, Error::Aterm { .. });
            prop_assert!(is_aterm, "{}", error);
        }
    }

    /// Paths depend on everything but themselves.
    #[test]
    fn filling_is_stable(drv in derivation(), names in btree_set("[a-z]{1,5}", 1..4)) {
        let mut drv = drv;
        drv.outputs = names.into_iter().map(|name| (name, Output::Deferred)).collect();
        let mut resolve = |path: &StorePath| {
            Ok::<_, Error>(DrvHash::Regular(Hash::of(HashAlgo::Sha256, path.base_name().as_bytes())))
        };
        fill_outputs(&mut drv, &mut resolve).expect("computable");
        let paths: BTreeSet<_> = drv.output_paths().map(|(_, path)| path.cloned()).collect();
        prop_assert_eq!(paths.len(), drv.outputs.len());
        for (name, path) in drv.output_paths() {
            let path = path.expect("filled").to_string();
            prop_assert_eq!(&drv.env[name.as_bytes()], path.as_bytes());
        }
        let mut again = drv.clone();
        fill_outputs(&mut again, &mut resolve).expect("computable");
        prop_assert_eq!(&again, &drv);
        let mut other = drv.clone();
        other.outputs = drv.outputs.keys().map(|name| (name.clone(), Output::Deferred)).collect();
        other.env.insert(b"A variable that no output has".to_vec(), Vec::new());
        fill_outputs(&mut other, &mut resolve).expect("computable");
        prop_assert!(other.output_paths().all(|(_, path)| !paths.contains(&path.cloned())));
        prop_assert_eq!(BTreeMap::len(&other.outputs), paths.len());
    }
}
