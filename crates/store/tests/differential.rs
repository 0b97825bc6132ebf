//! The same store through xbuild and stock Nix.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use common::{assert_sound, build, nix, open, paths, run, some_path};
use rusqlite::Connection;
use xbuild_store::{GcOptions, StoreOptions};
use xbuild_store_model::StorePath;
use xbuild_store_model::content_address::FileIngestionMethod;
use xbuild_store_model::hash::{Hash, HashAlgo};

fn schema(root: &Path) -> Vec<(String, String, Option<String>)> {
    let connection = Connection::open(root.join("nix/var/nix/db/db.sqlite")).unwrap();
    let mut statement = connection
        .prepare("select type, name, sql from sqlite_master order by name")
        .unwrap();
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn tree(root: &Path) -> BTreeSet<(String, u32)> {
    fn visit(dir: &Path, top: &Path, found: &mut BTreeSet<(String, u32)>) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let name = entry
                .path()
                .strip_prefix(top)
                .unwrap()
                .display()
                .to_string();
            // SQLite's own; it depends on a compile-time choice whether they stay.
            if !name.ends_with("-wal") && !name.ends_with("-shm") {
                found.insert((name, entry.metadata().unwrap().permissions().mode()));
            }
            if entry.file_type().unwrap().is_dir() {
                visit(&entry.path(), top, found);
            }
        }
    }
    let mut found = BTreeSet::new();
    visit(&root.join("nix"), root, &mut found);
    found
}

#[test]
fn a_new_store_is_as_nix_makes_it() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop(open(ours.path()));
    run(&mut nix(theirs.path(), "nix-store", &["--verify"]));
    assert_eq!(schema(ours.path()), schema(theirs.path()));
    let version = |root: &Path| fs::read(root.join("nix/var/nix/db/schema")).unwrap();
    assert_eq!(version(ours.path()), version(theirs.path()));
    // `--verify` takes the collector's lock.
    let mut expected = tree(theirs.path());
    expected.retain(|(name, _)| name != "nix/var/nix/gc.lock");
    assert_eq!(tree(ours.path()), expected);
    assert_sound(ours.path());
}

#[test]
fn what_we_add_is_what_nix_adds() {
    let (ours, theirs, sources) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let source = sources.path().join("source");
    fs::create_dir_all(source.join("dir/empty")).unwrap();
    fs::write(source.join("dir/file"), "12345678").unwrap();
    fs::write(source.join("Zfile"), "x").unwrap();
    fs::write(source.join("a.sh"), vec![b'y'; 300_000]).unwrap();
    fs::set_permissions(source.join("a.sh"), fs::Permissions::from_mode(0o700)).unwrap();
    symlink("../nowhere", source.join("dir/link")).unwrap();
    fs::write(source.join("empty"), "").unwrap();

    let store = open(ours.path());
    let (recursive, flat) = (FileIngestionMethod::NixArchive, FileIngestionMethod::Flat);
    let added = store
        .add_path("source", &source, recursive, HashAlgo::Sha256, None, None)
        .unwrap();
    let text = source.to_str().unwrap();
    assert_eq!(
        added.to_string(),
        run(&mut nix(theirs.path(), "nix-store", &["--add", text]))
    );
    // Again: nothing happens.
    let time = fs::symlink_metadata(store.physical(&added))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(
        store
            .add_path("source", &source, recursive, HashAlgo::Sha256, None, None)
            .unwrap(),
        added
    );
    assert_eq!(
        fs::symlink_metadata(store.physical(&added))
            .unwrap()
            .modified()
            .unwrap(),
        time
    );

    for (algo, name) in [
        (HashAlgo::Md5, "md5"),
        (HashAlgo::Sha1, "sha1"),
        (HashAlgo::Sha256, "sha256"),
        (HashAlgo::Sha512, "sha512"),
    ] {
        let file = source.join("a.sh");
        let added = store
            .add_path("a.sh", &file, flat, algo, None, None)
            .unwrap();
        let text = file.to_str().unwrap();
        assert_eq!(
            added.to_string(),
            run(&mut nix(
                theirs.path(),
                "nix-store",
                &["--add-fixed", name, text]
            ))
        );
        let added = store
            .add_path("source", &source, recursive, algo, None, None)
            .unwrap();
        let text = source.to_str().unwrap();
        let args = ["--add-fixed", "--recursive", name, text];
        assert_eq!(
            added.to_string(),
            run(&mut nix(theirs.path(), "nix-store", &args))
        );
    }

    // All rows are the same but for the time.
    let dump = |root: &Path| {
        let connection = Connection::open(root.join("nix/var/nix/db/db.sqlite")).unwrap();
        let sql = "select path || ' ' || hash || ' ' || quote(deriver) || narSize || quote(ultimate) || quote(sigs) || ca \
                   from ValidPaths order by path";
        let mut statement = connection.prepare(sql).unwrap();
        statement
            .query_map([], |row| row.get::<_, String>(0))
            .unwrap()
            .collect::<Result<Vec<_>, _>>()
            .unwrap()
    };
    drop(store);
    assert_eq!(dump(ours.path()), dump(theirs.path()));
    assert_sound(ours.path());
}

