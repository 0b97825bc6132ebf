//! Stock Nix, to compare with.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// An installed stock Nix with an empty store of its own.
pub(crate) struct Oracle {
    home: PathBuf,
    scratch: tempfile::TempDir,
}

impl Oracle {
    /// The oracle of the test set-up.
    pub(crate) fn find() -> Self {
        let home = std::env::var_os("XBUILD_ORACLE").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/oracle"),
            PathBuf::from,
        );
        assert!(
            home.join("bin/nix-instantiate").exists(),
            "stock Nix is not in '{}': run tests/setup, or set XBUILD_ORACLE",
            home.display()
        );
        Self {
            home,
            scratch: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    /// Runs `nix-instantiate`.
    pub(crate) fn instantiate(&self, args: &[&str]) -> Output {
        Command::new(self.home.join("bin/nix-instantiate"))
            .args(args)
            .env("NIX_CONF_DIR", self.home.join("conf"))
            .env(
                "NIX_REMOTE",
                format!("local?root={}", self.scratch.path().display()),
            )
            .env_remove("NIX_PATH")
            .current_dir("/")
            .output()
            .expect("nix-instantiate runs")
    }

    /// Where a store path of the oracle's store is.
    #[allow(dead_code)]
    pub(crate) fn physical(&self, path: &str) -> PathBuf {
        self.scratch.path().join(path.trim_start_matches('/'))
    }

    /// A file of the given contents.
    #[allow(dead_code)]
    pub(crate) fn file(&self, name: &str, contents: &str) -> PathBuf {
        let path = self.scratch.path().join(name);
        std::fs::write(&path, contents).expect("a file");
        path
    }

    /// What `--eval --strict` prints for each expression; none of them may fail.
    #[allow(dead_code)]
    pub(crate) fn evaluate_all(&self, expressions: &[&str]) -> Vec<String> {
        let mut args = vec!["--eval".to_owned(), "--strict".to_owned()];
        for expression in expressions {
            args.push("-E".into());
            // A leading blank, since an expression may begin with a dash.
            args.push(format!(" {expression}"));
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = self.instantiate(&args);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let lines: Vec<String> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .collect();
        assert_eq!(lines.len(), expressions.len());
        lines
    }

    /// The message an expression fails with, without trace and place.
    #[allow(dead_code)]
    pub(crate) fn failure(&self, expression: &str) -> String {
        let output = self.instantiate(&["--eval", "--strict", "-E", &format!(" {expression}")]);
        assert!(
            !output.status.success(),
            "{expression} does not fail in Nix"
        );
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let message = stderr
            .lines()
            .rev()
            .find_map(|line| line.trim_start().strip_prefix("error: "));
        message
            .unwrap_or_else(|| panic!("no message in {stderr}"))
            .to_owned()
    }
}
