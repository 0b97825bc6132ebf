//! What becomes of many expressions, in xbuild and in stock Nix.
//!
//! Each expression is a file of its own. One `nix repl` imports them all, one after another: it goes on after an error,
//! so that a thousand failures cost one process. What does not fail is printed by one `nix-instantiate`.

#![allow(clippy::unwrap_used)] // A test may panic.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use xbuild_eval::local_host::LocalHost;
use xbuild_eval::{Evaluator, Settings, stack};

/// The printed value, or the first line of the error.
pub(crate) type Outcome = Result<String, String>;

/// Whether xbuild's outcome is that of stock Nix: the same value, or a message with Nix's text, which may go on with what
/// helps. What the TOML reader found wrong is said in other words.
pub(crate) fn agree(ours: &Outcome, theirs: &Outcome) -> bool {
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => ours == theirs,
        (Err(ours), Err(theirs)) => {
            let theirs = ["while parsing TOML: ", "invalid regular expression"]
                .into_iter()
                .find(|prefix| theirs.starts_with(prefix))
                .unwrap_or(theirs);
            ours.starts_with(theirs)
        }
        _ => false,
    }
}

/// How many expressions one evaluator, or one process that prints values, gets.
const BATCH: usize = 400;

/// Expressions as files of a directory, which also has what they read.
pub(crate) struct Expressions {
    dir: tempfile::TempDir,
    oracle: PathBuf,
    features: Vec<String>,
    files: Vec<PathBuf>,
}

