//! Several processes on one store, processes killed at any moment, a full disk. This program is also the child process; without
//! arguments it runs the tests in order.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{assert_sound, build, nix, open, run, some_path};
use xbuild_store::{GcOptions, NewText, Store, StoreOptions};
use xbuild_store_model::StorePath;
use xbuild_store_model::content_address::FileIngestionMethod;
use xbuild_store_model::hash::HashAlgo;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().map(String::as_str) == Some("child") {
        child(&args[1], Path::new(&args[2]), &args[3]);
        return;
    }
    if args.iter().any(|arg| arg == "--list") {
        return;
    }
    let tests: [(&str, fn()); 7] = [
        ("opened_and_closed_by_many", opened_and_closed_by_many),
        (
            "two_processes_build_the_same_paths",
            two_processes_build_the_same_paths,
        ),
        ("writers_beside_nix", writers_beside_nix),
        ("killed_at_any_moment", killed_at_any_moment),
        (
            "collecting_while_others_register",
            collecting_while_others_register,
        ),
        ("a_full_disk", a_full_disk),
        (
            "a_damaged_database_and_wrong_permissions",
            a_damaged_database_and_wrong_permissions,
        ),
    ];
    let filter = args
        .iter()
        .find(|arg| !arg.starts_with('-'))
        .cloned()
        .unwrap_or_default();
    for (name, test) in tests {
        if name.contains(&filter) {
            test();
            println!("test {name} ... ok");
        }
    }
}

/// Starts this program as a child that does `what` to the store at `root`.
fn start(what: &str, root: &Path, argument: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["child", what])
        .arg(root)
        .arg(argument)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn finish(mut child: Child) -> String {
    let mut text = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert!(child.wait().unwrap().success());
    text
}

/// The paths that children build: each refers to the one before it.
fn chain(seed: &str, number: usize) -> StorePath {
    some_path(&format!("{seed} {number}"))
}

fn child(what: &str, root: &Path, argument: &str) {
    match what {
        // Builds a chain of paths as far as they are not valid, and says which it has built.
        "build" => {
            let store = open(root);
            for number in 0..40 {
                build_one(&store, argument, number);
            }
        }
        // Opens, writes and closes: whoever closes last removes the log that the others open at that moment.
        "open" => {
            for number in 0..argument.parse().unwrap() {
                let text = format!("{} {number}", std::process::id());
                open(root)
                    .add_text("text", text.as_bytes(), &BTreeSet::new())
                    .unwrap();
            }
        }
        // The same as "build" without end, with texts and copies in between, until it is killed.
        "build-forever" => {
            let store = open(root);
            let source = tempfile::tempdir_in(root).unwrap();
            println!("started");
            for number in 0.. {
                build_one(&store, argument, number);
                std::fs::write(source.path().join(number.to_string()), vec![b'z'; 20_000]).unwrap();
                let method = FileIngestionMethod::NixArchive;
                store
                    .add_path("copy", source.path(), method, HashAlgo::Sha256, None, None)
                    .unwrap();
                let texts: Vec<NewText> = (0..5)
                    .map(|text| NewText {
                        name: format!("text-{argument}-{number}-{text}"),
                        contents: vec![b'x'; 100],
                        references: BTreeSet::new(),
                    })
                    .collect();
                store.add_texts(&texts).unwrap();
            }
        }
        "collect" => {
            let store = open(root);
            for _ in 0..argument.parse().unwrap() {
                let report = store.gc(&GcOptions::default()).unwrap();
                println!("{}", report.paths.len());
            }
        }
        _ => panic!("no such child: {what}"),
    }
}

fn build_one(store: &Store, seed: &str, number: usize) {
    let path = chain(seed, number);
    let before = number.checked_sub(1).map(|before| chain(seed, before));
    let before: Vec<&StorePath> = before.iter().collect();
    let locks = store.lock_paths(std::slice::from_ref(&path)).unwrap();
    if store.is_valid(&path).unwrap() {
        return;
    }
    drop(locks);
    build(store, &path, "contents", &before);
    println!("{path}");
}

fn opened_and_closed_by_many() {
    let dir = tempfile::tempdir().unwrap();
    let children: Vec<Child> = (0..4).map(|_| start("open", dir.path(), "60")).collect();
    for child in children {
        finish(child);
    }
    assert_eq!(open(dir.path()).all_valid().unwrap().len(), 240);
}

fn two_processes_build_the_same_paths() {
    let dir = tempfile::tempdir().unwrap();
    // The store itself is made by whoever comes first.
    let children: Vec<Child> = (0..4)
        .map(|number| {
            start(
                "build",
                dir.path(),
                if number < 3 { "same" } else { "other" },
            )
        })
        .collect();
    for child in children {
        finish(child);
    }
    assert_eq!(open(dir.path()).all_valid().unwrap().len(), 80);
    assert_sound(dir.path());
    assert_nothing_left(dir.path());
}

