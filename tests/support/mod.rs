//! What the end-to-end tests share: a place of its own for each test, the `xbuild` binary run in it as its users run it, stock
//! Nix to compare with, and the AArch64 emulator.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test target uses a part of this"
)]

pub mod emulate;
pub mod expressions;
pub mod nix_log;
pub mod oracle;
pub mod ran;
pub mod web;
pub mod world;

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the repository's root")
}

/// A file that `tests/setup` installs below `target/`.
pub fn test_tool(name: &str) -> PathBuf {
    let path = repository().join("target/test-tools").join(name);
    assert!(
        path.is_file(),
        "{} is missing: run tests/setup",
        path.display()
    );
    path
}

/// Tells which part of a long test runs; cargo shows it with `--nocapture`, and when the test fails.
pub fn progress(what: &str) {
    eprintln!("== {what}");
}

/// Replaces the hashes of store paths, so that texts can be compared with literals.
pub fn without_hashes(text: &str) -> String {
    const PREFIX: &str = "/nix/store/";
    let mut pieces = text.split(PREFIX);
    let mut result = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let hash = piece.bytes().take_while(u8::is_ascii_alphanumeric).count();
        result += PREFIX;
        result += if hash == 32 { "HASH" } else { &piece[..hash] };
        result += &piece[hash..];
    }
    result
}

/// The name of a store path, without its hash.
pub fn name_of(path: &str) -> String {
    let base = path
        .strip_prefix("/nix/store/")
        .unwrap_or_else(|| panic!("`{path}` is no store path"));
    base[33..].to_owned()
}
