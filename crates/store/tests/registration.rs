//! What registering does with leftovers, rivals, cycles and missing references; locks and out-links.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{build, open, some_path};
use xbuild_store::{GcOptions, NewPath, Notify, Store, StoreOptions};
use xbuild_store_model::StorePath;

fn new_path(
    store: &Store,
    path: &StorePath,
    physical: PathBuf,
    contents: &str,
    references: &[&StorePath],
) -> NewPath {
    fs::write(&physical, contents).unwrap();
    store.canonicalise(&physical).unwrap();
    let scanned = store.scan_and_hash(&physical, []).unwrap();
    NewPath {
        path: path.clone(),
        physical,
        nar_hash: scanned.nar_hash,
        nar_size: scanned.nar_size,
        references: references.iter().copied().cloned().collect(),
        deriver: None,
        ca: None,
        ultimate: false,
        sigs: vec!["key:c2ln".to_owned(), "other:c2ln".to_owned()],
    }
}

#[test]
fn leftovers_are_replaced_and_valid_paths_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let path = some_path("a");
    // What a process that died has left: a read-only tree at the place.
    let place = store.physical(&path);
    fs::create_dir_all(place.join("half")).unwrap();
    store.canonicalise(&place).unwrap();
    let work = store.work_dir().unwrap();
    let new = new_path(&store, &path, work.path().join("1"), "contents", &[]);
    store.register(std::slice::from_ref(&new)).unwrap();
    assert_eq!(fs::read_to_string(&place).unwrap(), "contents");

    // Somebody was faster, with other bytes: theirs stay.
    let rival = new_path(&store, &path, work.path().join("2"), "other contents", &[]);
    store.register(std::slice::from_ref(&rival)).unwrap();
    assert_eq!(fs::read_to_string(&place).unwrap(), "contents");
    assert!(!work.path().join("2").exists());
    let info = store.query_path_info(&path).unwrap().unwrap();
    assert_eq!(info.nar_hash, new.nar_hash);
    assert_eq!(info.sigs, new.sigs);
    assert!(store.verify(true).unwrap().is_sound());
}

#[test]
fn all_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let work = store.work_dir().unwrap();
    let (a, b, missing) = (some_path("a"), some_path("b"), some_path("missing"));
    let paths = [
        new_path(&store, &a, work.path().join("a"), "a", &[]),
        new_path(&store, &b, work.path().join("b"), "b", &[&a, &missing]),
    ];
    let message = store.register(&paths).unwrap_err().to_string();
    assert_eq!(
        message,
        format!(
            "cannot register '{b}': it refers to '{missing}', which is not valid in this store"
        )
    );
    assert!(store.all_valid().unwrap().is_empty());

    let paths = [
        new_path(&store, &a, work.path().join("a"), "a", &[&b]),
        new_path(&store, &b, work.path().join("b"), "b", &[&b, &a]),
    ];
    let message = store.register(&paths).unwrap_err().to_string();
    assert_eq!(
        message,
        format!("cannot register '{a}': cycle in the references '{a}' → '{b}' → '{a}'")
    );
    assert!(store.all_valid().unwrap().is_empty());
    // A path and one that refers to it, in either order, and to themselves.
    let paths = [
        new_path(&store, &b, work.path().join("b2"), "b", &[&a, &b]),
        new_path(&store, &a, work.path().join("a2"), "a", &[&a]),
    ];
    store.register(&paths).unwrap();
    assert_eq!(store.references(&b).unwrap(), BTreeSet::from([a, b]));
    common::assert_sound(dir.path());
}

#[test]
fn a_derivation_that_cannot_be_read_is_not_registered() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let message = store
        .add_text("x.drv", b"Derive(", &BTreeSet::new())
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with("derivation '/nix/store/") && message.contains("-x.drv': "),
        "{message}"
    );
    assert!(store.all_valid().unwrap().is_empty());
}

#[test]
fn locks_exclude_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (open(dir.path()), open(dir.path()));
    let (a, b) = (some_path("a"), some_path("b"));
    let locks = one.lock_paths(&[b.clone(), a.clone(), b.clone()]).unwrap();
    assert_eq!(locks.paths().count(), 2);
    assert!(other.try_lock(std::slice::from_ref(&a)).unwrap().is_none());
    // A waiter gets the lock when it is released, though the file it waits on is removed then.
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| drop(other.lock_paths(std::slice::from_ref(&a)).unwrap()));
        std::thread::sleep(std::time::Duration::from_millis(30));
        drop(locks);
        waiter.join().unwrap();
    });
    drop(other.try_lock(&[a.clone(), b]).unwrap().unwrap());
    // What one store has released and another has taken again is the other's to remove.
    let again = other.try_lock(std::slice::from_ref(&a)).unwrap().unwrap();
    drop(one);
    assert!(fs::exists(dir.path().join(format!("nix/store/{}.lock", a.base_name()))).unwrap());
    drop(again);
    drop(other);
    let names: Vec<_> = fs::read_dir(dir.path().join("nix/store"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names, [".links"]);
}