/// Nothing is in the store but valid paths.
fn assert_nothing_left(root: &Path) {
    let store = open(root);
    let report = store
        .gc(&GcOptions {
            dry_run: true,
            ..GcOptions::default()
        })
        .unwrap();
    assert_eq!(report.leftovers, Vec::<PathBuf>::new());
}

fn writers_beside_nix() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let sources = tempfile::tempdir().unwrap();
    let ours: Vec<Child> = (0..2)
        .map(|number| start("build", root, &number.to_string()))
        .collect();
    // One stock Nix that makes a store lets others, for a moment, see an empty file with the schema version, which they call
    // corrupt. So the store is made by ours, and they come when it is there.
    while !root.join("nix/var/nix/db/schema").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let theirs: Vec<Child> = (0..12)
        .map(|number| {
            let file = sources.path().join(format!("file-{number}"));
            std::fs::write(&file, vec![b'f'; 1000 * number]).unwrap();
            nix(root, "nix-store", &["--add", file.to_str().unwrap()])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in ours.into_iter().chain(theirs) {
        finish(child);
    }
    assert_eq!(open(root).all_valid().unwrap().len(), 92);
    assert_sound(root);
}

fn killed_at_any_moment() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    drop(open(root));
    let mut seen = 0;
    for round in 0..30_u64 {
        let mut child = start("build-forever", root, "killed");
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut String::new()).unwrap();
        // Different places: after some paths, and somewhere within the next.
        for _ in 0..round % 6 {
            output.read_line(&mut String::new()).unwrap();
        }
        std::thread::sleep(Duration::from_micros(377 * round * round % 7_000));
        child.kill().unwrap();
        child.wait().unwrap();

        let store = open(root);
        let report = store.verify(true).unwrap();
        assert!(report.is_sound(), "round {round}: {:?}", report.findings);
        let valid = store.all_valid().unwrap();
        for path in &valid {
            assert!(store.closure(std::slice::from_ref(path)).is_ok());
        }
        // What was said to be registered is.
        for line in output
            .lines()
            .map_while(Result::ok)
            .filter(|line| line.starts_with("/nix/store"))
        {
            assert!(
                valid.contains(&StorePath::parse(&line).unwrap()),
                "round {round}: {line}"
            );
        }
        seen = seen.max(valid.len());
        drop(store);
        if round % 4 == 3 {
            // A collector dies as well.
            let mut collector = start("collect", root, "1");
            std::thread::sleep(Duration::from_micros(2_000 + 977 * round % 20_000));
            collector.kill().unwrap();
            collector.wait().unwrap();
            let report = open(root).verify(true).unwrap();
            assert!(report.is_sound(), "round {round}: {:?}", report.findings);
        }
        let store = open(root);
        if round % 10 == 9 {
            assert_sound(root);
            let kept = store.add_text("kept", b"", &BTreeSet::new()).unwrap();
            store.gc(&GcOptions::default()).unwrap();
            assert_eq!(store.all_valid().unwrap(), BTreeSet::from([kept]));
            let names: Vec<String> = std::fs::read_dir(root.join("nix/store"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| {
                    name != ".links" && !name.ends_with("-kept") && !name.starts_with("tmp-xbuild")
                })
                .collect();
            assert_eq!(names, Vec::<String>::new());
            assert_sound(root);
        }
    }
    assert!(seen > 10, "the children got nowhere");
}

fn collecting_while_others_register() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    drop(open(root));
    // A path that a living process has registered is never collected, so each child finds the one before.
    let builders: Vec<Child> = (0..3)
        .map(|number| start("build", root, &format!("gc {number}")))
        .collect();
    let collectors: Vec<Child> = (0..2).map(|_| start("collect", root, "15")).collect();
    let nix_collector = std::thread::spawn({
        let root = root.to_owned();
        move || run(&mut nix(&root, "nix-store", &["--gc"]))
    });
    for child in builders {
        assert_eq!(finish(child).lines().count(), 40);
    }
    for child in collectors {
        finish(child);
    }
    nix_collector.join().unwrap();
    assert_sound(root);
    run(&mut nix(root, "nix-store", &["--gc"]));
    let store = open(root);
    assert!(store.all_valid().unwrap().is_empty());
    assert_nothing_left(root);
}

