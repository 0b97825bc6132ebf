//! Running `git`.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::error::{Error, Result};

/// Variables that would lead `git` to another repository, as they are set within its hooks.
const FOREIGN: &[&str] = &[
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_CEILING_DIRECTORIES",
];

/// A repository on this machine.
pub(super) struct Repository<'a> {
    path: &'a Path,
    bare: bool,
    index: Option<&'a Path>,
}

impl<'a> Repository<'a> {
    /// One with a work tree.
    pub(super) fn work_tree(path: &'a Path) -> Self {
        Self {
            path,
            bare: false,
            index: None,
        }
    }

    /// A clone in the cache.
    pub(super) fn bare(path: &'a Path) -> Self {
        Self {
            path,
            bare: true,
            index: None,
        }
    }

    /// The same with an index of ours.
    pub(super) fn with_index<'b>(&'b self, index: &'b Path) -> Repository<'b> {
        Repository {
            path: self.path,
            bare: self.bare,
            index: Some(index),
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.path
    }

    /// Whether it has no work tree.
    pub(super) fn is_bare(&self) -> bool {
        self.bare
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = git();
        command.arg("-C").arg(self.path);
        if self.bare {
            command.args(["--git-dir", "."]);
        }
        if let Some(index) = self.index {
            command.env("GIT_INDEX_FILE", index);
        }
        command.args(args);
        command
    }

    fn no_git(&self, source: std::io::Error) -> Error {
        no_git(&self.path.display().to_string(), source)
    }

    /// Runs it to its end.
    pub(super) fn output(&self, args: &[&str]) -> Result<Output> {
        self.command(args)
            .stdin(Stdio::null())
            .output()
            .map_err(|source| self.no_git(source))
    }

    /// Whether it ends with success.
    pub(super) fn succeeds(&self, args: &[&str]) -> Result<bool> {
        Ok(self.output(args)?.status.success())
    }

    /// What it prints; `what` says what for.
    pub(super) fn run(&self, args: &[&str], what: impl FnOnce() -> String) -> Result<Vec<u8>> {
        finish(self.output(args)?, what)
    }

    /// The same with standard input.
    pub(super) fn run_with_input(
        &self,
        args: &[&str],
        input: &[u8],
        what: impl FnOnce() -> String,
    ) -> Result<Vec<u8>> {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| self.no_git(source))?;
        let stdin = child.stdin.take();
        let output = std::thread::scope(|scope| {
            scope.spawn(move || {
                if let Some(mut stdin) = stdin {
                    // That it does not want all of it shows in its exit status.
                    let _ = stdin.write_all(input);
                }
            });
            child.wait_with_output()
        });
        finish(output.map_err(|source| self.no_git(source))?, what)
    }

    /// What it prints, as text.
    pub(super) fn text(&self, args: &[&str], what: impl FnOnce() -> String) -> Result<String> {
        let output = self.run(args, what)?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    /// Starts it, with pipes for standard input and output.
    pub(super) fn start(&self, args: &[&str]) -> Result<Child> {
        self.command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|source| self.no_git(source))
    }
}

fn no_git(repository: &str, source: std::io::Error) -> Error {
    Error::NoGit {
        repository: repository.to_owned(),
        source,
    }
}

fn git() -> Command {
    let mut command = Command::new("git");
    for name in FOREIGN {
        command.env_remove(name);
    }
    // Looking must not write, and what it says must not depend on the user's language.
    command.env("GIT_OPTIONAL_LOCKS", "0").env("LC_ALL", "C");
    // What a repository's configuration names is not run only because somebody looks at it.
    command.args(["-c", "core.fsmonitor=false"]);
    command
}

fn finish(output: Output, what: impl FnOnce() -> String) -> Result<Vec<u8>> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(Error::Git {
        what: what(),
        message: complaint(&output.stderr),
    })
}

/// The last thing that `git` complained about, in one line.
fn complaint(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    let fatal = lines.iter().find(|line| line.starts_with("fatal: "));
    let line = fatal.or(lines.last()).copied().unwrap_or_default();
    line.trim_start_matches("fatal: ").to_owned()
}

/// Runs `git` outside of any repository.
pub(super) fn outside(args: &[&str], repository: &str) -> Result<Output> {
    git()
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| no_git(repository, source))
}

/// Clones a repository; the user sees what goes on.
pub(super) fn clone(url: &str, branch: Option<&str>, to: &Path) -> Result<()> {
    let mut command = git();
    command.arg("clone");
    if let Some(branch) = branch {
        command.args(["--branch", branch]);
    }
    let status = command
        .args(["--", url])
        .arg(to)
        .stdout(std::io::stderr())
        .status()
        .map_err(|source| no_git(url, source))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(code) => Err(Error::refused(format!(
            "program \"git\" failed with exit code {code}"
        ))),
        None => Err(Error::refused(format!("program \"git\" failed: {status}"))),
    }
}

/// Downloads into a bare repository; the user may be asked for passwords, and sees what goes on if it fails.
pub(super) fn fetch(args: &[&str], dir: &Path, url: &str) -> Result<()> {
    let mut child = git()
        .arg("-C")
        .arg(dir)
        .args(["--git-dir", "."])
        .args(args)
        .stdin(Stdio::inherit())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| no_git(url, source))?;
    let mut said = Vec::new();
    if let Some(stderr) = &mut child.stderr {
        // A question for a password goes to the terminal itself.
        let _ = stderr.read_to_end(&mut said);
    }
    let status = child.wait().map_err(|source| no_git(url, source))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Git {
        what: format!("Failed to fetch git repository '{url}'"),
        message: complaint(&said),
    })
}
