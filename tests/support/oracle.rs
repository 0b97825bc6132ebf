//! Stock Nix, with which tests compare. `tests/setup` installs it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::ran::Ran;
use super::repository;

/// Runs `program` of stock Nix (`nix-store`, …) on the store below `store_root`.
pub fn nix(program: &str, store_root: &Path, args: &[&str]) -> Ran {
    let oracle = installed();
    let program = oracle.join("bin").join(program);
    let mut command = Command::new(&program);
    command.args(args);
    isolate(&mut command, &oracle, store_root);
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", program.display()));
    Ran::new(format!("{command:?}"), &output)
}

/// Runs `program ARGUMENTS` of stock Nix in `directory`, the arguments as a shell reads them.
pub fn shell(program: &str, store_root: &Path, directory: &Path, arguments: &str) -> Ran {
    let oracle = installed();
    let script = format!("\"$program\" {arguments}");
    let mut command = Command::new("sh");
    command
        .args(["-euc", &script])
        .env("program", oracle.join("bin").join(program))
        .current_dir(directory);
    isolate(&mut command, &oracle, store_root);
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot run sh: {error}"));
    Ran::new(format!("{program} {arguments}"), &output)
}

/// Where stock Nix is.
fn installed() -> PathBuf {
    let oracle = std::env::var_os("XBUILD_ORACLE")
        .map_or_else(|| repository().join("target/oracle"), PathBuf::from);
    assert!(
        oracle.join("bin/nix").exists(),
        "stock Nix is missing ({}): run tests/setup, or set XBUILD_ORACLE",
        oracle.display()
    );
    oracle
}

fn isolate(command: &mut Command, oracle: &Path, store_root: &Path) {
    command
        .env("NIX_CONF_DIR", oracle.join("conf"))
        .env("NIX_REMOTE", format!("local?root={}", store_root.display()))
        .env_remove("NIX_PATH")
        // Stock Nix makes its home where it fetches something, and would not build if that were /homeless-shelter.
        .env("HOME", store_root.join("home"));
}