#[test]
fn out_links() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let store = open(&root);
    let (a, b) = (some_path("a"), some_path("b"));
    build(&store, &a, "a", &[]);
    build(&store, &b, "b", &[]);
    let link = dir.path().join("result");
    assert!(store.make_out_link(&link, &some_path("missing")).is_err());
    store.make_out_link(&link, &a).unwrap();
    store.make_out_link(&link, &b).unwrap();
    store.make_out_link(&link, &b).unwrap();
    assert_eq!(fs::read_link(&link).unwrap(), store.physical(&b));
    let roots: Vec<_> = store
        .roots()
        .unwrap()
        .into_iter()
        .filter(|root| !root.root.starts_with("{temp"))
        .collect();
    assert_eq!(
        roots.iter().map(|root| &root.path).collect::<BTreeSet<_>>(),
        BTreeSet::from([&b])
    );
    assert!(
        roots
            .iter()
            .any(|root| root.root == link.display().to_string())
    );

    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let message = store.make_out_link(&file, &a).unwrap_err().to_string();
    assert!(
        message.starts_with(&format!(
            "'{}' exists and is not a symlink to a store",
            file.display()
        )),
        "{message}"
    );
}

#[test]
fn a_symlinked_store_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("elsewhere")).unwrap();
    fs::create_dir_all(dir.path().join("root/nix")).unwrap();
    std::os::unix::fs::symlink("../../elsewhere", dir.path().join("root/nix/store")).unwrap();
    let message = Store::open(&dir.path().join("root"), StoreOptions::default())
        .unwrap_err()
        .to_string();
    assert!(message.contains("nix/store' is a symlink"), "{message}");
}

/// A collector beside them takes no link away that is being made, and leaves none that a killed process has left.
#[test]
fn out_links_beside_a_collector() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let [a, b] = ["a", "b"].map(some_path);
    let keep: Vec<PathBuf> = [&a, &b]
        .into_iter()
        .map(|path| {
            build(&store, path, "x", &[]);
            let keep = dir.path().join(format!("keep-{}", path.hash_part()));
            store.make_out_link(&keep, path).unwrap();
            keep
        })
        .collect();
    let made = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let collector = open(dir.path());
            while !made.load(Ordering::Relaxed) {
                collector.gc(&GcOptions::default()).unwrap();
            }
        });
        let links = (0..300).try_for_each(|number| {
            let link = dir.path().join(format!("result-{}", number % 100));
            store.make_out_link(&link, if number < 100 { &a } else { &b })
        });
        made.store(true, Ordering::Relaxed);
        links.unwrap();
    });

    let companions = dir.path().join("nix/var/nix/gcroots/xbuild");
    let names = || fs::read_dir(&companions).unwrap().count();
    assert_eq!(names(), 102);
    for entry in fs::read_dir(&companions).unwrap().map(Result::unwrap) {
        let left = format!(".{}.xbuild-1-0", entry.file_name().display());
        std::os::unix::fs::symlink(b.to_string(), companions.join(left)).unwrap();
    }
    for link in (0..100).map(|number| dir.path().join(format!("result-{number}"))) {
        fs::remove_file(link).unwrap();
    }
    for link in keep {
        fs::remove_file(link).unwrap();
    }
    store.gc(&GcOptions::default()).unwrap();
    assert_eq!(names(), 0);
}

/// In a store of several users, whoever may write to it could lead another to one of their own files.
#[test]
fn files_of_the_store_are_not_looked_for_through_symlinks() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("root"));
    let precious = dir.path().join("precious");
    fs::write(&precious, "x").unwrap();
    let (a, b) = (some_path("a"), some_path("b"));
    build(&store, &a, "a", &[]);
    let of_store = |name: &str| dir.path().join("root/nix").join(name);
    let lock = of_store(&format!("store/{}.lock", b.base_name()));
    for link in [&lock, &of_store("var/nix/temproots/1-0")] {
        std::os::unix::fs::symlink(&precious, link).unwrap();
    }
    let fifo = of_store("var/nix/temproots/2-0");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
    assert!(store.try_lock(std::slice::from_ref(&b)).is_err());
    store.roots().unwrap();
    store.gc(&GcOptions::default()).unwrap();
    assert_eq!(fs::read_to_string(&precious).unwrap(), "x");
    fs::remove_file(lock).unwrap();
    drop(store.try_lock(std::slice::from_ref(&b)).unwrap().unwrap());
}

/// Whoever makes an out-link anew while a collector removes what registered the old one finds it registered still. The collector says
/// what it removes just before it does.
#[test]
fn an_out_link_made_anew_stays_registered() {
    let dir = tempfile::tempdir().unwrap();
    let path = some_path("a");
    let store = open(dir.path());
    build(&store, &path, "x", &[]);
    let link = dir.path().join("result");
    store.make_out_link(&link, &path).unwrap();
    let target = fs::read_link(&link).unwrap();
    fs::remove_file(&link).unwrap();

    let again = link.clone();
    let notify = Notify(Arc::new(move |line: &str| {
        if line.starts_with("removing stale root") {
            // Like `make_out_link`, which does no more where the entry is there.
            let _ = std::os::unix::fs::symlink(&target, &again);
        }
    }));
    let options = StoreOptions {
        notify: Some(notify),
        ..StoreOptions::default()
    };
    let collector = Store::open(dir.path(), options).unwrap();
    for _ in 0..2 {
        collector.gc(&GcOptions::default()).unwrap();
        assert!(link.symlink_metadata().is_ok());
        let roots = store.roots().unwrap();
        let name = link.display().to_string();
        assert!(
            roots
                .iter()
                .any(|root| root.root == name && root.path == path),
            "{roots:?}"
        );
        assert!(store.is_valid(&path).unwrap());
    }
}
