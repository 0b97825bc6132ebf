//! Stock Nix, to compare with.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Stock Nix with a store of its own in a temporary directory.
pub(crate) struct Oracle {
    programs: PathBuf,
    dir: TempDir,
}

/// What a program said.
pub(crate) struct Said {
    /// Whether it exited with 0.
    pub(crate) ok: bool,
    /// Its standard output.
    pub(crate) stdout: Vec<u8>,
    /// Its standard error.
    pub(crate) stderr: String,
}

impl Oracle {
    /// Finds stock Nix: in `XBUILD_ORACLE`, else in `target/oracle`.
    pub(crate) fn new() -> Oracle {
        let programs = std::env::var_os("XBUILD_ORACLE").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/oracle"),
            PathBuf::from,
        );
        assert!(
            programs.join("bin/nix").exists(),
            "stock Nix is not in {}: run tests/setup, or set XBUILD_ORACLE",
            programs.display()
        );
        Oracle {
            programs,
            dir: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    /// A directory for the test's own files.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where the store's `/nix/store/…` is.
    pub(crate) fn physical(&self, logical: &str) -> PathBuf {
        self.dir
            .path()
            .join("root")
            .join(logical.trim_start_matches('/'))
    }

    /// Runs one of its programs.
    pub(crate) fn run<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Said {
        self.say(Command::new(self.programs.join("bin").join(program)).args(args))
    }

    /// Runs a shell script that finds its programs, in [`Oracle::dir`].
    pub(crate) fn try_shell(&self, script: &str) -> Said {
        let path = std::env::var("PATH").unwrap_or_default();
        let bin = self.programs.join("bin");
        let path = format!("{}:{path}", bin.display());
        self.say(Command::new("sh").args(["-c", script]).env("PATH", path))
    }

    /// As [`Oracle::try_shell`], and it must succeed.
    pub(crate) fn shell(&self, script: &str) -> Vec<u8> {
        let said = self.try_shell(script);
        assert!(said.ok, "{script} failed: {}", said.stderr);
        said.stdout
    }

    fn say(&self, command: &mut Command) -> Said {
        let output = command
            .env("NIX_CONF_DIR", self.programs.join("conf"))
            .env(
                "NIX_REMOTE",
                format!("local?root={}", self.dir.path().join("root").display()),
            )
            .env("HOME", self.dir.path())
            .current_dir(self.dir.path())
            .output()
            .expect("the oracle runs");
        Said {
            ok: output.status.success(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs one of its programs, which must succeed, and returns its output.
    pub(crate) fn bytes<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Vec<u8> {
        let said = self.run(program, args);
        assert!(said.ok, "{program} failed: {}", said.stderr);
        said.stdout
    }

    /// As [`Oracle::bytes`], as trimmed text.
    pub(crate) fn text<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: impl IntoIterator<Item = S>,
    ) -> String {
        String::from_utf8(self.bytes(program, args))
            .expect("UTF-8")
            .trim()
            .to_owned()
    }
}
