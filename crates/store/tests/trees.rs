//! Random trees: our one-pass reader against the NAR writer of `xbuild-store-model`, and copies that are the same as their sources.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use common::open;
use proptest::prelude::*;
use xbuild_store_model::content_address::FileIngestionMethod;
use xbuild_store_model::hash::HashAlgo;
use xbuild_store_model::nar;

#[derive(Debug, Clone)]
enum Node {
    File(bool, usize),
    Symlink(String),
    Directory(BTreeMap<String, Node>),
}

fn node() -> impl Strategy<Value = Node> {
    // Sizes around the padding, the read buffer, and the limit of what stays in memory.
    let size = prop_oneof![
        0..20_usize,
        Just(4095),
        Just(4096),
        Just(262_144),
        Just(262_145),
        Just(5 << 20)
    ];
    let leaf = prop_oneof![
        (any::<bool>(), size).prop_map(|(executable, size)| Node::File(executable, size)),
        "[a-z/.]{1,40}".prop_map(Node::Symlink),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop::collection::btree_map("[a-zA-Z0-9~_ é-]{1,12}", inner, 0..6).prop_map(Node::Directory)
    })
}

fn write(node: &Node, path: &Path) {
    match node {
        Node::File(executable, size) => {
            fs::write(path, vec![b'c'; *size]).unwrap();
            fs::set_permissions(
                path,
                fs::Permissions::from_mode(if *executable { 0o700 } else { 0o600 }),
            )
            .unwrap();
        }
        Node::Symlink(target) => symlink(target, path).unwrap(),
        Node::Directory(entries) => {
            fs::create_dir(path).unwrap();
            for (name, entry) in entries {
                write(entry, &path.join(name));
            }
        }
    }
}

fn assert_canonical(path: &Path) {
    let meta = fs::symlink_metadata(path).unwrap();
    assert_eq!(
        (meta.mtime(), meta.mtime_nsec()),
        (1, 0),
        "{}",
        path.display()
    );
    if !meta.is_symlink() {
        assert!(
            [0o444, 0o555].contains(&(meta.mode() & 0o7777)),
            "{}",
            path.display()
        );
    }
    if meta.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            assert_canonical(&entry.unwrap().path());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn hashes_and_copies(node in node()) {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir.path().join("root"));
        let source = dir.path().join("source");
        write(&node, &source);
        let (hash, size) = nar::hash_path(&source, HashAlgo::Sha256).unwrap();
        let scanned = store.scan_and_hash(&source, []).unwrap();
        prop_assert_eq!((scanned.nar_hash, scanned.nar_size), (hash, size));

        let method = FileIngestionMethod::NixArchive;
        let path = store.add_path("source", &source, method, HashAlgo::Sha256, None, None).unwrap();
        let physical = store.physical(&path);
        assert_canonical(&physical);
        prop_assert_eq!(nar::hash_path(&physical, HashAlgo::Sha256).unwrap(), (hash, size));
        let info = store.query_path_info(&path).unwrap().unwrap();
        prop_assert_eq!((info.nar_hash, info.nar_size), (hash, size));

        store.canonicalise(&source).unwrap();
        assert_canonical(&source);
        prop_assert_eq!(nar::hash_path(&source, HashAlgo::Sha256).unwrap(), (hash, size));
        xbuild_store::remove_tree(&source).unwrap();
        prop_assert!(fs::symlink_metadata(&source).is_err());
    }
}

#[test]
fn filters_see_entries_in_order_and_keep_out_what_they_refuse() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("root"));
    let source = dir.path().join("source");
    for name in ["b/x", "b/keep", "a", "c/y"] {
        let file = source.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, name).unwrap();
    }
    rustix::fs::mknodat(
        rustix::fs::CWD,
        source.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let method = FileIngestionMethod::NixArchive;
    let message = store
        .add_path("s", &source, method, HashAlgo::Sha256, None, None)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("source/pipe' has an unsupported type") && message.contains("a FIFO"),
        "{message}"
    );

    let mut seen = Vec::new();
    let mut filter = |path: &Path, kind: xbuild_store::FileType| {
        let name = path.strip_prefix(&source).unwrap().display().to_string();
        seen.push((name.clone(), kind));
        Ok(!["c", "b/x", "pipe"].contains(&name.as_str()))
    };
    let path = store
        .add_path(
            "s",
            &source,
            method,
            HashAlgo::Sha256,
            Some(&mut filter),
            None,
        )
        .unwrap();
    use xbuild_store::FileType::{Directory, Regular, Unknown};
    let expected = [
        ("a", Regular),
        ("b", Directory),
        ("b/keep", Regular),
        ("b/x", Regular),
        ("c", Directory),
        ("pipe", Unknown),
    ];
    assert_eq!(seen, expected.map(|(name, kind)| (name.to_owned(), kind)));
    let physical = store.physical(&path);
    assert!(physical.join("b/keep").exists() && physical.join("a").exists());
    assert!(!physical.join("b/x").exists() && !physical.join("c").exists());

    let mut failing = |_: &Path, _| Err("the filter's own error".into());
    let message = store
        .add_path(
            "s",
            &source,
            method,
            HashAlgo::Sha256,
            Some(&mut failing),
            None,
        )
        .unwrap_err();
    assert_eq!(message.to_string(), "the filter's own error");
    let flat = store
        .add_path(
            "s",
            &source,
            FileIngestionMethod::Flat,
            HashAlgo::Sha256,
            None,
            None,
        )
        .unwrap_err();
    assert!(
        flat.to_string()
            .contains("is a directory, but a flat or text hash is for one regular file")
    );
    assert!(store.verify(true).unwrap().is_sound());
}
