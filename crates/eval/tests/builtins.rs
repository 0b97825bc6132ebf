//! The builtins compared with those of stock Nix: values, and the messages of errors.

#![allow(clippy::unwrap_used)] // A test may panic.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use xbuild_eval::local_host::LocalHost;
use xbuild_eval::{Evaluator, Settings, stack};

/// Where the installed stock Nix is.
fn oracle() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/oracle");
    let oracle = std::env::var_os("XBUILD_ORACLE").map_or_else(default, PathBuf::from);
    assert!(
        oracle.join("bin/nix-instantiate").exists(),
        "no stock Nix at {}: run tests/setup",
        oracle.display()
    );
    oracle
}

/// Files that expressions read, and a store for stock Nix.
struct Fixture {
    dir: tempfile::TempDir,
    oracle: PathBuf,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = dir.path().join("files");
        fs::create_dir_all(files.join("sub")).unwrap();
        fs::write(files.join("hello.txt"), "hello\n").unwrap();
        fs::write(files.join("nul.bin"), "a\0b").unwrap();
        fs::write(
            files.join("expr.nix"),
            "let x = 1; in { inherit x; y = [ ./sub ./. ] == [ ]; }",
        )
        .unwrap();
        fs::write(files.join("sub/deep.txt"), "deep").unwrap();
        fs::write(
            files.join("positions.nix"),
            include_str!("builtins/positions.nix"),
        )
        .unwrap();
        for (target, link) in [
            ("hello.txt", "link"),
            ("nowhere", "dangling"),
            ("sub", "dirlink"),
            ("loop", "loop"),
            ("sub", "step0"),
        ] {
            std::os::unix::fs::symlink(target, files.join(link)).unwrap();
        }
        // More than the system follows.
        for step in 1..=50 {
            let target = format!("step{}", step - 1);
            std::os::unix::fs::symlink(target, files.join(format!("step{step}"))).unwrap();
        }
        let odd = dir.path().join("odd");
        fs::create_dir(&odd).unwrap();
        std::os::unix::net::UnixListener::bind(odd.join("socket")).unwrap();
        Self {
            dir,
            oracle: oracle(),
        }
    }

    /// The expressions of a case file.
    fn cases(&self, text: &str) -> Vec<String> {
        let dir = self.dir.path().join("files");
        text.lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| line.replace("@dir@", dir.to_str().unwrap()))
            .collect()
    }

    fn stock(&self, expressions: &[&str]) -> Output {
        Command::new(self.oracle.join("bin/nix-instantiate"))
            .args(["--eval", "--strict", "-E"])
            .args(expressions)
            .env("NIX_CONF_DIR", self.oracle.join("conf"))
            .env(
                "NIX_REMOTE",
                format!("local?root={}", self.dir.path().join("store").display()),
            )
            .env("NIX_PATH", "")
            .env("HOME", self.dir.path())
            .current_dir("/")
            .output()
            .unwrap()
    }
}

/// What xbuild makes of an expression: the printed value, or the error's message.
fn ours(expression: &str) -> Result<String, String> {
    let expression = expression.to_owned();
    stack::with_big_stack(move || {
        let settings = Settings {
            system: "x86_64-linux".to_owned(),
            read_only: true,
            // As in the oracle's nix.conf.
            features: ["nix-command", "flakes"].map(str::to_owned).into(),
            ..Settings::default()
        };
        let mut ev = Evaluator::new(Box::new(LocalHost::new()), settings);
        let value = ev
            .eval_expr(&expression, Path::new("/"))
            .map_err(|error| error.to_string())?;
        let printed = ev.print(value, true).map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&printed).into_owned())
    })
    .unwrap()
}

/// Collects the differences, so that one run shows them all.
fn report(differences: &[String]) {
    assert!(
        differences.is_empty(),
        "{} differences:\n\n{}",
        differences.len(),
        differences.join("\n\n")
    );
}

