//! `xbuild repl`, by scripts and in a terminal.

use std::io::Write as _;
use std::process::Stdio;

use crate::for_each_user;
use crate::support::ran::Ran;
use crate::support::world::World;

/// What the repl makes of a script.
fn repl(world: &World, args: &[&str], script: impl AsRef<[u8]>) -> Ran {
    let script = script.as_ref();
    let mut all = vec!["repl"];
    all.extend(args);
    let mut command = world.command(&all);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script).unwrap();
    let output = child.wait_with_output().unwrap();
    let script = String::from_utf8_lossy(script);
    Ran::new(format!("xbuild repl {args:?} with {script:?}"), &output)
}

fn executable(world: &World, name: &str, text: &str) -> std::path::PathBuf {
    let file = world.write(name, text);
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    file
}

for_each_user! {
    fn values(world) {
        let shown = |script: &str| repl(world, &[], script).succeeds().stdout;
        assert_eq!(shown("1 + 1\n"), "2\n\n");
        assert_eq!(shown("x = 20\nx * 2 + y\ny = x\ny\n"), "\n\n\n20\n\n");
        assert_eq!(shown("{ a = { b = 1; }; c = [ 1 ]; d = \"x\\ny\"; }\n"), "{\n  a = { ... };\n  c = [ ... ];\n  d = \"x\\ny\";\n}\n\n");
        assert_eq!(shown(":p { a = { b = 1; }; c = [ 1 2 ]; }\n"), "{\n  a = { b = 1; };\n  c = [\n    1\n    2\n  ];\n}\n\n");
        assert_eq!(shown(":p \"a\\nb\"\n"), "a\nb\n\n");
        assert_eq!(shown("inherit (builtins) map\nmap\na.b.c = 1\na.b\n"), "\n«primop map»\n\n\n{ c = 1; }\n\n");
        assert_eq!(shown("let\n  x = 1;\nin\nx\n\"a\nb\"\n"), "1\n\n\"a\\nb\"\n\n");
        assert_eq!(shown("f = {\n  a = 1;\n}\nf.a\n"), "\n1\n\n");
        for (value, kind) in [("1", "an integer"), ("1.5", "a float"), ("x: x", "a function"), ("{ }", "a set"), ("null", "null"), ("map", "the built-in function 'map'"), ("[ ]", "a list"), ("./.", "a path"), ("\"\"", "a string")] {
            assert_eq!(shown(&format!(":t {value}\n")), format!("{kind}\n\n"));
        }
        // What is bound has the places of the text as it was typed.
        assert_eq!(shown("a = 1; f = x: x;\nf\nb = 2; inherit (builtins\n) head\nhead\n"), "\n«lambda f @ «string»:1:12»\n\n\n«primop head»\n\n");
        // A later binding does not change what an earlier one was.
        assert_eq!(shown("a = 1\nb = a\na = 2\nb\n"), "\n\n\n1\n\n");
    }

    fn lines_that_are_no_text(world) {
        let ran = repl(world, &[], b"1\n\xff\xfe\n2\n").succeeds();
        let values: Vec<&str> = ran.stdout.split_whitespace().collect();
        assert_eq!(values, ["1", "2"], "{}", ran.report());
        ran.says(&["error:"]);
    }

    fn errors(world) {
        let ran = repl(world, &[], "throw \"one\"\nundefined\n1 +* 2\n:nonsense\n:st\n:i 1\n:u 1\n:load ./nowhere.nix\n:doc 1\n:b 1\n:lf\n3\n").succeeds();
        assert_eq!(ran.stdout.trim(), "3");
        ran.says(&[
            "error: one",
            "error: undefined variable 'undefined'",
            "error: syntax error",
            "error: unknown command ':nonsense'",
            "no command ':st' here",
            "xbuild has none",
            "nowhere.nix' does not exist",
            "value does not have documentation",
            "expression does not evaluate to a derivation",
            "':load-flake' without a path",
        ]);
        for path in ["foo", "/nix/store/foo"] {
            let derivation = format!("{{ type = \"derivation\"; drvPath = \"{path}\"; }}\n");
            repl(world, &[], &derivation).succeeds().says(&[&format!("path '{path}' is not in the Nix store")]);
        }
        // What never ended is told at the end.
        repl(world, &[], "{ a = 1;\n").succeeds().says(&["unexpected end of file"]);
        // Frames are shown on demand.
        let frames = "f = x: throw \"deep\"\nf 1\n:te\nf 1\n:te false\n";
        let ran = repl(world, &[], frames).succeeds().says(&["while calling 'f'"]);
        assert!(ran.stdout.contains("showing error traces"), "{}", ran.report());
    }

    fn files(world) {
        world.write("lib.nix", "{ n ? 1 }: {\n  /** Doubles.\n\n      Twice. */\n  double = x: x * 2;\n  /** The answer. */\n  answer = 42 + n; }\n");
        let ran = repl(world, &[], ":l ./lib.nix\ndouble answer\n:ll\n").succeeds().says(&["Added 2 variables.", "answer, double"]);
        assert_eq!(ran.stdout, "\n86\n\nanswer\ndouble\n\n");
        assert_eq!(repl(world, &["lib.nix", "--arg", "n", "8"], "answer\n").succeeds().stdout, "50\n\n");
        assert_eq!(repl(world, &["--expr", "{ z = 3; }"], "z\n").succeeds().stdout, "3\n\n");
        // With a file or an expression, names are attributes of it.
        world.write("deep.nix", "{ n ? 1 }: { a.b = { c = n; }; z = 3; }");
        for args in [&["-f", "deep.nix", "a.b"][..], &["-f", "deep.nix", "a", "a.b"], &["-E", "{ a.b.c = 1; }", "a.b"]] {
            assert_eq!(repl(world, args, "c\n").succeeds().stdout, "1\n\n");
        }
        // What cannot be loaded ends it, as it ends `nix repl`.
        for args in [&["nowhere.nix"][..], &["-E", "throw \"no\""], &["-f", "lib.nix", "nosuch"], &["lib.nix", "nowhere#x"]] {
            let ran = repl(world, args, "1\n").fails(1).says(&["error: "]);
            assert_eq!(ran.stdout, "", "{}", ran.report());
        }
        repl(world, &["-f", "deep.nix", "z"], "1\n").fails(1).says(&["Loading z...", "expected a set but found an integer: 3"]);
        repl(world, &["-f", "deep.nix", "nosuch"], "1\n").fails(1).says(&["attribute 'nosuch'"]);
        // A directory with a flake is that: the attributes of its outputs, or everything with `:lf`.
        world.write("flake/flake.nix", "{ outputs = { self }: { x = 1; lib.y = 2; }; }");
        for args in [&["path:./flake"][..], &["path:./flake#"]] {
            assert_eq!(repl(world, args, "x + lib.y\n").succeeds().says(&["Added 2 variables."]).stdout, "3\n\n");
        }
        assert_eq!(repl(world, &["path:./flake#lib"], "y\n").succeeds().stdout, "2\n\n");
        assert_eq!(repl(world, &[], ":lf path:./flake\noutputs.x + x\n").succeeds().stdout, "\n2\n\n");
        // An edited flake is fetched again.
        let editor = executable(world, "edit-flake", "#!/bin/sh\nsed -i 's/x = 1;/x = 5;/' \"$1\"\n");
        let mut command = world.command(&["repl"]);
        command.env("EDITOR", &editor).stdin(std::fs::File::open(world.write("script", ":lf path:./flake\nx\n:e ./flake/flake.nix\nx\n")).unwrap());
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "\n1\n\n\n5\n\n", "{output:?}");
        let ran = repl(world, &[], ":doc x: x\n").succeeds();
        assert!(ran.stdout.contains("Function `(anonymous)`\n\n  … defined at «string»:1:1"), "{}", ran.report());
        let ran = repl(world, &[], "l = import ./lib.nix { }\n:doc l.double\n:doc l.answer\n:doc builtins.map\n:doc map\n").succeeds();
        for text in ["Doubles.\n\nTwice.", "lib.nix:5:12", "Attribute `answer`", "The answer.", "Synopsis: builtins.map function list"] {
            assert!(ran.stdout.contains(text), "{text}\n{}", ran.report());
        }
        // `:r` reads what the editor has changed.
        let editor = executable(world, "editor", "#!/bin/sh\nsed -i s/42/60/ \"$1\"\n");
        let mut command = world.command(&["repl", "lib.nix"]);
        command.env("EDITOR", &editor).stdin(std::fs::File::open(world.write("script", "answer\n:e ./lib.nix\nanswer\n")).unwrap());
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "43\n\n\n61\n\n", "{output:?}");
    }

    fn building(world) {
        let script = "run = import ./run.nix\nd = run \"thing\" \"echo in the log; echo text >$out\" { }\nd\n:b d\n:bl d\n:log d\nbuiltins.readFile d\nimport (run \"nix\" \"echo 1 + 1 >$out\" { })\n:b run \"bad\" \"exit 3\" { }\n1\n";
        let ran = repl(world, &[], script).succeeds().says(&["exit code 100"]);
        for text in ["«derivation /nix/store/", "This derivation produced the following outputs:\n  out -> /nix/store/", "  ./repl-result-out -> /nix/store/", "in the log", "\"text\\n\"\n\n2\n", "\n1\n"] {
            assert!(ran.stdout.contains(text), "{text}\n{}", ran.report());
        }
        assert!(world.path("repl-result-out").symlink_metadata().is_ok());
        // Builds have the settings of the conversation, and what it says of them.
        let options = ["--option", "max-silent-time", "nonsense"];
        repl(world, &options, "").fails(1).says(&["max-silent-time"]);
        let script = ":b import ./run.nix \"slow\" \"echo loud; exec sleep 60\" { }\n";
        let options = ["--option", "timeout", "1", "--print-build-logs"];
        repl(world, &options, script).succeeds().says(&["loud", "timed out after 1 s"]);
    }

    /// With editing, completion, history, and Ctrl-C within builtins that take long.
    fn terminal(world) {
        let script = r#"
mkfifo typed
script -qfec "$xbuild repl" /dev/null <typed >shown 2>&1 &
exec 4>typed
shows() { # waits until the terminal has shown TEXT
  for i in $(seq 400); do if grep -aqF -- "$1" shown; then return; fi; sleep 0.05; done
  echo "the terminal does not show: $1" >&2; cat shown >&2; exit 1
}
prompts() { # waits until so many lines have been asked for: what is typed before that is lost
  for i in $(seq 400); do if [ "$(grep -ao '2004h' shown | wc -l)" -ge "$1" ]; then return; fi; sleep 0.05; done
  echo "the terminal does not ask for line $1" >&2; cat shown >&2; exit 1
}
prompts 1
printf '%s\r' '123 + 1' >&4
shows 124
prompts 2
printf 'builtins.attrN\t { q = 1; }\r' >&4
shows '"q"'
prompts 3
# Keys that are no text, and completion of what never ends.
printf '"\377\376" + 1\r' >&4
shows 'this line is no text'
prompts 4
printf '%s\r' 's = builtins.trace "completing" (builtins.genericClosure { startSet = [ { key = 0; } ]; operator = i: [ { key = i.key + 1; } ]; })' >&4
prompts 5
printf 's.x\t' >&4
shows 'trace: completing'
printf '\003' >&4
shows "$(printf '\007')"
printf '\025%s\r' '5000 + 50' >&4
shows 5050
prompts 6
printf '%s\r' 'builtins.trace "begun" (builtins.genericClosure { startSet = [ { key = 0; } ]; operator = i: [ { key = i.key + 1; } ]; })' >&4
shows 'trace: begun'
printf '\003' >&4
shows 'interrupted by the user'
line=7
while read -r long; do
  prompts $line
  printf '%s\r' "builtins.trace \"begun $line\" ($long)" >&4
  shows "trace: begun $line"
  printf '\003' >&4
  for i in $(seq 400); do if [ "$(grep -ac 'interrupted by the user' shown)" -ge $((line - 5)) ]; then break; fi; sleep 0.05; done
  line=$((line + 1))
done <<'END'
builtins.length (builtins.genList (x: x) 2000000000)
builtins.split "((a*)*)*b" (builtins.concatStringsSep "" (builtins.genList (x: "a") 100000))
builtins.replaceStrings (builtins.genList (x: "a${toString x}") 50000) (builtins.genList (x: "") 50000) (builtins.concatStringsSep "" (builtins.genList (x: "a") 1000000))
END
prompts $line
printf '%s\r' '40 + 2' >&4
shows 42
prompts $((line + 1))
printf '\004' >&4
exec 4>&-
wait
"#;
        world.shell(script).succeeds();
        let history = std::fs::read_to_string(world.root().join("home/.local/share/xbuild/repl-history")).unwrap();
        assert!(history.contains("123 + 1") && history.contains("builtins.attrNames { q = 1; }"), "{history}");
    }
}
