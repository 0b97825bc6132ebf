//! Identical files are stored once: when they come, and afterwards; beside stock Nix, in both directions.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use common::{assert_sound, nix, run};
use xbuild_store::{GcOptions, NewPath, Store, StoreOptions};
use xbuild_store_model::StorePath;
use xbuild_store_model::content_address::FileIngestionMethod;
use xbuild_store_model::hash::HashAlgo;

fn open(root: &Path) -> Store {
    let options = StoreOptions {
        auto_optimise: true,
        ..StoreOptions::default()
    };
    Store::open(root, options).unwrap()
}

/// Every kind of file; `size` is that of what is the same in all trees.
fn tree(place: &Path, own: &str, size: usize) {
    std::fs::create_dir_all(place.join("sub/deep")).unwrap();
    let same = vec![b's'; size];
    for name in ["same", "again", "sub/deep/same", "program"] {
        std::fs::write(place.join(name), &same).unwrap();
    }
    std::fs::set_permissions(
        place.join("program"),
        std::fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    std::fs::write(place.join("own"), own).unwrap();
    std::fs::write(place.join("empty"), "").unwrap();
    symlink("same", place.join("link")).unwrap();
    std::fs::hard_link(place.join("own"), place.join("sub/own")).unwrap();
}

fn add(store: &Store, source: &Path) -> StorePath {
    let method = FileIngestionMethod::NixArchive;
    store
        .add_path("tree", source, method, HashAlgo::Sha256, None, None)
        .unwrap()
}

fn inode(store: &Store, path: &StorePath, name: &str) -> u64 {
    let top = store.physical(path);
    let place = if name.is_empty() { top } else { top.join(name) };
    std::fs::symlink_metadata(place).unwrap().ino()
}

fn links(root: &Path) -> Vec<PathBuf> {
    let dir = std::fs::read_dir(root.join("nix/store/.links")).unwrap();
    dir.map(|entry| entry.unwrap().path()).collect()
}

/// As a build would.
fn build(store: &Store, seed: &str, size: usize) -> StorePath {
    let path = common::some_path(seed);
    let _locks = store.lock_paths(std::slice::from_ref(&path)).unwrap();
    let work = store.work_dir().unwrap();
    let place = work.path().join("tree");
    tree(&place, seed, size);
    store.canonicalise(&place).unwrap();
    let scanned = store.scan_and_hash(&place, []).unwrap();
    store.share_files(&place, &scanned.files, false).unwrap();
    store
        .register(&[NewPath {
            path: path.clone(),
            physical: place,
            nar_hash: scanned.nar_hash,
            nar_size: scanned.nar_size,
            references: BTreeSet::new(),
            deriver: None,
            ca: None,
            ultimate: true,
            sigs: Vec::new(),
        }])
        .unwrap();
    path
}

/// Both ways in: copies (small ones through memory, large ones not) and builds.
#[test]
fn when_they_come() {
    for size in [1000, 6 << 20] {
        let dir = tempfile::tempdir().unwrap();
        let sources = tempfile::tempdir().unwrap();
        let root = dir.path();
        let store = open(root);
        tree(&sources.path().join("a"), "a", size);
        tree(&sources.path().join("b"), "b", size);
        let paths = [
            add(&store, &sources.path().join("a")),
            add(&store, &sources.path().join("b")),
            build(&store, "c", size),
        ];
        let same = inode(&store, &paths[0], "same");
        for path in &paths {
            for name in ["same", "again", "sub/deep/same"] {
                assert_eq!(inode(&store, path, name), same, "{path} {name}");
            }
            assert_ne!(
                inode(&store, path, "program"),
                same,
                "the executable bit is part of a file"
            );
            assert_eq!(
                inode(&store, path, "program"),
                inode(&store, &paths[0], "program")
            );
            assert_eq!(inode(&store, path, "own"), inode(&store, path, "sub/own"));
        }
        // Five distinct files that are not empty; symlinks are not shared.
        assert_eq!(links(root).len(), 5);
        assert_eq!(store.sharing().unwrap().files, 5);
        assert!(store.sharing().unwrap().bytes_saved >= 10 * size as u64);
        assert_sound(root);
        for path in &paths {
            let top = store.physical(path);
            for place in [top.clone(), top.join("sub"), top.join("sub/deep")] {
                let meta = std::fs::symlink_metadata(place).unwrap();
                assert_eq!((meta.mode() & 0o7777, meta.mtime()), (0o555, 1));
            }
        }
        // Stock Nix has only empty files and symlinks left to do.
        let files = |name: &str| {
            paths
                .iter()
                .map(|path| inode(&store, path, name))
                .collect::<BTreeSet<_>>()
        };
        run(&mut nix(root, "nix-store", &["--optimise"]));
        assert_eq!(files("same"), BTreeSet::from([same]));
        assert_eq!(files("empty").len(), 1);
        assert_sound(root);
        assert!(store.verify(true).unwrap().is_sound());
        // And we have nothing to do after it.
        assert_eq!(store.optimise().unwrap().files_linked, 0);
    }
}

#[test]
fn what_came_before() {
    let dir = tempfile::tempdir().unwrap();
    let sources = tempfile::tempdir().unwrap();
    let root = dir.path();
    let plain = common::open(root);
    let mut paths = Vec::new();
    for name in ["a", "b"] {
        tree(&sources.path().join(name), name, 10_000);
        paths.push(add(&plain, &sources.path().join(name)));
    }
    assert!(links(root).is_empty(), "not wanted, not done");
    let file = sources.path().join("file");
    std::fs::write(&file, vec![b's'; 10_000]).unwrap();
    paths.push(add(&plain, &file));
    // One of stock Nix's, which it optimises itself.
    let theirs = sources.path().join("theirs");
    tree(&theirs, "theirs", 10_000);
    let added = run(&mut nix(
        root,
        "nix-store",
        &[
            "--option",
            "auto-optimise-store",
            "true",
            "--add",
            theirs.to_str().unwrap(),
        ],
    ));
    paths.push(StorePath::parse(&added).unwrap());

    let report = plain.optimise().unwrap();
    assert_eq!(report.paths, 4);
    // Become links to files of theirs: seven plain files and two programs with the same contents. And in each tree, one of the two files
    // that were one when they were copied.
    let same = inode(&plain, &paths[3], "same");
    assert_eq!(inode(&plain, &paths[0], "again"), same);
    assert_eq!(
        inode(&plain, &paths[2], ""),
        same,
        "a store path that is a file"
    );
    assert_eq!(
        (report.files_linked, report.bytes_freed),
        (11, 12_288 * 9 + 4_096 * 2)
    );
    let again = plain.optimise().unwrap();
    assert_eq!((again.files_linked, again.bytes_freed), (0, 0));
    assert_sound(root);
    for path in &paths[..2] {
        let meta = std::fs::symlink_metadata(plain.physical(path).join("sub")).unwrap();
        assert_eq!((meta.mode() & 0o7777, meta.mtime()), (0o555, 1));
    }
    // What one of them needs stays when the others go; entries without a file go.
    drop(plain);
    let plain = common::open(root);
    plain.delete(&paths[1..]).unwrap();
    assert_eq!(
        std::fs::read(plain.physical(&paths[0]).join("same")).unwrap(),
        vec![b's'; 10_000]
    );
    assert_eq!(
        links(root)
            .iter()
            .filter(|link| std::fs::metadata(link).unwrap().nlink() == 1)
            .count(),
        0
    );
    drop(plain);
    let report = common::open(root).gc(&GcOptions::default()).unwrap();
    assert!(report.bytes_freed > 20_000, "{report:?}");
    assert!(links(root).is_empty());
}

/// Collecting up to a limit counts what only the index still holds.
#[test]
fn limits_count_what_is_shared() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for number in 0..6_u8 {
        let source = dir.path().join("source");
        std::fs::write(&source, vec![number; 100_000]).unwrap();
        add(&store, &source);
    }
    drop(store);
    let store = open(dir.path());
    let limited = GcOptions {
        max_freed: Some(250_000),
        ..GcOptions::default()
    };
    let report = store.gc(&limited).unwrap();
    assert_eq!((report.paths.len(), report.limit_reached), (3, true));
    assert!(report.bytes_freed > 250_000, "{report:?}");
    assert_eq!(store.all_valid().unwrap().len(), 3);
}

