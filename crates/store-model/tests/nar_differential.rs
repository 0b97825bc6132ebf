//! Archives, compared with those of stock Nix.

mod oracle;

use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use oracle::Oracle;
use xbuild_store_model::{Hash, HashAlgo, nar};

/// A tree with everything that an archive can hold.
fn make_tree(root: &Path) {
    let file = |name: &str, contents: &[u8], mode: u32| {
        let path = root.join(name);
        fs::write(&path, contents).expect("a test file");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("a test file");
    };
    fs::create_dir_all(root.join("sub/deeper/empty")).expect("a test directory");
    // Sizes around those at which the padding and the way of copying change.
    for size in [0, 1, 7, 8, 9, 65_535, 65_536, 65_537, 262_144, 300_001] {
        file(&format!("size-{size}"), &vec![b'x'; size], 0o644);
    }
    file("script", b"#!/bin/sh\n", 0o755);
    file("group-executable", b"", 0o674);
    file("only-owner", b"", 0o500);
    file("read-only", b"", 0o400);
    file("sub/Case", b"upper", 0o644);
    file("sub/case", b"lower", 0o644);
    // The order is that of the bytes: '-' < '.' < '/' < 'A' < 'a' < 'é'.
    for name in ["a", "a-", "a.b", "A", "é", "a b", "a\nb", "~", "0", "…"] {
        file(&format!("sub/deeper/{name}"), name.as_bytes(), 0o600);
    }
    fs::create_dir_all(root.join("sub/deeper/a.d")).expect("a test directory");
    let no_utf8 = root.join(std::ffi::OsStr::from_bytes(b"no-\xff-utf8"));
    fs::write(no_utf8, "x").expect("a test file");
    fs::write(root.join("x".repeat(255)), "x").expect("a test file");
    symlink("script", root.join("link")).expect("a test link");
    symlink("/nonexistent/\u{e9}", root.join("dangling")).expect("a test link");
    symlink("t".repeat(4095), root.join("long")).expect("a test link");
    symlink(".", root.join("sub/loop")).expect("a test link");
}

fn dump(path: &Path) -> Vec<u8> {
    let mut archive = Vec::new();
    let size = nar::write_path(path, &mut archive).expect("readable");
    assert_eq!(size, archive.len() as u64);
    archive
}

#[test]
fn dumps_are_the_same() {
    let oracle = Oracle::new();
    let root = oracle.dir().join("tree");
    fs::create_dir(&root).expect("a test directory");
    make_tree(&root);
    for name in [
        "",
        "script",
        "size-9",
        "link",
        "long",
        "sub",
        "sub/deeper/empty",
        "only-owner",
    ] {
        let path = root.join(name);
        let path = if name.is_empty() { &root } else { &path };
        let ours = dump(path);
        let theirs = oracle.bytes("nix-store", ["--dump".as_ref(), path.as_os_str()]);
        assert!(ours == theirs, "the archives of '{name}' differ");
        let (hash, size) = nar::hash_path(path, HashAlgo::Sha256).expect("readable");
        assert_eq!(size, ours.len() as u64);
        assert_eq!(hash, Hash::of(HashAlgo::Sha256, &theirs));
    }
    // A root that is a symbolic link is not followed, however it is written.
    assert_eq!(dump(&root.join("link/")), dump(&root.join("link")));
    assert_eq!(dump(&root.join("sub//")), dump(&root.join("sub")));
    assert_ne!(dump(&root.join("link")), dump(&root.join("script")));
}

#[test]
fn restored_trees_are_the_same() {
    let oracle = Oracle::new();
    let root = oracle.dir().join("tree");
    fs::create_dir(&root).expect("a test directory");
    make_tree(&root);
    let archive = dump(&root);

    // Ours, read by the oracle.
    let ours = oracle.dir().join("ours");
    assert_eq!(
        nar::restore(&archive[..], &ours).expect("valid"),
        archive.len() as u64
    );
    let theirs = oracle.bytes("nix-store", ["--dump".as_ref(), ours.as_os_str()]);
    assert!(theirs == archive);

    let mode = |name: &str| {
        let meta = fs::symlink_metadata(ours.join(name)).expect("restored");
        meta.permissions().mode() & 0o7777
    };
    assert_eq!(mode("script"), 0o555);
    assert_eq!(mode("only-owner"), 0o555);
    assert_eq!(mode("group-executable"), 0o444);
    assert_eq!(mode("size-0"), 0o444);
    assert_eq!(mode("sub"), 0o755);
    assert_eq!(
        fs::read_link(ours.join("sub/loop")).expect("a link"),
        Path::new(".")
    );

    // The oracle's, read by us.
    let saved = oracle.dir().join("saved.nar");
    fs::write(&saved, &archive).expect("a test file");
    let theirs = oracle.dir().join("theirs");
    let script = format!(
        "exec {} --restore {} < {}",
        "nix-store", "theirs", "saved.nar"
    );
    oracle.shell(&script);
    assert!(dump(&theirs) == archive);
}

#[test]
fn single_files_and_links_as_roots() {
    let oracle = Oracle::new();
    let dir = oracle.dir();
    fs::write(dir.join("file"), "contents").expect("a test file");
    symlink("file", dir.join("link")).expect("a test link");
    for name in ["file", "link"] {
        let archive = dump(&dir.join(name));
        let copy = dir.join(format!("{name}-copy"));
        nar::restore(&archive[..], &copy).expect("valid");
        assert!(dump(&copy) == archive);
    }
    let mut archive = Vec::new();
    nar::write_contents(b"contents", false, &mut archive).expect("writing to memory");
    assert!(archive == dump(&dir.join("file")));
}

