//! Files are parsed ahead of their import, which shows in nothing.

#![allow(clippy::unwrap_used)] // A test may panic.

use std::fs;
use std::path::Path;

use xbuild_eval::local_host::LocalHost;
use xbuild_eval::{Evaluator, Settings, stack};

/// What an evaluation leaves: the printed value or the rendered error, and the names in the order of their symbols.
type Outcome = (Result<String, String>, Vec<&'static [u8]>);

fn evaluate(file: &Path, settings: &Settings, parse_ahead: bool) -> Outcome {
    let settings = Settings {
        parse_ahead,
        ..settings.clone()
    };
    stack::with_big_stack(|| {
        let mut evaluator = Evaluator::new(Box::new(LocalHost::new()), settings);
        let value = evaluator
            .eval_file(file)
            .and_then(|value| evaluator.print(value, true));
        let shown = match value {
            Ok(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
            Err(error) => Err(evaluator.render(&error, true)),
        };
        (shown, evaluator.symbols.names().to_vec())
    })
    .unwrap()
}

/// Evaluates often, since what is parsed ahead differs from time to time.
fn same(file: &Path, settings: &Settings) -> Result<String, String> {
    let expected = evaluate(file, settings, false);
    for _ in 0..20 {
        assert_eq!(evaluate(file, settings, true), expected);
    }
    expected.0
}

fn write(dir: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let file = dir.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
}

#[test]
fn values_places_and_symbols_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mut top = String::from("let m = import ./m; in [ (map (f: import f { }) [ ");
    for number in 0..40 {
        let before = number / 2;
        let text = format!(
            "{{ zeta{number} ? {number}, ... }}@args: let alpha{number} = {{ beta = __curPos.line; inherit zeta{number}; }}; in\n\
             assert alpha{number}.beta == 2 -> args == {{ }};\n\
             {{ inherit alpha{number}; \"quoted {number}\" = {{ a.b.c{number} = rec {{ x = 1; y = x; }}; }}; file = ./sub/../x-{number};\n\
             more = {}; pos = builtins.unsafeGetAttrPos \"beta\" alpha{number}; }}",
            if number == 0 {
                "null".into()
            } else {
                format!("(import ./file-{before}.nix {{ }}).file")
            },
        );
        write(dir, &[(&format!("file-{number}.nix"), &text)]);
        top.push_str(&format!("./file-{number}.nix "));
    }
    top.push_str("]) (m ./unused.nix ./link.nix) (with import ./sub/scope.nix; gamma) ]");
    write(
        dir,
        &[
            ("default.nix", &top),
            (
                "m/default.nix",
                "unused: link: import link // { delta = import ../m/part.nix; }",
            ),
            (
                "m/part.nix",
                "let inherit (import ../sub/scope.nix) gamma; in gamma 2",
            ),
            ("unused.nix", "this is not ] of the language"),
            ("real.nix", "{ epsilon = ./file-1.nix; }"),
            (
                "sub/scope.nix",
                "{ gamma = { __functor = self: x: x + 1; }; }",
            ),
        ],
    );
    std::os::unix::fs::symlink("real.nix", dir.join("link.nix")).unwrap();
    let printed = same(&dir.join("default.nix"), &Settings::default()).unwrap();
    assert!(printed.contains("epsilon"), "{printed}");
}

#[test]
fn errors_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(
        dir,
        &[
            ("syntax.nix", "[ (import ./bad.nix) ./good.nix ]"),
            ("bad.nix", "{ a = 1;\n b = ; }"),
            ("good.nix", "{ }"),
            ("undefined.nix", "map import [ ./good.nix ./name.nix ]"),
            ("name.nix", "{ }: nowhere"),
            (
                "absent.nix",
                "map import [ ./good.nix ./absent ./name.nix ]",
            ),
            (
                "argument.nix",
                "map (f: import f { b = 1; c = 2; a = 3; }) [ ./call.nix ]",
            ),
            ("call.nix", "{ z, c ? z, b ? 1 }: b"),
            ("assertion.nix", "map import [ ./good.nix ./assert.nix ]"),
            (
                "assert.nix",
                "let one = 1; in assert one == 1 && !(one < 2); one",
            ),
        ],
    );
    let fails = |name: &str, with: &str| {
        let error = same(&dir.join(name), &Settings::default()).unwrap_err();
        assert!(error.contains(with), "{error}");
    };
    fails("syntax.nix", "bad.nix:2");
    fails("undefined.nix", "undefined variable 'nowhere'");
    fails("absent.nix", "does not exist");
    fails("argument.nix", "called without required argument 'z'");
    fails("assertion.nix", "one == 1");
}

#[test]
fn what_may_not_be_read_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    write(
        &dir,
        &[
            (
                "allowed/default.nix",
                "{ good = map import [ ./part.nix ]; bad = [ ../secret.nix ./link/secret.nix ]; }",
            ),
            ("allowed/part.nix", "1"),
            ("secret.nix", "{ secret = 1; }"),
        ],
    );
    std::os::unix::fs::symlink("..", dir.join("allowed/link")).unwrap();
    let accessed = |name: &str| {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = fs::metadata(dir.join(name)).unwrap();
        (metadata.atime(), metadata.atime_nsec())
    };
    // Such an old access is noted anew even where file systems note few.
    let old = std::time::SystemTime::UNIX_EPOCH;
    let times = fs::FileTimes::new().set_accessed(old);
    for name in ["secret.nix", "allowed/part.nix"] {
        let file = fs::File::options()
            .write(true)
            .open(dir.join(name))
            .unwrap();
        file.set_times(times).unwrap();
    }
    let settings = Settings {
        restrict: true,
        allowed_paths: vec![dir.join("allowed")],
        ..Settings::default()
    };
    same(&dir.join("allowed/default.nix"), &settings).unwrap();
    assert_eq!(accessed("secret.nix"), (0, 0));
    if accessed("allowed/part.nix") == (0, 0) {
        eprintln!(
            "this file system does not note when files are read: only the values were compared"
        );
    }
}