impl Expressions {
    /// Writes the expressions, which are evaluated with the given experimental features.
    pub(crate) fn new<S: AsRef<str>>(expressions: &[S], features: &[&str]) -> Self {
        let oracle = std::env::var_os("XBUILD_ORACLE").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/oracle"),
            PathBuf::from,
        );
        assert!(
            oracle.join("bin/nix-instantiate").exists(),
            "stock Nix is not in '{}': run tests/setup, or set XBUILD_ORACLE",
            oracle.display()
        );
        let dir = tempfile::tempdir().unwrap();
        write_fixtures(&dir.path().join("files"));
        let mut files = Vec::new();
        for (index, expression) in expressions.iter().enumerate() {
            let file = dir.path().join(format!("{index}.nix"));
            fs::write(&file, expression.as_ref()).unwrap();
            files.push(file);
        }
        let features = features.iter().map(|&feature| feature.into()).collect();
        Self {
            dir,
            oracle,
            features,
            files,
        }
    }

    /// What xbuild makes of them.
    pub(crate) fn ours(&self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for files in self.files.chunks(BATCH) {
            let found = stack::with_big_stack(|| {
                let settings = Settings {
                    system: "x86_64-linux".into(),
                    features: self.features.clone(),
                    ..Settings::default()
                };
                let mut ev = Evaluator::new(Box::new(LocalHost::new()), settings);
                files
                    .iter()
                    .map(|file| self.evaluate(&mut ev, file))
                    .collect::<Vec<_>>()
            });
            outcomes.extend(found.unwrap());
        }
        outcomes
    }

    fn evaluate(&self, ev: &mut Evaluator, file: &Path) -> Outcome {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let value = ev.eval_file(file)?;
            ev.print(value, true)
        }));
        match result {
            Ok(Ok(text)) => Ok(self.general(&String::from_utf8_lossy(&text))),
            Ok(Err(error)) => {
                // Rendering must work for every error.
                assert!(ev.render(&error, true).starts_with("error:"));
                let message = error.to_string();
                let first = message.lines().next().unwrap_or_default().trim_end();
                Err(self.general(first))
            }
            Err(_) => Err("(a panic)".into()),
        }
    }

    /// A text without the names of the temporary directory and of the expressions' files.
    fn general(&self, text: &str) -> String {
        let text = text.replace(self.dir.path().to_str().unwrap(), "/corpus");
        let mut parts = text.split("/corpus/");
        let mut general = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
            let file = if rest.len() < part.len() { "it" } else { "" };
            general += &format!("/corpus/{file}{rest}");
        }
        general
    }

    /// What stock Nix makes of them.
    pub(crate) fn theirs(&self) -> Vec<Outcome> {
        let mut outcomes = self.failures();
        assert_eq!(outcomes.len(), self.files.len(), "answers of nix repl");
        let good: Vec<usize> = (0..outcomes.len())
            .filter(|&index| outcomes[index].is_ok())
            .collect();
        for batch in good.chunks(BATCH) {
            let output = self
                .command("nix-instantiate")
                .args(["--eval", "--strict", "--read-write-mode"])
                .args(batch.iter().map(|&index| &self.files[index]))
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            let text = String::from_utf8_lossy(&output.stdout);
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(lines.len(), batch.len(), "values, one a line");
            for (&index, line) in batch.iter().zip(lines) {
                outcomes[index] = Ok(self.general(line));
            }
        }
        outcomes
    }

    /// The oracle's command of this name, with a store of its own.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.oracle.join("bin").join(program));
        let root = self.dir.path().join("store");
        command
            .env("NIX_CONF_DIR", self.oracle.join("conf"))
            .env("NIX_REMOTE", format!("local?root={}", root.display()))
            .env(
                "NIX_CONFIG",
                format!(
                    "experimental-features = nix-command {}\nfsync-metadata = false\n",
                    self.features.join(" ")
                ),
            )
            .env("NO_COLOR", "1")
            .env("TERM", "dumb")
            .env("HOME", self.dir.path())
            .env_remove("NIX_PATH")
            .current_dir("/");
        command
    }

    /// Which fail, with which message; the values of the others are empty.
    fn failures(&self) -> Vec<Outcome> {
        let mut input = String::new();
        for file in &self.files {
            let _ = writeln!(
                input,
                "builtins.deepSeq (import {}) \"fine\"",
                file.display()
            );
        }
        let mut log = tempfile::tempfile().unwrap();
        let mut child = self
            .command("nix")
            .args(["repl", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log.try_clone().unwrap())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        child.wait().unwrap();
        let mut text = Vec::new();
        std::io::Seek::rewind(&mut log).unwrap();
        std::io::Read::read_to_end(&mut log, &mut text).unwrap();
        let text = String::from_utf8_lossy(&text);
        // The prompt with its line, and what came of it, up to the next prompt.
        let answers = text.split("nix-repl> builtins.deepSeq (import ").skip(1);
        answers.map(|answer| self.answer(answer)).collect()
    }

    fn answer(&self, answer: &str) -> Outcome {
        let lines = || answer.lines().map(str::trim);
        // The value comes in colours, whatever the terminal.
        if lines().any(|line| line == "\u{1b}[35;1m\"fine\"\u{1b}[0m") {
            return Ok(String::new());
        }
        // With a trace, the message comes after it; it may be empty.
        let message = lines()
            .filter_map(|line| line.strip_prefix("error:"))
            .next_back();
        match message {
            Some(message) => Err(self.general(message.trim())),
            None => panic!("no message in {answer}"),
        }
    }
}

/// Files that expressions read.
fn write_fixtures(dir: &Path) {
    fs::create_dir_all(dir.join("sub")).unwrap();
    let write = |name: &str, text: &str| fs::write(dir.join(name), text).unwrap();
    write("hello.txt", "hello\n");
    write("empty", "");
    write("nul.bin", "a\0b");
    write("sub/deep.txt", "deep");
    write("sub/default.nix", "{ deep = true; }");
    write("number.nix", "42");
    write("function.nix", "{ a ? 1, b ? 2 }: a + b");
    write("scoped.nix", "[ x (import ./number.nix) ]");
    write("throws.nix", "throw \"imported\"");
    write("syntax.nix", "{ a = ; }");
    write("data.json", r#"{"a": [1, 2.5, null, "x"]}"#);
    write("data.toml", "a = 1\n[b]\nc = [true, \"x\"]\n");
    for (target, link) in [
        ("hello.txt", "link"),
        ("nowhere", "dangling"),
        ("sub", "dirlink"),
    ] {
        std::os::unix::fs::symlink(target, dir.join(link)).unwrap();
    }
}