/// Both say no, or both the same.
#[test]
fn damaged_archives() {
    let oracle = Oracle::new();
    let root = oracle.dir().join("tree");
    fs::create_dir_all(root.join("b/c")).expect("a test directory");
    fs::write(root.join("a"), "12345").expect("a test file");
    fs::write(root.join("b/exe"), "").expect("a test file");
    fs::set_permissions(root.join("b/exe"), Permissions::from_mode(0o755)).expect("a test file");
    symlink("a", root.join("l")).expect("a test link");
    let archive = dump(&root);
    // One byte changed in every third place: lengths, words, names, padding.
    let file = oracle.dir().join("damaged.nar");
    for at in (0..archive.len()).step_by(13) {
        let mut damaged = archive.clone();
        damaged[at] ^= 0x04;
        fs::write(&file, &damaged).expect("a test file");
        let theirs = oracle.dir().join(format!("theirs-{at}"));
        let said = oracle.try_shell(&format!("nix-store --restore theirs-{at} < damaged.nar"));
        let ours = oracle.dir().join(format!("ours-{at}"));
        match nar::restore(&damaged[..], &ours) {
            Ok(_) => {
                assert!(
                    said.ok,
                    "byte {at}: only the oracle refused: {}",
                    said.stderr
                );
                assert!(dump(&ours) == dump(&theirs), "byte {at}");
            }
            Err(error) => {
                assert!(!said.ok, "byte {at}: only we refused: {error}");
                assert!(!ours.exists(), "byte {at}: something was left behind");
            }
        }
    }
}

#[test]
fn nesting_has_the_same_limit() {
    let oracle = Oracle::new();
    for depth in [62, 63, 64, 200] {
        let root = oracle.dir().join(format!("depth-{depth}"));
        fs::create_dir_all(root.join(vec!["x"; depth].join("/"))).expect("a test directory");
        let said = oracle.run("nix-store", ["--dump".as_ref(), root.as_os_str()]);
        let mut archive = Vec::new();
        match nar::write_path(&root, &mut archive) {
            Ok(_) => assert!(
                said.ok && said.stdout == archive,
                "{depth}: {}",
                said.stderr
            ),
            Err(error) => {
                assert!(!said.ok, "{depth}: {error}");
                assert!(
                    error.to_string().contains("more than 64 directories deep"),
                    "{error}"
                );
            }
        }
    }
}

/// Directories at the limit, with the longest names: far beyond what the
/// system takes as one path.
#[test]
fn paths_longer_than_the_system_takes() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut archive = Vec::new();
    let word = |archive: &mut Vec<u8>, text: &[u8]| {
        archive.extend((text.len() as u64).to_le_bytes());
        archive.extend(text);
        archive.resize(archive.len().next_multiple_of(8), 0);
    };
    let name = "n".repeat(255);
    word(&mut archive, b"nix-archive-1");
    for _ in 0..63 {
        for text in [
            "(",
            "type",
            "directory",
            "entry",
            "(",
            "name",
            &name,
            "node",
        ] {
            word(&mut archive, text.as_bytes());
        }
    }
    for text in ["(", "type", "regular", "contents", "deep", ")"] {
        word(&mut archive, text.as_bytes());
    }
    for _ in 0..63 {
        word(&mut archive, b")");
        word(&mut archive, b")");
    }
    let root = dir.path().join("deep");
    nar::restore(&archive[..], &root).expect("valid");
    assert!(dump(&root) == archive);
    // And it is cleaned up again after a failure.
    let copy = dir.path().join("copy");
    archive.truncate(archive.len() - 1);
    nar::restore(&archive[..], &copy).expect_err("cut short");
    assert!(!copy.exists());
}

#[test]
fn filters_decide_in_the_order_of_the_archive() {
    let oracle = Oracle::new();
    let root = oracle.dir().join("tree");
    fs::create_dir(&root).expect("a test directory");
    make_tree(&root);
    let mut asked = Vec::new();
    let mut ours = Vec::new();
    nar::write_path_filtered(&root, &mut ours, &mut |path, kind| {
        let name = path.strip_prefix(&root)?.to_string_lossy().into_owned();
        asked.push(name.clone());
        Ok(!name.starts_with("sub/deeper/a") && kind != nar::FileType::Symlink)
    })
    .expect("readable");
    let sub: Vec<&str> = asked
        .iter()
        .map(String::as_str)
        .filter(|name| name.starts_with("sub/"))
        .collect();
    assert_eq!(sub[..3], ["sub/Case", "sub/case", "sub/deeper"]);
    assert_eq!(sub.last(), Some(&"sub/loop"));

    let expression = r#"builtins.path {
        path = ./tree;
        filter = path: type: type != "symlink" && builtins.match ".*/sub/deeper/a[^/]*" path == null;
    }"#;
    fs::write(oracle.dir().join("filter.nix"), expression).expect("a test file");
    let path = oracle.text(
        "nix-instantiate",
        ["--eval", "--raw", "--read-write-mode", "filter.nix"],
    );
    assert!(dump(&oracle.physical(&path)) == ours);

    // The filter's own error comes back as it is.
    let error = nar::write_path_filtered(&root, &mut Vec::new(), &mut |_, _| Err("no idea".into()))
        .expect_err("the filter failed");
    assert_eq!(error.to_string(), "no idea");
}
