//! Runs the commands of `README.md` and `docs/*.md` and compares what they print with what the documents show.
//!
//! # The convention
//!
//! - A block marked `sh` is run. Blocks of one document run in order in one shell (directories and variables stay), which starts in a
//!   fresh copy of the repository's expressions. All documents share one store: at first a copy of the one with images
//!   (`World::images`, where a kernel need not be built again), which is empty in a new checkout.
//! - A block with a line that begins with `$ ` is a session: such a line is a command, lines with `> ` after it continue it, and the
//!   others are what it prints (stdout and stderr together; blanks at line ends do not count). A command without such lines
//!   may print anything. `…` stands for any text within a line; a line of `…` alone for any number of lines.
//! - Any other block is a script, of which every command must succeed.
//! - A command of a session must end with code 0, or with N if it ends in the comment `# exit N`.
//! - `cargo run --release -- …` and `xbuild …` run the binary under test; `cargo build --release` does nothing (see [`CARGO`]).
//! - `DOCUMENTS=boards,kernel` in the environment runs just these.
//! - Blocks with another mark (`text`, `nix` …) or none are only shown. They hold what cannot run here: installing packages, cloning the
//!   repository, and `tests/run`, which would run this test.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use support::expressions::EXPRESSIONS;
use support::world::copy_store;

/// What stands in for cargo while the documents' commands run.
const CARGO: &str = r#"#!/bin/bash
case "$*" in
  "run --release -- "*) shift 3; exec xbuild "$@" ;;
  "build --release") ;;
  *) echo "tests/documentation.rs knows no 'cargo $*'" >&2; exit 99 ;;
esac
"#;

/// What the documents mention, beside the expressions.
const MENTIONED: &[&str] = &["tests", "docs", "README.md"];

/// A command, or a block that is a script.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    /// The line of the document, from 1.
    line: usize,
    text: String,
    script: bool,
    exit: i32,
    /// Empty: anything.
    output: Vec<String>,
}

#[test]
fn documents_are_true() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap();
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("documentation");
    if scratch.exists() {
        xbuild_store::remove_tree(&scratch).expect("the scratch directory can be removed");
    }
    let images = Path::new(env!("CARGO_TARGET_TMPDIR")).join("images/caller/store");
    if images.join("nix/store").exists() {
        copy_store(&images, &scratch.join("store"));
    }
    let bin = scratch.join("bin");
    fs::create_dir_all(&bin).unwrap();
    symlink(env!("CARGO_BIN_EXE_xbuild"), bin.join("xbuild")).unwrap();
    fs::write(bin.join("cargo"), CARGO).unwrap();
    fs::set_permissions(bin.join("cargo"), fs::Permissions::from_mode(0o755)).unwrap();

    let only = std::env::var("DOCUMENTS").ok();
    let mut commands = 0;
    for document in &documents(&repository) {
        let name = document.strip_prefix(&repository).unwrap();
        let stem = document.file_stem().unwrap().to_str().unwrap();
        if only
            .as_ref()
            .is_some_and(|only| !only.split(',').any(|only| only == stem))
        {
            continue;
        }
        let steps = steps(&fs::read_to_string(document).unwrap())
            .unwrap_or_else(|problem| panic!("{}:{problem}", name.display()));
        if steps.is_empty() {
            continue;
        }
        let checkout = scratch.join(document.file_stem().unwrap()).join("xbuild");
        fs::create_dir_all(checkout.join("target")).unwrap();
        for entry in EXPRESSIONS.iter().chain(MENTIONED) {
            let copied = Command::new("cp")
                .arg("-r")
                .arg(repository.join(entry))
                .arg(&checkout)
                .status()
                .unwrap();
            assert!(copied.success(), "cannot copy {entry}");
        }
        symlink(
            repository.join("target/test-tools"),
            checkout.join("target/test-tools"),
        )
        .unwrap();
        run(name, &steps, &checkout, &scratch);
        commands += steps.len();
    }
    assert!(
        commands > 30 || only.is_some(),
        "only {commands} commands were found in the documents"
    );
}

