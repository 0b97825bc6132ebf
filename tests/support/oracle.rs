//! Stock Nix, with which tests compare. `tests/setup` installs it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::ran::Ran;
use super::repository;

/// Runs `program` of stock Nix (`nix-store`, …) on the store below `store_root`.
pub fn nix(program: &str, store_root: &Path, args: &[&str]) -> Ran {
    let oracle = std::env::var_os("XBUILD_ORACLE")
        .map_or_else(|| repository().join("target/oracle"), PathBuf::from);
    let program = oracle.join("bin").join(program);
    assert!(
        program.exists(),
        "stock Nix is missing ({}): run tests/setup, or set XBUILD_ORACLE",
        program.display()
    );
    let mut command = Command::new(&program);
    command
        .args(args)
        .env("NIX_CONF_DIR", oracle.join("conf"))
        .env("NIX_REMOTE", format!("local?root={}", store_root.display()))
        .env_remove("NIX_PATH")
        .env("HOME", "/homeless-shelter");
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", program.display()));
    Ran::new(format!("{command:?}"), &output)
}
