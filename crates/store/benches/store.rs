//! `cargo bench -p xbuild-store`: registering many small paths, adding large ones, closures.

use std::collections::BTreeSet;
use std::path::PathBuf;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use xbuild_store::{GcOptions, NewPath, NewText, Store, StoreOptions};
use xbuild_store_model::StorePath;
use xbuild_store_model::content_address::FileIngestionMethod;
use xbuild_store_model::hash::{Hash, HashAlgo};

fn main() {
    divan::main();
}

fn new_store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(dir.path(), StoreOptions::default()).expect("a new store");
    (dir, store)
}

fn path(number: usize) -> StorePath {
    let hash = Hash::of(HashAlgo::Sha256, &number.to_le_bytes()).to_base32();
    StorePath::from_base_name(&format!("{}-trivial", &hash[..32])).expect("a valid name")
}

/// 500 outputs as builds leave them: lock, canonical metadata, hash, rename, one transaction each.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn register_500_trivial_outputs(bencher: Bencher<'_, '_>) {
    let paths: Vec<StorePath> = (0..500).map(path).collect();
    let prepare = || {
        let (dir, store) = new_store();
        let work = store.work_dir().expect("a build directory");
        let trees: Vec<PathBuf> = (0..500)
            .map(|number| work.path().join(number.to_string()))
            .collect();
        for tree in &trees {
            std::fs::create_dir(tree).expect("a directory");
            std::fs::write(tree.join("file"), "contents").expect("a file");
        }
        (dir, store, work, trees)
    };
    bencher
        .counter(ItemsCount::new(500_usize))
        .with_inputs(prepare)
        .bench_refs(|(_, store, _, trees)| {
            for (path, tree) in paths.iter().zip(trees) {
                let _locks = store
                    .lock_paths(std::slice::from_ref(path))
                    .expect("a lock");
                store.canonicalise(tree).expect("canonical");
                let scanned = store.scan_and_hash(tree, &paths[..10]).expect("a hash");
                let new = NewPath {
                    path: path.clone(),
                    physical: tree.clone(),
                    nar_hash: scanned.nar_hash,
                    nar_size: scanned.nar_size,
                    references: scanned.references,
                    deriver: None,
                    ca: None,
                    ultimate: true,
                    sigs: Vec::new(),
                };
                store.register(&[new]).expect("registered");
            }
        });
}

#[divan::bench(args = [1, 500], sample_count = 10, sample_size = 1)]
fn add_500_texts_in_batches_of(bencher: Bencher<'_, '_>, batch: usize) {
    let texts: Vec<NewText> = (0..500)
        .map(|number| NewText {
            name: format!("text-{number}"),
            contents: vec![b'x'; 1000],
            references: BTreeSet::new(),
        })
        .collect();
    bencher
        .counter(ItemsCount::new(500_usize))
        .with_inputs(new_store)
        .bench_refs(|(_, store)| {
            for batch in texts.chunks(batch) {
                store.add_texts(batch).expect("added");
            }
        });
}

const MEGABYTES: usize = 64;

/// In the units of `sha256_alone`, which is the limit.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn add_path_with_large_file(bencher: Bencher<'_, '_>) {
    let source = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(source.path().join("file"), vec![5_u8; MEGABYTES << 20]).expect("a file");
    bencher
        .counter(BytesCount::new(MEGABYTES << 20))
        .with_inputs(new_store)
        .bench_refs(|(_, store)| {
            let method = FileIngestionMethod::NixArchive;
            store
                .add_path(
                    "source",
                    source.path(),
                    method,
                    HashAlgo::Sha256,
                    None,
                    None,
                )
                .expect("added")
        });
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn sha256_alone(bencher: Bencher<'_, '_>) {
    let bytes = vec![5_u8; MEGABYTES << 20];
    bencher
        .counter(BytesCount::new(MEGABYTES << 20))
        .bench(|| Hash::of(HashAlgo::Sha256, &bytes));
}

/// The hash of another index of files, beside the NAR's.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn blake3_alone(bencher: Bencher<'_, '_>) {
    let bytes = vec![5_u8; MEGABYTES << 20];
    bencher
        .counter(BytesCount::new(MEGABYTES << 20))
        .bench(|| Hash::of(HashAlgo::Blake3, &bytes));
}