/// `README.md` and `docs/*.md`.
fn documents(repository: &Path) -> Vec<PathBuf> {
    let mut documents: Vec<PathBuf> = fs::read_dir(repository.join("docs"))
        .expect("docs is a directory")
        .map(|entry| entry.expect("docs can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    documents.sort();
    documents.insert(0, repository.join("README.md"));
    documents
}

/// The commands in the `sh` blocks of a document.
fn steps(document: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut lines = document.lines().enumerate();
    while let Some((start, line)) = lines.next() {
        let Some(mark) = line.strip_prefix("```") else {
            continue;
        };
        let mut block = Vec::new();
        loop {
            match lines.next() {
                Some((_, "```")) => break,
                Some((index, line)) => block.push((index + 1, line)),
                None => return Err(format!("{}: the block does not end", start + 1)),
            }
        }
        if mark != "sh" {
            continue;
        }
        if block.iter().any(|(_, line)| line.starts_with("$ ")) {
            session(&block, &mut steps)?;
        } else {
            let text = block.iter().map(|(_, line)| format!("{line}\n")).collect();
            steps.push(Step {
                line: start + 2,
                text,
                script: true,
                exit: 0,
                output: Vec::new(),
            });
        }
    }
    Ok(steps)
}

fn session(block: &[(usize, &str)], steps: &mut Vec<Step>) -> Result<(), String> {
    let first = steps.len();
    for &(line, text) in block {
        if let Some(command) = text.strip_prefix("$ ") {
            let exit = match command.rsplit_once("# exit ") {
                Some((_, code)) => code
                    .trim()
                    .parse()
                    .map_err(|_| format!("{line}: `{code}` is no exit code"))?,
                None => 0,
            };
            steps.push(Step {
                line,
                text: command.to_owned() + "\n",
                script: false,
                exit,
                output: Vec::new(),
            });
            continue;
        }
        let Some(step) = steps[first..].last_mut() else {
            return Err(format!("{line}: a session begins with a command"));
        };
        match text.strip_prefix("> ") {
            Some(more) if step.output.is_empty() => step.text += &format!("{more}\n"),
            _ => step.output.push(text.to_owned()),
        }
    }
    for step in &mut steps[first..] {
        if let Some((_, code)) = step.text.rsplit_once("# exit ") {
            step.exit = code
                .trim()
                .parse()
                .map_err(|_| format!("{}: `{}` is no exit code", step.line, code.trim()))?;
        }
    }
    Ok(())
}

/// Runs the commands of one document in one shell, and compares.
fn run(document: &Path, steps: &[Step], checkout: &Path, scratch: &Path) {
    let results = checkout.with_file_name("results");
    fs::create_dir_all(&results).expect("a directory can be made");
    // However the shell ends, the exit code of the current command is noted.
    let mut script = String::from("trap 'code=$?; echo $code >\"$step.code\"' EXIT\n");
    for (index, step) in steps.iter().enumerate() {
        let (strict, lenient) = if step.script {
            ("set -e; ", "set +e; ")
        } else {
            ("", "")
        };
        let base = results.join(index.to_string());
        let _ = write!(
            script,
            "step='{}'\n{{ {strict}:\n{}{lenient}}} >\"$step.out\" 2>&1 </dev/null\ncode=$?; echo $code >\"$step.code\"; [ $code = {} ] || exit $code\n",
            base.display(),
            step.text,
            step.exit
        );
    }
    script += "trap - EXIT\n";
    let file = results.join("script");
    fs::write(&file, script).expect("a file can be written");
    let path = format!(
        "{}:{}",
        scratch.join("bin").display(),
        std::env::var("PATH").expect("PATH is set")
    );
    let shell = Command::new("bash")
        .arg(&file)
        .current_dir(checkout)
        .env("PATH", path)
        .env("HOME", scratch.join("home"))
        .env("XBUILD_STORE", scratch.join("store"))
        .env("LC_ALL", "C.UTF-8")
        .env_remove("NIX_PATH")
        .env_remove("NIX_CONFIG")
        .env_remove("NIX_CONF_DIR")
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("XDG_DATA_HOME")
        .output()
        .expect("bash runs");
    for (index, step) in steps.iter().enumerate() {
        let read = |suffix: &str| {
            fs::read(results.join(format!("{index}.{suffix}")))
                .map(|b| String::from_utf8_lossy(&b).into_owned())
        };
        let place = format!("{}:{}", document.display(), step.line);
        let printed = read("out").unwrap_or_default();
        let Ok(code) = read("code") else {
            panic!(
                "{place}: did not run\n{}{printed}",
                String::from_utf8_lossy(&shell.stderr)
            );
        };
        let command = step.text.trim_end();
        assert_eq!(
            code.trim(),
            step.exit.to_string(),
            "{place}: exit code of `{command}`, which printed\n{printed}"
        );
        let lines: Vec<&str> = printed.lines().collect();
        let expected: Vec<&str> = step.output.iter().map(String::as_str).collect();
        assert!(
            expected.is_empty() || agree(&expected, &lines),
            "{place}: `{command}` does not print what the document says.\n--- document\n{}\n--- printed\n{printed}",
            expected.join("\n")
        );
    }
}

/// Whether printed lines are what the document says.
fn agree(expected: &[&str], printed: &[&str]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((&"…", rest)) => (0..=printed.len()).any(|skipped| agree(rest, &printed[skipped..])),
        Some((line, rest)) => printed.split_first().is_some_and(|(first, more)| {
            line_agrees(line.trim_end(), first.trim_end()) && agree(rest, more)
        }),
    }
}

/// Whether a printed line is of the form of `pattern`, in which `…` stands for any text.
fn line_agrees(pattern: &str, line: &str) -> bool {
    match pattern.split_once('…') {
        None => pattern == line,
        Some((before, after)) => line.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices()
                .map(|(at, _)| at)
                .chain([rest.len()])
                .any(|at| line_agrees(after, &rest[at..]))
        }),
    }
}