#[test]
fn texts_and_derivations() {
    let dir = tempfile::tempdir().unwrap();
    let expression = "let a = builtins.toFile \"a\" \"text\"; d = derivation { name = \"d\"; system = \"x86_64-linux\"; \
         builder = \"/bin/sh\"; args = [ a ]; outputs = [ \"out\" \"dev\" ]; }; in derivation { name = \"e\"; \
         system = \"x86_64-linux\"; builder = d.dev; }";
    let theirs = dir.path().join("theirs");
    let drv = run(&mut nix(&theirs, "nix-instantiate", &["-E", expression]));
    let drv = StorePath::parse(&drv).unwrap();
    let nix_store = open(&theirs);
    let closure = nix_store.closure(std::slice::from_ref(&drv)).unwrap();
    assert_eq!(closure.len(), 3);
    assert_eq!(closure.last(), Some(&drv));

    let ours = dir.path().join("ours");
    let store = open(&ours);
    let mut texts = Vec::new();
    for path in &closure {
        let contents = fs::read(nix_store.physical(path)).unwrap();
        let references = nix_store.references(path).unwrap();
        texts.push(xbuild_store::NewText {
            name: path.name().to_owned(),
            contents,
            references,
        });
    }
    assert_eq!(store.add_texts(&texts).unwrap(), closure);
    for path in &closure {
        let mut expected = nix_store.query_path_info(path).unwrap().unwrap();
        let found = store.query_path_info(path).unwrap().unwrap();
        expected.registration_time = found.registration_time;
        assert_eq!(found, expected);
        assert_eq!(
            store.deriver_outputs(path).unwrap(),
            nix_store.deriver_outputs(path).unwrap()
        );
        for output in store.deriver_outputs(path).unwrap().values() {
            assert_eq!(
                store.derivers(output).unwrap(),
                nix_store.derivers(output).unwrap()
            );
        }
    }
    assert_eq!(store.deriver_outputs(&closure[1]).unwrap().len(), 2);
    assert_sound(&ours);

    // A missing reference is named, and nothing is registered.
    let other = open(&dir.path().join("other"));
    let message = other.add_texts(&texts[1..2]).unwrap_err().to_string();
    assert!(
        message.contains("refers to '/nix/store/") && message.contains("-a'"),
        "{message}"
    );
    assert!(other.all_valid().unwrap().is_empty());
    assert_sound(&dir.path().join("other"));
}

/// a ← b ← c, b ← d (with a reference to itself), e alone.
fn graph(store: &xbuild_store::Store) -> Vec<StorePath> {
    let p: Vec<StorePath> = ["a", "b", "c", "d", "e"]
        .iter()
        .map(|name| some_path(name))
        .collect();
    build(store, &p[0], "a", &[]);
    build(store, &p[1], "b", &[&p[0]]);
    build(store, &p[2], "c", &[&p[1], &p[0]]);
    build(store, &p[3], "d", &[&p[1], &p[3]]);
    build(store, &p[4], "e", &[]);
    p
}