/// A file that is not what its hash says any more is left alone; an entry that is not what its name says is replaced.
#[test]
fn nothing_false_is_shared() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let store = open(root);
    let first = build(&store, "first", 5_000);

    let work = store.work_dir().unwrap();
    let place = work.path().join("tree");
    tree(&place, "changed", 5_000);
    store.canonicalise(&place).unwrap();
    let scanned = store.scan_and_hash(&place, []).unwrap();
    std::fs::set_permissions(place.join("same"), std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(place.join("same"), vec![b't'; 5_000]).unwrap();
    store.canonicalise(&place).unwrap();
    store.share_files(&place, &scanned.files, false).unwrap();
    assert_eq!(
        std::fs::read(place.join("same")).unwrap(),
        vec![b't'; 5_000]
    );
    assert_eq!(
        std::fs::metadata(place.join("again")).unwrap().ino(),
        inode(&store, &first, "same")
    );

    // Damaged: another size, other contents with a new time, other contents with the old time (which only repairs look for).
    let damage = |contents: &[u8], keep_time: bool| {
        let same = store.physical(&first).join("same");
        let hash_name = links(root).into_iter().find(|link| {
            std::fs::metadata(link).unwrap().ino() == std::fs::metadata(&same).unwrap().ino()
        });
        let link = hash_name.unwrap();
        std::fs::remove_file(&link).unwrap();
        std::fs::write(&link, contents).unwrap();
        std::fs::set_permissions(&link, std::fs::Permissions::from_mode(0o444)).unwrap();
        if keep_time {
            let file = std::fs::File::options().read(true).open(&link).unwrap();
            file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1))
                .unwrap();
        }
        link
    };
    for (seed, contents) in [("second", vec![b'x'; 3]), ("third", vec![b'x'; 5_000])] {
        let link = damage(&contents, false);
        let next = build(&store, seed, 5_000);
        assert_eq!(
            std::fs::read(store.physical(&next).join("same")).unwrap(),
            vec![b's'; 5_000]
        );
        assert_eq!(
            std::fs::metadata(&link).unwrap().ino(),
            inode(&store, &next, "same")
        );
        // Back to one inode for the next round.
        let place = store.physical(&first);
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::remove_file(place.join("same")).unwrap();
        std::fs::hard_link(&link, place.join("same")).unwrap();
        store.canonicalise(&place).unwrap();
    }
    let link = damage(&vec![b'x'; 5_000], true);
    let report = store.verify(true).unwrap();
    assert_eq!(report.findings.len(), 1, "{report:?}");
    assert!(
        report.findings[0]
            .to_string()
            .contains(link.to_str().unwrap())
    );
    assert_eq!(store.remove_damaged_links().unwrap(), [link]);
    assert!(store.verify(true).unwrap().is_sound());
    assert_sound(root);
}