/// The text outside of backticks, single or triple.
fn without_code(text: &str) -> String {
    text.split('`').step_by(2).collect()
}

/// Relative links lead to files that are there, and to headings of theirs.
#[test]
fn links_lead_somewhere() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for document in documents(&repository) {
        let text = without_code(&fs::read_to_string(&document).unwrap());
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if link.contains("://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                document.clone()
            } else {
                document.with_file_name(file)
            };
            let place = format!("{}: the link {link}", document.display());
            assert!(target.exists(), "{place} leads nowhere");
            if !heading.is_empty() {
                let headings = fs::read_to_string(&target).unwrap();
                let mut headings = headings.lines().filter(|line| line.starts_with('#'));
                let is_it = |line: &str| anchor(line.trim_start_matches('#').trim()) == heading;
                assert!(headings.any(is_it), "{place} names no heading");
            }
        }
    }
}

/// The anchor of a heading, as the common renderers of Markdown make it.
fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn the_convention() {
    let document = "\
text\n```sh\n$ one \\\n> more # exit 3\noutput\n$ two # exit 4\n```\n```text\nno\n```\n```sh\na\nb\n```\n";
    let step = |line, text: &str, script, exit, output: &[&str]| Step {
        line,
        text: text.to_owned(),
        script,
        exit,
        output: output.iter().map(|&line| line.to_owned()).collect(),
    };
    let expected = [
        step(3, "one \\\nmore # exit 3\n", false, 3, &["output"]),
        step(6, "two # exit 4\n", false, 4, &[]),
        step(12, "a\nb\n", true, 0, &[]),
    ];
    assert_eq!(steps(document).unwrap(), expected);
    assert!(steps("```sh\nx").is_err());
    assert!(agree(&["a", "…", "d"], &["a", "b", "c", "d"]));
    assert!(agree(&["a…c…", "…"], &["abcd"]));
    assert!(!agree(&["a"], &["a", "b"]));
    assert!(!agree(&["a…c"], &["ab"]));
}