#[test]
fn queries_agree() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let store = open(root);
    let all = graph(&store);
    assert_sound(root);
    for path in &all {
        let text = path.to_string();
        let query = |args: &[&str]| {
            paths(&run(&mut nix(
                root,
                "nix-store",
                &[&["-q"], args, &[&text]].concat(),
            )))
        };
        assert_eq!(store.references(path).unwrap(), query(&["--references"]));
        assert_eq!(store.referrers(path).unwrap(), query(&["--referrers"]));
        let closure = store.closure(std::slice::from_ref(path)).unwrap();
        for (index, member) in closure.iter().enumerate() {
            for reference in store.references(member).unwrap() {
                assert!(closure[..=index].contains(&reference), "references first");
            }
        }
        assert_eq!(closure.into_iter().collect::<BTreeSet<_>>(), query(&["-R"]));
        let info = store.query_path_info(path).unwrap().unwrap();
        let json = run(&mut nix(
            root,
            "nix",
            &["path-info", "--json", "--json-format", "1", &text],
        ));
        assert!(json.contains(&info.nar_hash.to_sri()), "{json}");
        assert!(
            json.contains(&format!("\"narSize\":{}", info.nar_size)),
            "{json}"
        );
        assert!(
            json.contains(&format!("\"registrationTime\":{}", info.registration_time)),
            "{json}"
        );
        assert!(json.contains("\"ultimate\":true"), "{json}");
        assert_eq!(
            store
                .path_from_hash_part(path.hash_part())
                .unwrap()
                .as_ref(),
            Some(path)
        );
    }
    assert!(store.closure(&[some_path("unknown")]).is_err());
}