#[test]
fn values_are_those_of_stock_nix() {
    let fixture = Fixture::new();
    let cases = fixture.cases(include_str!("builtins/values.txt"));
    let expressions: Vec<&str> = cases.iter().map(String::as_str).collect();
    let mut expected = Vec::new();
    // One process evaluates many expressions, and stops at the first that fails.
    while expected.len() < cases.len() {
        let output = fixture.stock(&expressions[expected.len()..]);
        expected.extend(
            String::from_utf8_lossy(&output.stdout)
                .lines()
                .map(|line| Ok(line.to_owned())),
        );
        if !output.status.success() {
            expected.push(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
    }
    assert_eq!(expected.len(), cases.len());
    let mut differences = Vec::new();
    for (case, expected) in cases.iter().zip(expected) {
        match (ours(case), expected) {
            (_, Err(error)) => differences.push(format!("{case}\n  stock Nix fails: {error}")),
            (Ok(found), Ok(expected)) if found == expected => {}
            (found, Ok(expected)) => differences.push(format!(
                "{case}\n  expected {expected}\n  found    {found:?}"
            )),
        }
    }
    report(&differences);
}

#[test]
fn errors_are_those_of_stock_nix() {
    let fixture = Fixture::new();
    let cases = fixture.cases(include_str!("builtins/errors.txt"));
    let mut differences = Vec::new();
    for case in &cases {
        let (case, own_words) = match case.strip_prefix("~ ") {
            Some(case) => (case, true),
            None => (case.as_str(), false),
        };
        let output = fixture.stock(&[case]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            differences.push(format!(
                "{case}\n  stock Nix gives {}",
                String::from_utf8_lossy(&output.stdout)
            ));
            continue;
        }
        // The message is the last one: those before are of the trace.
        let expected = stderr
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix("error: "))
            .next_back();
        let expected = expected.unwrap_or_default();
        match ours(case) {
            Err(_) if own_words => {}
            Err(found) if found.lines().next().unwrap_or_default() == expected => {}
            found => differences.push(format!(
                "{case}\n  expected {expected:?}\n  found    {found:?}"
            )),
        }
    }
    report(&differences);
}

/// Without `--strict`, what is not evaluated yet shows as such.
#[test]
fn what_is_not_evaluated_shows_as_in_stock_nix() {
    let fixture = Fixture::new();
    let expressions = [
        "{ a = x: x; b = [ (x: x) ]; }",
        "{ a = 1 + 1; b = -1; c = [ (1 + 1) 1 ]; d = 1; e = \"s\"; f = [ ]; g = { }; h = 1.5; }",
        "let f = x: x; in { inherit f; g = f; }",
        "rec { a = 1; b = a; c = a + 1; d = [ a ]; }",
        "builtins.attrValues { a = 1; b = x: x; }",
        "{ a = 1; } // { b = 2 + 1; c = x: x; ${\"d\"} = 1 + 1; }",
        "[ 1 ] ++ [ (1 + 1) (x: x) map ]",
        "{ __functor = self: x: x; }",
        "let s = { a = x: x; b = 1; }; in builtins.seq s.b s",
        "x: x",
    ];
    let stock = Command::new(fixture.oracle.join("bin/nix-instantiate"))
        .args(["--eval", "-E"])
        .args(expressions)
        .env("NIX_CONF_DIR", fixture.oracle.join("conf"))
        .env("NIX_REMOTE", "dummy://")
        .env("HOME", fixture.dir.path())
        .output()
        .unwrap();
    let stock = String::from_utf8(stock.stdout).unwrap();
    let ours = stack::with_big_stack(move || {
        let mut ev = Evaluator::new(Box::new(LocalHost::new()), Settings::default());
        expressions.map(|expression| {
            let value = ev.eval_expr(expression, Path::new("/")).unwrap();
            String::from_utf8(ev.print(value, false).unwrap()).unwrap()
        })
    })
    .unwrap();
    assert_eq!(ours.to_vec(), stock.lines().collect::<Vec<_>>());
}

/// What a directory had in it is kept, until it has something else in it.
#[test]
fn directories_are_read_again_once_they_have_changed() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("first"), "").unwrap();
    // A directory that has just changed is not kept: it might change again, within the resolution of a file's times.
    std::thread::sleep(std::time::Duration::from_secs(4));
    let expression = format!(
        "builtins.attrNames (builtins.readDir {})",
        dir.path().display()
    );
    let path = dir.path().to_owned();
    let read = stack::with_big_stack(move || {
        let mut ev = Evaluator::new(Box::new(LocalHost::new()), Settings::default());
        let mut read = || {
            let value = ev.eval_expr(&expression, Path::new("/")).unwrap();
            String::from_utf8_lossy(&ev.print(value, true).unwrap()).into_owned()
        };
        let mut texts = vec![read(), read()];
        fs::write(path.join("second"), "").unwrap();
        texts.push(read());
        fs::remove_file(path.join("first")).unwrap();
        texts.push(read());
        texts
    })
    .unwrap();
    assert_eq!(
        read,
        [
            "[ \"first\" ]",
            "[ \"first\" ]",
            "[ \"first\" \"second\" ]",
            "[ \"second\" ]"
        ]
    );
}

/// A string or list to which something is added again and again takes memory once, whichever builtin adds it.
#[test]
fn what_grows_takes_memory_once() {
    let growing = [
        r#"builtins.concatStringsSep "," [ acc (toString x) ]"#,
        r#"builtins.concatStringsSep "" [ "<" acc ">" ]"#,
        "builtins.concatLists [ acc [ x ] ]",
        "builtins.concatLists [ [ x ] acc [ x ] ]",
        "builtins.concatMap (part: part) [ [ x ] [ x ] acc [ x ] ]",
    ];
    for step in growing {
        let start = if step.contains("Strings") {
            "\"\""
        } else {
            "[ ]"
        };
        let text =
            format!("builtins.foldl' (acc: x: {step}) {start} (builtins.genList (x: x) 20000)");
        let allocated = stack::with_big_stack(|| {
            let mut ev = Evaluator::new(Box::new(LocalHost::new()), Settings::default());
            let before = ev.heap.allocated_bytes();
            ev.eval_expr(&text, Path::new("/")).unwrap();
            ev.heap.allocated_bytes() - before
        });
        let allocated = allocated.unwrap();
        assert!(allocated < 16 << 20, "{step}: {allocated} bytes");
    }
}
