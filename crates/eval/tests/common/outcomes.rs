//! What becomes of many expressions, in xbuild and in stock Nix.
//!
//! Each expression is a file of its own. One `nix repl` imports them all, one after another: it goes on after an error,
//! so that a thousand failures cost one process. What does not fail is printed by one `nix-instantiate`.

#![allow(clippy::unwrap_used)] // A test may panic.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

use xbuild_eval::builtins::xml::XmlForm;
use xbuild_eval::json::JsonForm;
use xbuild_eval::local_host::LocalHost;
use xbuild_eval::string::ContextSet;
use xbuild_eval::{Evaluator, Pos, Settings, stack};

/// The printed value, or the first line of the error.
pub(crate) type Outcome = Result<String, String>;

/// What messages of Nix begin with that are said in other words, and what is in ours.
const OTHER_WORDS: &[(&str, &str)] = &[
    ("while parsing TOML: ", "while parsing TOML: "),
    ("invalid regular expression", "invalid regular expression"),
    // Nothing is built in these tests.
    ("Cannot build '", "nothing is built here"),
    // The number is that of a buffer.
    ("read of ", "Is a directory"),
];

/// Whether a failure of stock Nix is told in other words here.
#[allow(dead_code)]
pub(crate) fn in_other_words(theirs: &Outcome) -> bool {
    let start = |(start, _): &(&str, &str)| theirs.as_ref().is_err_and(|it| it.starts_with(start));
    OTHER_WORDS.iter().any(start)
}

/// Whether xbuild's outcome is that of stock Nix: the same value, or a message with Nix's text, which may go on with what
/// helps. Some messages are said in other words.
pub(crate) fn agree(ours: &Outcome, theirs: &Outcome) -> bool {
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => ours == theirs,
        (Err(ours), Err(theirs)) => {
            let other =
                |(start, inside): &(&str, &str)| theirs.starts_with(start) && ours.contains(inside);
            // Terminals get blanks for tabs from Nix.
            let blanks = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            let general = |text: &str| blanks(&without_functions(text));
            general(ours).starts_with(&general(theirs)) || OTHER_WORDS.iter().any(other)
        }
        _ => false,
    }
}

/// A text in which functions are what is not evaluated: xbuild does not know which of them were asked for.
pub(crate) fn without_functions(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('«') {
        out += before;
        let (shown, after) = after.split_once('»').unwrap_or((after, ""));
        out += &match shown.starts_with("lambda") || shown.starts_with("primop") {
            true => "«thunk»".to_owned(),
            false => format!("«{shown}»"),
        };
        rest = after;
    }
    out + rest
}

/// How many expressions one process that prints values gets.
const BATCH: usize = 400;

/// What became of an expression, with all that was told on the way.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) outcome: Outcome,
    /// Messages of the program and warnings, then the error with its full trace.
    #[allow(dead_code)]
    pub(crate) transcript: String,
}

/// How values are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Strict,
    #[allow(dead_code)]
    Lazy,
    #[allow(dead_code)]
    StrictXml,
    #[allow(dead_code)]
    LazyXml,
    #[allow(dead_code)]
    Json,
}