fn store_that_shares(shares: bool) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = StoreOptions {
        auto_optimise: shares,
        ..StoreOptions::default()
    };
    let store = Store::open(dir.path(), options).expect("a new store");
    (dir, store)
}

/// 1,000 files of 64 KiB: without and with a hash for each.
#[divan::bench(args = [false, true], sample_count = 10, sample_size = 1)]
fn scan_a_tree_for_sharing(bencher: Bencher<'_, '_>, shares: bool) {
    let source = tempfile::tempdir().expect("a temporary directory");
    for number in 0..1000 {
        std::fs::write(source.path().join(number.to_string()), vec![5_u8; 64 << 10])
            .expect("a file");
    }
    let (_dir, store) = store_that_shares(shares);
    bencher
        .counter(BytesCount::new(1000_usize * (64 << 10)))
        .bench(|| store.scan_and_hash(source.path(), []).expect("a hash"));
}

/// 2,000 files of 2 KB, all different, and once more, all there.
#[divan::bench(args = [(false, false), (true, false), (true, true)], sample_count = 10, sample_size = 1)]
fn share_2000_small_files(bencher: Bencher<'_, '_>, (shares, again): (bool, bool)) {
    let fill = |seed: u8| {
        let source = tempfile::tempdir().expect("a temporary directory");
        for number in 0..2000_u16 {
            let contents = [&number.to_le_bytes()[..], &[1; 2000]].concat();
            std::fs::write(source.path().join(number.to_string()), contents).expect("a file");
        }
        std::fs::write(source.path().join("seed"), [seed]).expect("a file");
        source
    };
    let (first, second) = (fill(1), fill(2));
    let add = |store: &Store, source: &std::path::Path| {
        let method = FileIngestionMethod::NixArchive;
        store
            .add_path("source", source, method, HashAlgo::Sha256, None, None)
            .expect("added")
    };
    bencher
        .counter(ItemsCount::new(2000_usize))
        .with_inputs(|| {
            let (dir, store) = store_that_shares(shares);
            if again {
                add(&store, first.path());
            }
            (dir, store)
        })
        .bench_refs(|(_, store)| add(store, second.path()));
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn add_path_with_2000_small_files(bencher: Bencher<'_, '_>) {
    let source = tempfile::tempdir().expect("a temporary directory");
    for number in 0..2000 {
        std::fs::write(source.path().join(number.to_string()), vec![1_u8; 2000]).expect("a file");
    }
    bencher
        .counter(ItemsCount::new(2000_usize))
        .with_inputs(new_store)
        .bench_refs(|(_, store)| {
            let method = FileIngestionMethod::NixArchive;
            store
                .add_path(
                    "source",
                    source.path(),
                    method,
                    HashAlgo::Sha256,
                    None,
                    None,
                )
                .expect("added")
        });
}

/// A chain of texts, each of which refers to the ten before it.
#[divan::bench]
fn closure_of_2000(bencher: Bencher<'_, '_>) {
    let (_dir, store) = new_store();
    let mut paths: Vec<StorePath> = Vec::new();
    for number in 0..2000 {
        let references = paths.iter().rev().take(10).cloned().collect();
        paths.push(
            store
                .add_text(&format!("text-{number}"), b"x", &references)
                .expect("added"),
        );
    }
    let last = paths.last().cloned().into_iter().collect::<Vec<_>>();
    bencher
        .counter(ItemsCount::new(2000_usize))
        .bench(|| store.closure(&last).expect("a closure"));
}

#[divan::bench]
fn is_valid(bencher: Bencher<'_, '_>) {
    let (_dir, store) = new_store();
    let path = store
        .add_text("text", b"x", &BTreeSet::new())
        .expect("added");
    bencher.bench(|| store.is_valid(&path).expect("an answer"));
}

#[divan::bench(sample_count = 20)]
fn open_existing(bencher: Bencher<'_, '_>) {
    let (dir, store) = new_store();
    drop(store);
    bencher.bench(|| {
        Store::open(dir.path(), StoreOptions::default())
            .expect("a store")
            .gc(&dry_run())
            .expect("a report")
    });
}

fn dry_run() -> GcOptions {
    GcOptions {
        dry_run: true,
        ..GcOptions::default()
    }
}