#[test]
fn both_find_the_same_garbage() {
    let dir = tempfile::tempdir().unwrap();
    let root = &dir.path().join("root");
    let store = open(root);
    let all = graph(&store);
    drop(store); // and its temporary roots
    let store = open(root);
    let link = dir.path().join("result");
    store.make_out_link(&link, &all[2]).unwrap();
    assert!(link.join("bin/program").exists());
    // Not ours: a root that Nix makes.
    let their_link = dir.path().join("their-result");
    let (text, path) = (their_link.to_str().unwrap(), all[4].to_string());
    run(&mut nix(
        root,
        "nix-store",
        &["--realise", "--add-root", text, &path],
    ));
    drop(store);
    let store = open(root);

    let dead = |store: &xbuild_store::Store| -> BTreeSet<StorePath> {
        let options = GcOptions {
            dry_run: true,
            ..GcOptions::default()
        };
        store.gc(&options).unwrap().paths.into_iter().collect()
    };
    let print_dead = || paths(&run(&mut nix(root, "nix-store", &["--gc", "--print-dead"])));
    assert_eq!(dead(&store), BTreeSet::from([all[3].clone()]));
    assert_eq!(print_dead(), dead(&store));
    let roots = run(&mut nix(
        root,
        "nix-store",
        &["-q", "--roots", &all[0].to_string()],
    ));
    assert!(roots.contains("gcroots/xbuild/"), "{roots}");

    // The link of the user is gone: so is the root, for us; Nix's collector is told by ours, which removes it.
    fs::remove_file(&link).unwrap();
    assert_eq!(dead(&store), all[..4].iter().cloned().collect());
    let report = store
        .gc(&GcOptions {
            max_freed: Some(1),
            ..GcOptions::default()
        })
        .unwrap();
    assert!(report.limit_reached);
    assert!(!report.paths.is_empty() && report.bytes_freed > 1);
    assert_sound(root);
    store.gc(&GcOptions::default()).unwrap();
    assert_eq!(store.all_valid().unwrap(), BTreeSet::from([all[4].clone()]));
    assert_eq!(print_dead(), BTreeSet::new());
    assert_sound(root);
    let names: Vec<_> = fs::read_dir(root.join("nix/store"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    fs::remove_file(&their_link).unwrap();
    run(&mut nix(root, "nix-store", &["--gc"]));
    assert!(store.all_valid().unwrap().is_empty());
}

#[test]
fn temporary_roots_and_locks_hold_off_nix() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let store = open(root);
    let all = graph(&store);
    let locks = store.lock_paths(&[some_path("to be built")]).unwrap();
    let work = store.work_dir().unwrap();
    let add = store
        .add_text("text", b"contents", &BTreeSet::new())
        .unwrap();
    // All are temporary roots of this process.
    run(&mut nix(root, "nix-store", &["--gc"]));
    assert_eq!(store.all_valid().unwrap().len(), all.len() + 1);
    assert!(store.physical(&add).exists() && work.path().exists());
    assert!(
        root.join(format!(
            "nix/store/{}.lock",
            some_path("to be built").base_name()
        ))
        .exists()
    );
    let output = nix(root, "nix-store", &["--delete", &all[4].to_string()])
        .output()
        .unwrap();
    assert!(!output.status.success());
    drop(locks);
    drop(store);
    assert!(
        fs::read_dir(root.join("nix/var/nix/temproots"))
            .unwrap()
            .next()
            .is_none()
    );
    run(&mut nix(root, "nix-store", &["--gc"]));
    assert!(open(root).all_valid().unwrap().is_empty());
}

#[test]
fn derivers_and_outputs_keep_each_other_as_in_nix() {
    let dir = tempfile::tempdir().unwrap();
    let root = &dir.path().join("root");
    let expression = "derivation { name = \"d\"; system = \"x86_64-linux\"; builder = \"/bin/sh\"; args = [ \"-c\" \"echo > $out\" ]; }";
    let drv = run(&mut nix(root, "nix-instantiate", &["-E", expression]));
    let drv = StorePath::parse(&drv).unwrap();
    let store = open(root);
    let out = store.deriver_outputs(&drv).unwrap()["out"].clone();
    let tree = store.work_dir().unwrap();
    let file = tree.path().join("x");
    fs::write(&file, "\n").unwrap();
    store.canonicalise(&file).unwrap();
    let scanned = store.scan_and_hash(&file, []).unwrap();
    let new = xbuild_store::NewPath {
        path: out.clone(),
        physical: file,
        nar_hash: scanned.nar_hash,
        nar_size: scanned.nar_size,
        references: BTreeSet::new(),
        deriver: Some(drv.clone()),
        ca: None,
        ultimate: true,
        sigs: vec![],
    };
    store.register(&[new]).unwrap();
    drop((tree, store));
    let store = open(root);
    assert_eq!(
        run(&mut nix(
            root,
            "nix-store",
            &["-q", "--deriver", &out.to_string()]
        )),
        drv.to_string()
    );
    let link = dir.path().join("root-link");
    for (kept, other) in [(&out, &drv), (&drv, &out)] {
        store.make_out_link(&link, kept).unwrap();
        for (derivations, outputs) in [(false, false), (true, false), (false, true), (true, true)] {
            let options = GcOptions {
                dry_run: true,
                keep_outputs: outputs,
                keep_derivations: derivations,
                ..GcOptions::default()
            };
            drop(open(root));
            // The link made a temporary root in `store`, so ask another.
            let ours: BTreeSet<StorePath> = {
                let result = std::thread::scope(|scope| {
                    scope
                        .spawn(|| open(root).gc(&options).unwrap())
                        .join()
                        .unwrap()
                });
                result.paths.into_iter().collect()
            };
            let (d, o) = (derivations.to_string(), outputs.to_string());
            let args = [
                "--gc",
                "--print-dead",
                "--option",
                "keep-derivations",
                &d,
                "--option",
                "keep-outputs",
                &o,
            ];
            assert_eq!(
                ours,
                paths(&run(&mut nix(root, "nix-store", &args))),
                "{kept} {other} {args:?}"
            );
        }
    }
}

#[test]
fn deleting_paths_names_what_keeps_them() {
    let dir = tempfile::tempdir().unwrap();
    let root = &dir.path().join("root");
    let store = open(root);
    let all = graph(&store);
    drop(store);
    let store = open(root);
    let link = dir.path().join("result");
    store.make_out_link(&link, &all[2]).unwrap();
    drop(store);
    let store = open(root);
    let message = store
        .delete(&[all[0].clone(), all[1].clone(), all[3].clone()])
        .unwrap_err()
        .to_string();
    assert!(
        message.contains(&format!("'{}'", link.display())) && message.contains("needs it"),
        "{message}"
    );
    let message = store.delete(&all[2..3]).unwrap_err().to_string();
    assert!(
        message.contains(&format!("'{}'", link.display())) && !message.contains("needs it"),
        "{message}"
    );
    assert!(store.delete(&[some_path("unknown")]).is_err());
    assert_eq!(store.all_valid().unwrap().len(), 5);
    let report = store.delete(&all[3..]).unwrap();
    assert_eq!(report.paths.len(), 2);
    assert!(!store.physical(&all[3]).exists());
    fs::remove_file(&link).unwrap();
    let message = store.delete(&all[1..2]).unwrap_err().to_string();
    assert_eq!(
        message,
        format!(
            "cannot delete '{}': '{}' refers to it; delete that one too",
            all[1], all[2]
        )
    );
    assert_sound(root);
}

#[test]
fn verification_agrees() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let store = open(root);
    let all = graph(&store);
    let report = store.verify(true).unwrap();
    assert!(
        report.is_sound() && report.paths == 5 && report.bytes > 0,
        "{report:?}"
    );

    let file = store.physical(&all[0]).join("bin/program");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, "changed").unwrap();
    xbuild_store::remove_tree(&store.physical(&all[1])).unwrap();
    assert_eq!(store.verify(false).unwrap().findings.len(), 1);
    let findings: Vec<String> = store
        .verify(true)
        .unwrap()
        .findings
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(findings.len(), 2);
    assert!(
        findings
            .iter()
            .any(|f| f.contains(&format!("path '{}' was modified", all[0]))),
        "{findings:?}"
    );
    assert!(
        findings
            .iter()
            .any(|f| f.contains(&format!("path '{}' is registered", all[1]))),
        "{findings:?}"
    );
    let output = nix(root, "nix-store", &["--verify", "--check-contents"])
        .output()
        .unwrap();
    let text = common::both(&output);
    assert!(
        text.contains("was modified") && text.contains("disappeared"),
        "{text}"
    );
}