impl Form {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Strict => &["--strict"],
            Self::Lazy => &[],
            Self::StrictXml => &["--strict", "--xml"],
            Self::LazyXml => &["--xml"],
            Self::Json => &["--strict", "--json"],
        }
    }
}

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
    #[allow(dead_code)]
    pub(crate) fn ours(&self) -> Vec<Outcome> {
        self.ours_told()
            .into_iter()
            .map(|told| told.outcome)
            .collect()
    }

    /// What xbuild makes of them, and what it tells.
    pub(crate) fn ours_told(&self) -> Vec<Told> {
        // One evaluator, as stock Nix has one process: the order of attributes depends on names that were met before.
        stack::with_big_stack(|| {
            let messages = Rc::default();
            let mut ev = self.evaluator(&messages);
            let files = self.files.iter();
            files
                .map(|file| self.evaluate(&mut ev, &messages, file))
                .collect()
        })
        .unwrap()
    }

    fn evaluator(&self, messages: &Rc<RefCell<Vec<u8>>>) -> Evaluator {
        let settings = Settings {
            system: "x86_64-linux".into(),
            features: self.features.clone(),
            ..Settings::default()
        };
        let host = LocalHost::with_messages(Rc::clone(messages));
        Evaluator::new(Box::new(host), settings)
    }

    fn evaluate(&self, ev: &mut Evaluator, messages: &RefCell<Vec<u8>>, file: &Path) -> Told {
        let (mut outcome, error) = self.caught(ev, |ev| {
            ev.eval_expr(&deeply(file), Path::new("/"))?;
            Ok(Vec::new())
        });
        let told = std::mem::take(&mut *messages.borrow_mut());
        let transcript = String::from_utf8_lossy(&told).into_owned() + &error;
        if outcome.is_ok() {
            outcome = self.printed(ev, file, Form::Strict);
        }
        messages.borrow_mut().clear();
        Told {
            outcome,
            transcript: self.plain(&transcript),
        }
    }

    fn printed(&self, ev: &mut Evaluator, file: &Path, form: Form) -> Outcome {
        let print = |ev: &mut Evaluator| {
            let value = ev.eval_file(file)?;
            let mut context = ContextSet::new();
            match form {
                Form::Strict => ev.print(value, true),
                Form::Lazy => ev.print(value, false),
                Form::Json => ev.to_json(value, Pos::NONE, &mut context, JsonForm::BUILTIN),
                Form::StrictXml | Form::LazyXml => {
                    let form = XmlForm {
                        strict: form == Form::StrictXml,
                        location: true,
                    };
                    ev.to_xml(value, form, &mut context, Pos::NONE)
                }
            }
        };
        self.caught(ev, print).0
    }

    /// The outcome, and the error in full.
    fn caught(
        &self,
        ev: &mut Evaluator,
        run: impl FnOnce(&mut Evaluator) -> xbuild_eval::Result<Vec<u8>>,
    ) -> (Outcome, String) {
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(ev))) {
            Ok(Ok(text)) => {
                let text = String::from_utf8_lossy(&text);
                (Ok(self.general(text.trim_end())), String::new())
            }
            Ok(Err(error)) => {
                // Rendering must work for every error.
                let rendered = ev.render(&error, true);
                assert!(rendered.starts_with("error:"));
                let message = error.to_string();
                let first = message.lines().next().unwrap_or_default().trim_end();
                (Err(self.general(first)), rendered)
            }
            Err(_) => (Err("(a panic)".into()), String::new()),
        }
    }

    /// The values of those of the expressions, in a form, as xbuild prints them.
    #[allow(dead_code)]
    pub(crate) fn ours_printed(&self, which: &[usize], form: Form) -> Vec<Outcome> {
        stack::with_big_stack(|| {
            let mut ev = self.evaluator(&Rc::default());
            let files = which.iter().map(|&index| &self.files[index]);
            files
                .map(|file| self.printed(&mut ev, file, form))
                .collect()
        })
        .unwrap()
    }

    /// The values of those of the expressions, in a form, as stock Nix prints them.
    pub(crate) fn theirs_printed(&self, which: &[usize], form: Form) -> Vec<Outcome> {
        let batches = which.chunks(BATCH);
        batches
            .flat_map(|batch| self.theirs_of_batch(batch, form))
            .collect()
    }

    fn theirs_of_batch(&self, batch: &[usize], form: Form) -> Vec<Outcome> {
        let output = self
            .command("nix-instantiate")
            .args(["--eval", "--read-write-mode"])
            .args(form.arguments())
            .args(batch.iter().map(|&index| &self.files[index]))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let failed = !output.status.success();
        let head = "<?xml";
        let values: Vec<String> = match form {
            _ if failed => Vec::new(),
            Form::StrictXml | Form::LazyXml => text
                .split(head)
                .skip(1)
                .map(|document| format!("{head}{}", document.trim_end()))
                .collect(),
            _ if batch.len() == 1 => vec![text.trim_end().to_owned()],
            _ => text.lines().map(str::to_owned).collect(),
        };
        if values.len() == batch.len() {
            return values.iter().map(|value| Ok(self.general(value))).collect();
        }
        // One of them fails, or is printed in several lines.
        match batch {
            [_] => vec![self.answer(&String::from_utf8_lossy(&output.stderr))],
            _ => {
                let (one, other) = batch.split_at(batch.len() / 2);
                let mut outcomes = self.theirs_of_batch(one, form);
                outcomes.extend(self.theirs_of_batch(other, form));
                outcomes
            }
        }
    }

    /// A text without the names of the temporary directory and of the expressions' files.
    fn general(&self, text: &str) -> String {
        let dir = self.dir.path().to_str().unwrap();
        let text = text
            .replace(&format!("{dir}/store/nix/store"), "/nix/store")
            .replace(dir, "/corpus");
        let mut parts = text.split("/corpus/");
        let mut general = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
            let file = if rest.len() < part.len() { "it" } else { "" };
            general += &format!("/corpus/{file}{rest}");
        }
        general
    }

    /// A transcript without colours, blanks at the ends of lines, and names that differ from run to run.
    fn plain(&self, text: &str) -> String {
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("\u{1b}[") {
            plain += before;
            rest = after.split_once('m').map_or("", |(_, after)| after);
        }
        plain += rest;
        let plain: Vec<&str> = plain.lines().map(str::trim_end).collect();
        self.general(plain.join("\n").trim())
    }

    /// What stock Nix makes of them.
    #[allow(dead_code)]
    pub(crate) fn theirs(&self) -> Vec<Outcome> {
        self.theirs_told()
            .into_iter()
            .map(|told| told.outcome)
            .collect()
    }

    /// What stock Nix makes of them, and what it tells.
    pub(crate) fn theirs_told(&self) -> Vec<Told> {
        let mut told = self.transcripts();
        assert_eq!(told.len(), self.files.len(), "answers of nix repl");
        let good: Vec<usize> = (0..told.len())
            .filter(|&index| told[index].outcome.is_ok())
            .collect();
        for (&index, value) in good.iter().zip(self.theirs_printed(&good, Form::Strict)) {
            told[index].outcome = value;
        }
        told
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

    /// What is told, and which fail; the values of the others are empty.
    fn transcripts(&self) -> Vec<Told> {
        let mut input = String::new();
        for file in &self.files {
            let _ = writeln!(input, "{}", deeply(file));
        }
        let mut log = tempfile::tempfile().unwrap();
        let mut child = self
            .command("nix")
            .args(["repl", "--quiet", "--show-trace"])
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
        answers
            .map(|answer| {
                let outcome = self.answer(answer);
                let told = answer.split_once('\n').map_or("", |(_, told)| told);
                let told = match outcome {
                    Ok(_) => told.replace(FINE, ""),
                    Err(_) => told.to_owned(),
                };
                // The last prompt has no line.
                let told = told.trim_end().trim_end_matches("nix-repl>");
                Told {
                    outcome,
                    transcript: self.plain(told),
                }
            })
            .collect()
    }

    fn answer(&self, answer: &str) -> Outcome {
        let lines = || answer.lines().map(str::trim);
        if lines().any(|line| line == FINE) {
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

/// The repl's answer to an evaluation that succeeds: in colours, whatever the terminal.
const FINE: &str = "\u{1b}[35;1m\"fine\"\u{1b}[0m";

/// What evaluates all of a file.
fn deeply(file: &Path) -> String {
    format!("builtins.deepSeq (import {}) \"fine\"", file.display())
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
