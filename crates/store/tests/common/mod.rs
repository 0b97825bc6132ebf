//! Stock Nix beside us, on the same store.
#![allow(dead_code, unreachable_pub)] // not every test file uses everything

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use xbuild_store::{NewPath, Store, StoreOptions};
use xbuild_store_model::StorePath;
use xbuild_store_model::hash::{Hash, HashAlgo};

/// Stock Nix: a directory with `bin` and `conf`.
pub fn oracle_dir() -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/oracle");
    let dir = std::env::var_os("XBUILD_ORACLE").map_or(default, PathBuf::from);
    assert!(
        dir.join("bin/nix-store").exists(),
        "stock Nix is not at '{}': run `tests/setup`, or set XBUILD_ORACLE",
        dir.display()
    );
    dir
}

/// A command of stock Nix on the store at `root`.
pub fn nix(root: &Path, program: &str, args: &[&str]) -> Command {
    let oracle = oracle_dir();
    let mut command = Command::new(oracle.join("bin").join(program));
    command
        .args(args)
        .env("NIX_CONF_DIR", oracle.join("conf"))
        .env("NIX_REMOTE", format!("local?root={}", root.display()));
    command
        .env_remove("NIX_PATH")
        .env("HOME", root)
        .env("XDG_CACHE_HOME", root.join("cache"));
    command
}

/// Runs it; its standard output, trimmed. Panics with everything it said if it fails.
pub fn run(command: &mut Command) -> String {
    let mut output = command.output().expect("stock Nix starts");
    for _ in 0..20 {
        // Nix's collector reads /proc, and fails when any process of the machine is in a directory
        // with a path longer than 4096 bytes.
        if output.status.success() || !both(&output).contains("reading symlink '\"/proc/") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(500));
        output = command.output().expect("stock Nix starts");
    }
    assert!(output.status.success(), "{command:?}\n{}", both(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub fn both(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// What stock Nix says of a store that is all right: nothing.
pub fn assert_sound(root: &Path) {
    let output = nix(root, "nix-store", &["--verify", "--check-contents"])
        .output()
        .unwrap();
    let text = both(&output);
    assert!(output.status.success(), "{text}");
    for line in text.lines() {
        assert!(
            [
                "reading the Nix store...",
                "checking path existence...",
                "checking link hashes...",
                "checking store hashes..."
            ]
            .contains(&line.trim()),
            "stock Nix finds something wrong: {text}"
        );
    }
}

/// The lines of a text as store paths.
pub fn paths(text: &str) -> BTreeSet<StorePath> {
    text.lines()
        .map(|line| StorePath::parse(line.trim()).unwrap())
        .collect()
}

pub fn open(root: &Path) -> Store {
    Store::open(root, StoreOptions::default()).unwrap()
}

/// A path whose hash part depends on `seed`.
pub fn some_path(seed: &str) -> StorePath {
    let name = format!(
        "{}-thing",
        &Hash::of(HashAlgo::Sha256, seed.as_bytes()).to_base32()[..32]
    );
    StorePath::from_base_name(&name).unwrap()
}

/// Makes a tree in a build directory and registers it, as a build would.
pub fn build(store: &Store, path: &StorePath, contents: &str, references: &[&StorePath]) {
    let locks = store.lock_paths(std::slice::from_ref(path)).unwrap();
    let work = store.work_dir().unwrap();
    let tree = work.path().join("tree");
    std::fs::create_dir_all(tree.join("bin")).unwrap();
    let mut text = contents.to_owned();
    for reference in references {
        text.push_str(&format!("\nneeds {reference}/bin"));
    }
    std::fs::write(tree.join("bin/program"), text).unwrap();
    std::os::unix::fs::symlink("program", tree.join("bin/link")).unwrap();
    store.canonicalise(&tree).unwrap();
    let scanned = store
        .scan_and_hash(&tree, references.iter().copied())
        .unwrap();
    assert_eq!(scanned.references.len(), references.len());
    store
        .register(&[NewPath {
            path: path.clone(),
            physical: tree,
            nar_hash: scanned.nar_hash,
            nar_size: scanned.nar_size,
            references: scanned.references,
            deriver: None,
            ca: None,
            ultimate: true,
            sigs: Vec::new(),
        }])
        .unwrap();
    drop(locks);
}