/// Mounts a small file system of our own, in a namespace of our own.
fn a_full_disk() {
    if std::env::var_os("XBUILD_TEST_SMALL_DISK").is_none() {
        let dir = tempfile::tempdir().unwrap();
        let script = "mount -t tmpfs -o size=16m none \"$1\" && exec \"$2\" a_full_disk";
        let status = Command::new("unshare")
            .args([
                "--user",
                "--map-root-user",
                "--mount",
                "sh",
                "-c",
                script,
                "sh",
            ])
            .arg(dir.path())
            .arg(std::env::current_exe().unwrap())
            .env("XBUILD_TEST_SMALL_DISK", dir.path())
            .stdout(Stdio::null())
            .status()
            .expect("unshare(1) of util-linux");
        assert!(status.success());
        return;
    }
    let root = PathBuf::from(std::env::var_os("XBUILD_TEST_SMALL_DISK").unwrap());
    let sources = tempfile::tempdir().unwrap();
    let store = open(&root);
    let mut failures = 0;
    for number in 0..16_u8 {
        let file = sources.path().join(format!("file-{number}"));
        std::fs::write(&file, vec![number; 1 << 20]).unwrap();
        match store.add_path(
            "file",
            &file,
            FileIngestionMethod::NixArchive,
            HashAlgo::Sha256,
            None,
            None,
        ) {
            Ok(_) => assert_eq!(failures, 0),
            Err(error) => {
                failures += 1;
                let message = error.to_string();
                assert!(
                    message.contains("xbuild store gc") && message.contains(root.to_str().unwrap()),
                    "{message}"
                );
            }
        }
        assert!(store.verify(true).unwrap().is_sound());
    }
    assert!(failures > 0);
    // Truly full: not even a small thing fits, yet garbage can be collected.
    let filler = std::fs::File::create(root.join("filler")).unwrap();
    let mut filler = std::io::BufWriter::new(filler);
    while std::io::Write::write_all(&mut filler, &[1; 4096]).is_ok()
        && std::io::Write::flush(&mut filler).is_ok()
    {}
    drop(filler.into_parts());
    let error = store
        .add_text("text", &[b'x'; 8192], &BTreeSet::new())
        .unwrap_err()
        .to_string();
    assert!(error.contains("xbuild store gc"), "{error}");
    let count = store.all_valid().unwrap().len();
    assert!(count >= 4);
    drop(store);
    let store = open(&root);
    assert!(store.verify(true).unwrap().is_sound());
    let report = store.gc(&GcOptions::default()).unwrap();
    assert_eq!(report.paths.len(), count);
    assert!(report.bytes_freed >= (count as u64) << 20);
    store
        .add_text("text", &[b'x'; 8192], &BTreeSet::new())
        .unwrap();
    assert!(store.verify(true).unwrap().is_sound());
}

fn a_damaged_database_and_wrong_permissions() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let store = open(root);
    build(&store, &some_path("a"), "a", &[]);
    drop(store);
    let schema = root.join("nix/var/nix/db/schema");
    let fail = || {
        Store::open(root, StoreOptions::default())
            .unwrap_err()
            .to_string()
    };

    std::fs::write(&schema, "11").unwrap();
    assert!(
        fail().contains("has schema version 11, and this xbuild knows versions up to 10"),
        "{}",
        fail()
    );
    std::fs::write(&schema, "7").unwrap();
    assert!(
        fail().contains("older than the oldest that xbuild reads (10)"),
        "{}",
        fail()
    );
    std::fs::write(&schema, "ten").unwrap();
    assert!(
        fail().contains("does not hold a schema version but 'ten'"),
        "{}",
        fail()
    );
    std::fs::write(&schema, "10").unwrap();

    let database = root.join("nix/var/nix/db/db.sqlite");
    let sound = std::fs::read(&database).unwrap();
    std::fs::write(&database, vec![b'?'; sound.len()]).unwrap();
    let message = fail();
    assert!(
        message.contains(database.to_str().unwrap()) && message.contains("the file is damaged"),
        "{message}"
    );
    // A row that is no store path is a finding, and in the way of nothing else.
    std::fs::write(&database, &sound).unwrap();
    let connection = rusqlite::Connection::open(&database).unwrap();
    connection
        .execute("insert into ValidPaths (path, hash, registrationTime) values ('/nix/store/x', 'sha256:00', 1)", [])
        .unwrap();
    drop(connection);
    let report = open(root).verify(true).unwrap();
    assert_eq!(report.findings.len(), 1, "{report:?}");
    assert!(
        report.findings[0]
            .to_string()
            .contains("'/nix/store/x' stands where a store path must be")
    );
    std::fs::write(&database, &sound).unwrap();
    // Nor is a table that is missing overlooked.
    for table in ["Refs", "ValidPaths"] {
        let connection = rusqlite::Connection::open(&database).unwrap();
        connection
            .execute_batch(&format!("pragma foreign_keys = off; drop table {table};"))
            .unwrap();
        drop(connection);
        let report = open(root).verify(true).unwrap();
        let missing = format!("the table {table} is missing");
        assert!(
            report
                .findings
                .iter()
                .any(|finding| finding.to_string().contains(&missing)),
            "{report:?}"
        );
        std::fs::write(&database, &sound).unwrap();
    }

    // Not root, who may do everything.
    if rustix::process::geteuid().is_root() {
        let status = Command::new("setpriv")
            .args(["--reuid", "12345", "--regid", "12345", "--clear-groups"])
            .arg("sh")
            .args(["-c", "test ! -w \"$1\"", "sh"])
            .arg(&database)
            .status()
            .expect("setpriv(1) of util-linux");
        assert!(status.success());
    }
    let file = root.join("file");
    std::fs::write(&file, "").unwrap();
    let message = Store::open(&file.join("store"), StoreOptions::default())
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with(&format!("cannot create directory '{}", file.display())),
        "{message}"
    );
}
