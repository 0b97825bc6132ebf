//! Exports and imports, beside stock Nix in both directions, and streams that are damaged or made to do harm.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use common::{assert_sound, build, nix, open, paths, run, some_path};
use xbuild_store::{GcOptions, Store};
use xbuild_store_model::StorePath;

/// A store with a few paths that refer to each other, in more than one order that would do.
fn some_store(root: &Path) -> (Store, Vec<StorePath>) {
    let store = open(root);
    let all: Vec<StorePath> = (0..6)
        .map(|number| some_path(&number.to_string()))
        .collect();
    build(&store, &all[0], "none", &[]);
    build(&store, &all[1], "none", &[]);
    build(&store, &all[2], "two", &[&all[0], &all[1]]);
    build(&store, &all[3], "one", &[&all[1], &all[3]]);
    build(&store, &all[4], "all", &[&all[2], &all[3], &all[0]]);
    let text = store
        .add_text("text", b"content", &BTreeSet::from([all[4].clone()]))
        .unwrap();
    (store, [all, vec![text]].concat())
}

fn export(store: &Store, paths: &[StorePath]) -> Vec<u8> {
    let mut stream = Vec::new();
    store.export(paths, &mut stream).unwrap();
    stream
}

fn their_export(root: &Path, paths: &[StorePath]) -> Vec<u8> {
    let names: Vec<String> = paths.iter().map(ToString::to_string).collect();
    let args: Vec<&str> = ["--export"]
        .into_iter()
        .chain(names.iter().map(String::as_str))
        .collect();
    let output = nix(root, "nix-store", &args).output().unwrap();
    assert!(output.status.success());
    output.stdout
}