#[test]
fn nix_builds_upon_our_paths() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let store = open(root);
    let a = store.add_text("a", b"contents", &BTreeSet::new()).unwrap();
    let export = fs::File::create(dir.path().join("export")).unwrap();
    let copied = run(nix(root, "nix-store", &["--export", &a.to_string()]).stdout(export));
    assert_eq!(copied, "");
    let other = dir.path().join("other");
    let imported = run(nix(&other, "nix-store", &["--import"])
        .stdin(fs::File::open(dir.path().join("export")).unwrap()));
    assert_eq!(imported, a.to_string());
    let (ours, theirs) = (
        store.query_path_info(&a).unwrap().unwrap(),
        open(&other).query_path_info(&a).unwrap().unwrap(),
    );
    assert_eq!(
        (ours.nar_hash, ours.nar_size),
        (theirs.nar_hash, theirs.nar_size)
    );
}

#[test]
fn downloads() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let bytes = vec![7_u8; 40 << 20]; // more than is kept in memory
    let hash = Hash::of(HashAlgo::Sha256, &bytes);
    let large = store.add_bytes_flat("large", &bytes[..], &hash).unwrap();
    let small = store
        .add_bytes_flat("small", &b"x"[..], &Hash::of(HashAlgo::Sha512, b"x"))
        .unwrap();
    assert_eq!(store.all_valid().unwrap(), BTreeSet::from([large, small]));
    let message = store
        .add_bytes_flat("wrong", &b"y"[..], &hash)
        .unwrap_err()
        .to_string();
    let found = Hash::of(HashAlgo::Sha256, b"y").to_sri();
    assert_eq!(
        message,
        format!(
            "hash mismatch for 'wrong':\n  specified: {}\n  got:       {found}",
            hash.to_sri()
        )
    );
    assert_eq!(store.all_valid().unwrap().len(), 2);
    assert_sound(dir.path());
}

#[test]
fn read_only_stores() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let options = StoreOptions {
        read_only: true,
        ..StoreOptions::default()
    };
    let message = xbuild_store::Store::open(&root.join("none"), options.clone())
        .unwrap_err()
        .to_string();
    assert!(message.starts_with("there is no store at '"), "{message}");
    assert!(!root.join("none").exists());
    let path = run(&mut nix(root, "nix-store", &["--add", "/etc/hostname"]));
    let store = xbuild_store::Store::open(root, options).unwrap();
    assert!(store.is_valid(&StorePath::parse(&path).unwrap()).unwrap());
    let message = store
        .add_text("a", b"", &BTreeSet::new())
        .unwrap_err()
        .to_string();
    assert!(message.contains("is opened read-only"), "{message}");
    assert!(store.verify(true).unwrap().is_sound());
}
