//! Stock Nix, as the reference for what is accepted and how it is printed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bumpalo::Bump;
use xbuild_syntax::symbol::Symbols;
use xbuild_syntax::{Features, Sources, SyntaxError, parse, print};

/// The home directory of both parsers.
pub(crate) const HOME: &str = "/home/someone";
/// Put before each text: names that are bound nowhere are not errors then.
pub(crate) const PRELUDE: &[u8] = b"with null;\n";

/// Prints `text` as `--parse` does, with or without `pipe-operators`. Relative paths are resolved at `base`.
pub(crate) fn ours(
    text: &[u8],
    base: &Path,
    pipe_operators: bool,
) -> Result<Vec<u8>, (SyntaxError, Sources)> {
    let mut sources = Sources::new();
    let id = sources.add("«text»", text);
    let source = sources.text(id).clone();
    let arena = Bump::new();
    let mut symbols = Symbols::new();
    let features = Features {
        home: Some(Path::new(HOME)),
        pipe_operators,
        ..Features::default()
    };
    match parse(&arena, &mut symbols, &source, id, base, features) {
        Ok(expr) => Ok(print::show(expr, &symbols)),
        Err(error) => Err((error, sources)),
    }
}

/// An installed Nix.
pub(crate) struct Oracle {
    dir: PathBuf,
    work: PathBuf,
}

impl Oracle {
    /// Finds it in `$XBUILD_ORACLE`, or where `tests/setup` puts it.
    pub(crate) fn find() -> Self {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let dir = std::env::var_os("XBUILD_ORACLE")
            .map_or_else(|| workspace.join("target/oracle"), PathBuf::from);
        assert!(
            dir.join("bin/nix-instantiate").exists(),
            "no Nix in {}: run tests/setup, or set XBUILD_ORACLE",
            dir.display()
        );
        let work =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("oracle-{}", std::process::id()));
        fs::create_dir_all(&work).expect("a directory for the texts");
        Self {
            dir,
            work: fs::canonicalize(work).expect("the directory was made"),
        }
    }

    fn parse(&self, files: &[PathBuf], pipe_operators: bool) -> Output {
        Command::new(self.dir.join("bin/nix-instantiate"))
            .arg("--parse")
            .args(if pipe_operators {
                ["--option", "extra-experimental-features", "pipe-operators"].as_slice()
            } else {
                &[]
            })
            .args(files)
            .env("NIX_CONF_DIR", self.dir.join("conf"))
            .env(
                "NIX_REMOTE",
                format!("local?root={}", self.work.join("root").display()),
            )
            .env("HOME", HOME)
            .output()
            .expect("nix-instantiate runs")
    }

    /// Compares both parsers on each text; returns what differs.
    pub(crate) fn compare(
        &self,
        group: &str,
        texts: &[Vec<u8>],
        pipe_operators: bool,
    ) -> Vec<String> {
        let mut accepted = Vec::new();
        let mut rejected = Vec::new();
        for (i, text) in texts.iter().enumerate() {
            let text = [PRELUDE, text].concat();
            let file = self.work.join(format!("{group}-{i}.nix"));
            fs::write(&file, &text).expect("the text is written");
            match ours(&text, &self.work, pipe_operators) {
                Ok(shown) => accepted.push((file, text, shown)),
                Err(error) => rejected.push((file, text, error)),
            }
        }
        let mut differences = Vec::new();
        // Many files in one process, unless Nix refuses one of them.
        for chunk in accepted.chunks(200) {
            let files: Vec<PathBuf> = chunk.iter().map(|(file, ..)| file.clone()).collect();
            let output = self.parse(&files, pipe_operators);
            let lines: Vec<&[u8]> = output.stdout.split(|&c| c == b'\n').collect();
            for (i, (file, text, shown)) in chunk.iter().enumerate() {
                let one;
                let theirs = if output.status.success() {
                    lines[i]
                } else {
                    let output = self.parse(std::slice::from_ref(file), pipe_operators);
                    one = if output.status.success() {
                        output.stdout
                    } else {
                        [b"refused: ", output.stderr.as_slice()].concat()
                    };
                    one.strip_suffix(b"\n").unwrap_or(&one)
                };
                if theirs != shown {
                    differences.push(format!(
                        "{}\n  ours: {}\n  Nix:  {}",
                        String::from_utf8_lossy(text),
                        String::from_utf8_lossy(shown),
                        String::from_utf8_lossy(theirs)
                    ));
                }
            }
        }
        // One process each, since Nix ends at the first error.
        let refused =
            |(file, text, (error, sources)): &(PathBuf, Vec<u8>, (SyntaxError, Sources))| {
                let output = self.parse(std::slice::from_ref(file), pipe_operators);
                let message = String::from_utf8_lossy(&output.stderr);
                (output.status.success() || message.contains("undefined variable")).then(|| {
                    format!(
                        "{}\n  ours: {}\n  Nix accepts: {}",
                        String::from_utf8_lossy(text),
                        error.render(sources),
                        String::from_utf8_lossy(&output.stdout)
                    )
                })
            };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            let workers: Vec<_> = rejected
                .chunks(rejected.len().div_ceil(threads).max(1))
                .map(|chunk| scope.spawn(|| chunk.iter().filter_map(refused).collect::<Vec<_>>()))
                .collect();
            for worker in workers {
                differences.extend(worker.join().expect("the comparison does not panic"));
            }
        });
        differences
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.work);
    }
}
