//! The archive's reader and writer, with trees nobody thought of.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use xbuild_store_model::nar::{self, Limits, NarSink};

type Entries = BTreeMap<Vec<u8>, Tree>;

#[derive(Debug, Clone, PartialEq)]
enum Tree {
    File(bool, Vec<u8>),
    Link(Vec<u8>),
    Directory(Entries),
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![any::<u8>(), b'a'..b'e', Just(b'.')], 1..6).prop_filter("a file name", |name| {
        !name.contains(&0) && !name.contains(&b'/') && name != b"." && name != b".."
    })
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        (any::<bool>(), vec(any::<u8>(), 0..40)).prop_map(|(x, data)| Tree::File(x, data)),
        (any::<bool>(), 65_500usize..65_560).prop_map(|(x, n)| Tree::File(x, vec![7; n])),
        vec(1u8.., 1..20).prop_map(Tree::Link),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        btree_map(name(), inner, 0..5).prop_map(Tree::Directory)
    })
}

fn create(tree: &Tree, path: &Path) {
    match tree {
        Tree::File(executable, contents) => {
            fs::write(path, contents).expect("a test file");
            let mode = if *executable { 0o700 } else { 0o600 };
            fs::set_permissions(path, Permissions::from_mode(mode)).expect("a test file");
        }
        Tree::Link(target) => {
            symlink(std::ffi::OsStr::from_bytes(target), path).expect("a test link");
        }
        Tree::Directory(entries) => {
            fs::create_dir(path).expect("a test directory");
            for (name, tree) in entries {
                create(tree, &path.join(std::ffi::OsStr::from_bytes(name)));
            }
        }
    }
}

/// Builds the tree again.
#[derive(Default)]
struct Collect {
    open: Vec<(Vec<u8>, Entries)>,
    root: Option<Tree>,
}

impl Collect {
    fn put(&mut self, name: &[u8], tree: Tree) {
        match self.open.last_mut() {
            Some((_, entries)) => assert!(entries.insert(name.to_vec(), tree).is_none()),
            None => assert!(self.root.replace(tree).is_none()),
        }
    }
}

impl NarSink for Collect {
    fn regular(&mut self, name: &[u8], x: bool, size: u64, r: &mut dyn Read) -> io::Result<()> {
        let mut contents = Vec::new();
        r.read_to_end(&mut contents)?;
        assert_eq!(contents.len() as u64, size);
        self.put(name, Tree::File(x, contents));
        Ok(())
    }
    fn symlink(&mut self, name: &[u8], target: &[u8]) -> io::Result<()> {
        self.put(name, Tree::Link(target.to_vec()));
        Ok(())
    }
    fn begin_directory(&mut self, name: &[u8]) -> io::Result<()> {
        self.open.push((name.to_vec(), BTreeMap::new()));
        Ok(())
    }
    fn end_directory(&mut self) -> io::Result<()> {
        let (name, entries) = self.open.pop().expect("it was begun");
        self.put(&name, Tree::Directory(entries));
        Ok(())
    }
}

/// Gives a few bytes at a time.
struct Trickle<'a>(&'a [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = buf.len().min(self.1);
        self.0.read(&mut buf[..n])
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn reading_undoes_writing(tree in tree(), pieces in 1usize..100) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("tree");
        create(&tree, &path);
        let mut archive = Vec::new();
        nar::write_path(&path, &mut archive).expect("readable");

        let mut sink = Collect::default();
        nar::read(Trickle(&archive, pieces), &mut sink, &Limits::default()).expect("valid");
        prop_assert_eq!(sink.root, Some(tree));

        let copy = dir.path().join("copy");
        nar::restore(&archive[..], &copy).expect("valid");
        let mut again = Vec::new();
        nar::write_path(&copy, &mut again).expect("readable");
        prop_assert!(again == archive);
    }

    /// What is left after damage is refused, or is the archive of some tree:
    /// there is no second spelling of any tree.
    #[test]
    fn damage_is_noticed_or_makes_another_archive(
        tree in tree(),
        edits in vec((any::<prop::sample::Index>(), any::<u8>(), 0..4), 1..4),
    ) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("tree");
        create(&tree, &path);
        let mut archive = Vec::new();
        nar::write_path(&path, &mut archive).expect("readable");
        for (at, byte, kind) in edits {
            let at = at.index(archive.len());
            match kind {
                0 => archive[at] = byte,
                1 => archive[at] ^= 1 << (byte % 8),
                2 => { archive.drain(at / 8 * 8..archive.len().min(at / 8 * 8 + 8)); }
                _ => { let at = at / 8 * 8; archive.splice(at..at, [0; 8]); }
            }
            if archive.is_empty() {
                break;
            }
        }
        let copy = dir.path().join("copy");
        match nar::restore(&archive[..], &copy) {
            Ok(size) => {
                prop_assert_eq!(size, archive.len() as u64);
                let mut again = Vec::new();
                nar::write_path(&copy, &mut again).expect("readable");
                prop_assert!(again == archive);
            }
            Err(_) => prop_assert!(fs::symlink_metadata(&copy).is_err()),
        }
    }
}