/// A file can have only so many names (65,000 on ext4): the next ones share another.
#[test]
fn more_files_than_links() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let store = open(root);
    let first = build(&store, "first", 100);
    let entry = links(root)
        .into_iter()
        .find(|link| std::fs::metadata(link).unwrap().ino() == inode(&store, &first, "same"))
        .unwrap();
    let names = dir.path().join("names");
    std::fs::create_dir(&names).unwrap();
    let mut full = false;
    for number in 0..66_000 {
        if let Err(error) = std::fs::hard_link(&entry, names.join(number.to_string())) {
            assert_eq!(error.kind(), std::io::ErrorKind::TooManyLinks);
            full = true;
            break;
        }
    }
    let second = build(&store, "second", 100);
    let third = build(&store, "third", 100);
    let inodes = [&first, &second, &third].map(|path| inode(&store, path, "same"));
    assert_eq!(inodes[1], inodes[2]);
    assert_eq!(inodes[0] != inodes[1], full);
    assert_eq!(std::fs::metadata(&entry).unwrap().ino(), inodes[1]);
    assert!(store.verify(true).unwrap().is_sound());
}

/// Optimisers, builders and collectors, ours and Nix's, at the same time.
#[test]
fn beside_others() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    drop(open(root));
    std::thread::scope(|scope| {
        for thread in 0..2 {
            scope.spawn(move || {
                let store = open(root);
                for number in 0..12 {
                    build(&store, &format!("{thread} {number}"), 3_000);
                }
            });
        }
        scope.spawn(|| {
            let store = open(root);
            for _ in 0..6 {
                store.optimise().unwrap();
                store.gc(&GcOptions::default()).unwrap();
            }
        });
        scope.spawn(|| {
            for _ in 0..2 {
                run(&mut nix(root, "nix-store", &["--optimise"]));
                run(&mut nix(root, "nix-store", &["--gc"]));
            }
        });
    });
    assert_sound(root);
    let store = open(root);
    store.gc(&GcOptions::default()).unwrap();
    assert!(links(root).is_empty());
}