fn their_import(root: &Path, stream: &[u8]) -> String {
    let mut child = nix(root, "nix-store", &["--import"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stream).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// What both call registered, without times.
fn registered(root: &Path) -> String {
    run(&mut nix(root, "nix-store", &["--dump-db"]))
        .lines()
        .filter(|line| line.len() != 10 || !line.bytes().all(|byte| byte.is_ascii_digit()))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn as_nix_does_it() {
    let [ours, theirs, third] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let (store, all) = some_store(ours.path());
    let valid: Vec<StorePath> = store.all_valid().unwrap().into_iter().collect();
    for chosen in [&valid[..], &valid[2..5], &valid[..1], &[]] {
        assert_eq!(export(&store, chosen), their_export(ours.path(), chosen));
    }
    let mut backwards = valid.clone();
    backwards.reverse();
    let stream = export(&store, &backwards);
    assert_eq!(
        stream,
        export(&store, &valid),
        "in whatever order they are named"
    );

    let order = their_import(theirs.path(), &stream);
    let imported = open(third.path()).import(&*stream).unwrap();
    let lines: Vec<String> = imported.iter().map(ToString::to_string).collect();
    assert_eq!(lines, order.lines().collect::<Vec<_>>());
    assert_eq!(registered(theirs.path()), registered(third.path()));
    assert_eq!(paths(&order), valid.iter().cloned().collect());
    assert_sound(third.path());
    // Again, when all is there; and with the signature of an old Nix in place of the last numbers.
    assert_eq!(open(third.path()).import(&*stream).unwrap(), imported);
    let fourth = tempfile::tempdir().unwrap();
    let mut signed = export(&store, &all[..1]);
    signed.truncate(signed.len() - 16);
    signed.extend(1_u64.to_le_bytes());
    signed.extend(9_u64.to_le_bytes());
    signed.extend(b"signature\0\0\0\0\0\0\0");
    signed.extend(0_u64.to_le_bytes());
    assert_eq!(open(fourth.path()).import(&*signed).unwrap(), all[..1]);
    assert_eq!(
        their_import(theirs.path(), &signed).trim(),
        all[0].to_string()
    );
}

/// A derivation brings its outputs' names with it.
#[test]
fn derivations() {
    let [ours, theirs] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let file = ours.path().join("x.nix");
    std::fs::write(&file, r#"derivation { name = "x"; system = "x86_64-linux"; builder = "/bin/sh"; outputs = [ "out" "dev" ]; }"#).unwrap();
    let drv = run(&mut nix(
        ours.path(),
        "nix-instantiate",
        &[file.to_str().unwrap()],
    ));
    let drv = StorePath::parse(drv.split('!').next().unwrap()).unwrap();
    let store = open(theirs.path());
    store
        .import(&*their_export(ours.path(), std::slice::from_ref(&drv)))
        .unwrap();
    let outputs = store.deriver_outputs(&drv).unwrap();
    assert_eq!(outputs.keys().collect::<Vec<_>>(), ["dev", "out"]);
    // One that is none is refused, and is not there.
    let mut stream = their_export(ours.path(), std::slice::from_ref(&drv));
    let at = stream
        .windows(6)
        .position(|part| part == b"Derive")
        .unwrap();
    stream[at] = b'd';
    let empty = tempfile::tempdir().unwrap();
    let store = open(empty.path());
    let message = store.import(&*stream).unwrap_err().to_string();
    assert!(message.contains(&drv.to_string()), "{message}");
    assert!(!store.is_valid(&drv).unwrap());
}

fn assert_nothing_came(store: &Store) {
    assert_eq!(store.all_valid().unwrap(), BTreeSet::new());
    let dry = GcOptions {
        dry_run: true,
        ..GcOptions::default()
    };
    assert_eq!(store.gc(&dry).unwrap().leftovers, Vec::<PathBuf>::new());
}

#[test]
fn cut_short_and_damaged() {
    let ours = tempfile::tempdir().unwrap();
    let (store, all) = some_store(ours.path());
    let stream = export(&store, &all[..1]);
    let dir = tempfile::tempdir().unwrap();
    let target = open(dir.path());
    for length in 0..stream.len() - 8 {
        let message = target.import(&stream[..length]).unwrap_err().to_string();
        assert!(
            message.starts_with("cannot import: at byte "),
            "{length}: {message}"
        );
    }
    assert_nothing_came(&target);
    // Each byte changed: refused, or, where it is contents, taken as it is.
    let mut refused = 0;
    for at in (0..stream.len()).step_by(3) {
        let mut damaged = stream.clone();
        damaged[at] ^= 0x55;
        match target.import(&*damaged) {
            Ok(imported) => {
                assert!(target.verify_paths(&imported).unwrap().is_sound());
                let valid: Vec<_> = target.all_valid().unwrap().into_iter().collect();
                target.delete_ignoring_liveness(&valid).unwrap_err(); // ours as long as we run
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > stream.len() / 6, "{refused} of {}", stream.len());
    assert!(target.verify(true).unwrap().is_sound());
}

/// The stream that an attacker writes.
struct Forged(Vec<u8>);

impl Forged {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn number(mut self, number: u64) -> Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    fn string(mut self, text: &[u8]) -> Self {
        self = self.number(text.len() as u64);
        self.0.extend_from_slice(text);
        let padding = text.len().wrapping_neg() % 8;
        self.0.extend_from_slice(&[0; 8][..padding]);
        self
    }

    fn strings(self, texts: &[&str]) -> Self {
        texts
            .iter()
            .fold(self, |stream, text| stream.string(text.as_bytes()))
    }

    /// One path that is a directory with one file.
    fn path(self, path: &str, entry: &str, references: &[&str]) -> Self {
        let stream = self
            .number(1)
            .strings(&[
                "nix-archive-1",
                "(",
                "type",
                "directory",
                "entry",
                "(",
                "name",
                entry,
                "node",
            ])
            .strings(&["(", "type", "regular", "contents", "x", ")", ")", ")"])
            .number(0x4558_494e)
            .string(path.as_bytes())
            .number(references.len() as u64);
        stream.strings(references).string(b"").number(0)
    }
}

#[test]
fn made_to_do_harm() {
    let good = some_path("good").to_string();
    let other = some_path("other").to_string();
    let unknown = some_path("unknown").to_string();
    let long = format!("/nix/store/{}-{}", "0".repeat(32), "x".repeat(5000));
    let forged: Vec<(&str, Forged, &str)> = vec![
        (
            "no export",
            Forged(b"#!/bin/sh\necho".to_vec()),
            "not the output of",
        ),
        ("empty", Forged(Vec::new()), "cut short"),
        (
            "a way out",
            Forged::new().path("/nix/store/../../etc/passwd", "f", &[]),
            "the store path is '/nix/store/../../etc/passwd'",
        ),
        (
            "elsewhere",
            Forged::new().path("/etc/passwd", "f", &[]),
            "the store path is '/etc/passwd'",
        ),
        (
            "a file in a path",
            Forged::new().path(&format!("{good}/bin"), "f", &[]),
            "the store path is",
        ),
        (
            "the links",
            Forged::new().path("/nix/store/.links", "f", &[]),
            "the store path is",
        ),
        (
            "a long name",
            Forged::new().path(&long, "f", &[]),
            "cannot have",
        ),
        (
            "a name with a slash",
            Forged::new().path(&good, "../f", &[]),
            "damaged",
        ),
        ("up", Forged::new().path(&good, "..", &[]), "damaged"),
        (
            "an empty name",
            Forged::new().path(&good, "", &[]),
            "damaged",
        ),
        (
            "a missing reference",
            Forged::new().path(&good, "f", &[&unknown]),
            "which is not valid in this store",
        ),
        (
            "a false reference",
            Forged::new().path(&good, "f", &["/nix/store/x"]),
            "a reference is '/nix/store/x'",
        ),
        (
            "no mark",
            Forged::new()
                .path(&good, "f", &[])
                .0
                .iter()
                .map(|&byte| if byte == 0x58 { 0 } else { byte })
                .collect::<Vec<u8>>()
                .into(),
            "mark",
        ),
        (
            "many references",
            Forged::new()
                .number(1)
                .strings(&["nix-archive-1", "(", "type", "regular", "contents", "", ")"])
                .number(0x4558_494e)
                .string(good.as_bytes())
                .number(1 << 60),
            "references",
        ),
        (
            "a huge string",
            Forged::new()
                .number(1)
                .strings(&["nix-archive-1", "(", "type", "regular", "contents", "", ")"])
                .number(0x4558_494e)
                .number(1 << 60),
            "bytes",
        ),
        (
            "a huge file",
            Forged::new()
                .number(1)
                .strings(&["nix-archive-1", "(", "type", "regular", "contents"])
                .number(1 << 62),
            "damaged",
        ),
        (
            // It would be read, whatever it leads to.
            "a derivation that is a link",
            Forged::new()
                .number(1)
                .strings(&[
                    "nix-archive-1",
                    "(",
                    "type",
                    "symlink",
                    "target",
                    "/dev/zero",
                    ")",
                ])
                .number(0x4558_494e)
                .string(format!("{good}.drv").as_bytes())
                .number(0)
                .string(b"")
                .number(0)
                .number(0),
            "it is a symlink",
        ),
        ("a number", Forged::new().number(7), "not the output of"),
    ];
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for (what, stream, expected) in forged {
        let message = store.import(&*stream.0).unwrap_err().to_string();
        assert!(message.contains(expected), "{what}: {message}");
    }
    assert_nothing_came(&store);
    // What came before the damage is there.
    let stream = Forged::new()
        .path(&good, "f", &[&good])
        .path(&other, "f", &[&good])
        .number(9);
    let message = store.import(&*stream.0).unwrap_err().to_string();
    assert!(
        message.contains("a path or the end was expected"),
        "{message}"
    );
    assert_eq!(store.all_valid().unwrap().len(), 2);
    assert_sound(dir.path());
}

impl From<Vec<u8>> for Forged {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// What was changed on disk is not passed on.
#[test]
fn a_changed_path_is_not_exported() {
    let dir = tempfile::tempdir().unwrap();
    let (store, all) = some_store(dir.path());
    let file = store.physical(&all[0]).join("bin/program");
    std::fs::remove_file(store.physical(&all[0]).join("bin/link")).unwrap_or_default();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&file, "changed").unwrap();
    let message = store
        .export(&all[..1], &mut Vec::new())
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("was changed on disk") && message.contains("store repair"),
        "{message}"
    );
    assert!(
        store
            .export(&[some_path("unknown")], &mut Vec::new())
            .unwrap_err()
            .to_string()
            .contains("not valid")
    );
}

/// Gives some bytes and then fails, as a disk or a connection does.
struct Breaking<'a>(&'a [u8]);

impl std::io::Read for Breaking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(rustix::io::Errno::IO.into()),
            count => Ok(count),
        }
    }
}

#[test]
fn a_stream_that_cannot_be_read_is_not_called_damaged() {
    let from = tempfile::tempdir().unwrap();
    let (store, paths) = some_store(from.path());
    let stream = export(&store, &paths[..1]);
    let to = tempfile::tempdir().unwrap();
    let store = open(to.path());
    // The NAR has begun by then, and nothing is registered.
    for end in 0..128 {
        let error = store
            .import(Breaking(&stream[..end]))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("the stream that is imported") && error.contains("os error 5"),
            "{end}: {error}"
        );
        assert!(store.all_valid().unwrap().is_empty());
    }
    assert_sound(to.path());
}
