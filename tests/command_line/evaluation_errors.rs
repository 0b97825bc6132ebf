//! What evaluation says when it fails: its first line is stock Nix's, on which tools match; and no limit of the system ends it
//! in a panic or a signal.

use crate::for_each_user;
use crate::support::oracle;
use crate::support::ran::Ran;

/// The arguments of `nix-instantiate` that fail, one case a line.
const CASES: &str = include_str!("error_lines.txt");

/// What fails with Nix's whole text: arguments of `nix-instantiate --eval`, one case a line.
const WHOLE: &str = r#"-E 'import ./around.nix'
-E 'import ./around.nix' --show-trace
undefined.nix -A bad
last.nix -A b
-E '1 - "a"'
-E '{ abc = 1; }.abd'
-E '({ a, bc }: a) { a = 1; bd = 2; }'
-E '({ a }: a) 1'
-E '(x: x).a'
-E 'builtins.head [ ]'
-E 'builtins.map (x: x) 1'
-E 'if 1 then 2 else 3'
-E '1 && true'
-E '1 // { }'
-E '!1'
-E 'null < null'
-E '1 / 0'
-E '"${1}"'
-E '"a" + { }'
-E 'throw "a\nb"'
-E 'builtins.addErrorContext "more\nlines" (1 + null)'
-E 'builtins.elemAt [ 1 ] 2'
-E 'toString [ { } ]'
-E 'let x = x; in x'
-E 'builtins.fromJSON "{"'
-E 'rec { a = b; b = a; }.a'
-E 'import ./nowhere.nix'
-E 'builtins.readDir ./self/dir' --show-trace
-E 'builtins.readFile ./self'
-E 'builtins.filterSource (path: type: true) (derivation { name = "x"; system = "s"; builder = "b"; })' --read-write-mode --option allow-import-from-derivation false
-E '{ a.b = 1; }.a.c'
-E 'let s = { a = { }; }; in s.a.${"x"}.y'
-E '{ a.b = throw "x"; }.a.b.c' --show-trace
-E 'builtins.genericClosure { startSet = [ { key = 2; } { key = 1; } { key = [ 1 ]; } ]; operator = x: [ ]; }'
-E 'assert { a.b = [ 1 { d = 1; } ]; } == { a.b = [ 1 { d = 2; } ]; }; 1' --show-trace
-E 'assert [ { type = "derivation"; outPath = "/x"; } ] == [ { type = "derivation"; outPath = "/y"; } ]; 1' --show-trace
-E 'import (derivation { name = "x"; system = "s"; builder = "b"; })' --read-write-mode --option allow-import-from-derivation false
-E 'let f = n: throw "deep ${toString n}"; in builtins.foldl'"'"' (a: n: a + f n) 0 [ 1 2 ]'"#;

/// The message: behind the first `error:`, or, where a trace comes first, behind the second.
fn first_line(ran: &Ran) -> String {
    let mut lines = ran
        .stderr
        .lines()
        .skip_while(|line| !line.starts_with("error:"));
    let Some(line) = lines.next() else {
        return String::new();
    };
    let message = match line.trim_start_matches("error:").trim() {
        "" => lines
            .find_map(|line| line.strip_prefix("       error:"))
            .unwrap_or_default(),
        message => message,
    };
    message.trim().to_owned()
}

for_each_user! {
    /// Every case fails with Nix's first line.
    fn first_lines(world) {
        world.write("set.nix", r#"{
  good = 1; list = [ 1 { a = 2; } ]; inner = { value = 3; "with.dot" = 4; }; bad = throw "bad";
  fun = { x, y ? 1 }: { z = x + y; }; drv = derivation { name = "d"; system = "s"; builder = "b"; };
}
"#);
        world.write("fun.nix", "{ required, optional ? 1 }: { value = required; }\n");
        world.write("syntax.nix", "{ a = 1;\n  b = ;\n}\n");
        world.write("undef.nix", "{ a = 1;\n  b = undefinedVariable;\n}\n");
        world.write("eof.nix", "let x = 1;\n");
        world.write("twice.nix", "{ a = 1; a = 2; }\n");
        world.write("loop.nix", "import ./loop.nix\n");
        world.write("thrower.nix", "throw \"from a file\"\n");
        world.write("importer.nix", "{ a = import ./thrower.nix; }\n");
        world.write("dir/file", "x\n");
        for (target, link) in [("self", "self"), ("set.nix", "link.nix")] {
            std::os::unix::fs::symlink(target, world.path(link)).unwrap();
        }
        let mut wrong = Vec::new();
        let mut cases = 0;
        for arguments in CASES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            cases += 1;
            let stock = oracle::shell(
                "nix-instantiate",
                &world.root().join("stock"),
                &world.path(""),
                arguments,
            );
            let ours = world.shell(&format!("\"$xbuild\" instantiate {arguments}"));
            assert!(!ours.stderr.contains("panicked at"), "{}", ours.report());
            let (expected, found) = (first_line(&stock), first_line(&ours));
            if found != expected || stock.code == 0 || ours.code != stock.code {
                wrong.push(format!(
                    "{arguments}\n  Nix    {}: {expected}\n  xbuild {}: {found}",
                    stock.code, ours.code
                ));
            }
        }
        assert!(cases >= 150, "only {cases} cases");
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// Traces, places with the lines around them, and suggestions are printed as Nix prints them.
    fn whole_messages(world) {
        world.write("around.nix", "let\n  f = x: x + \"a\";\n  g = y:\n    f y;\nin\ng 1\n");
        world.write("undefined.nix", "{\n  long = 1;\n\n  bad = undefined;\n}\n");
        world.write("last.nix", "{ a = 1; b =\n  true + 1; }");
        for arguments in WHOLE.lines() {
            let stock = oracle::shell(
                "nix-instantiate",
                &world.root().join("stock"),
                &world.path(""),
                &format!("--eval {arguments}"),
            );
            let ours = world.shell(&format!("\"$xbuild\" instantiate --eval {arguments}"));
            assert_eq!(ours.stderr, stock.stderr, "{arguments}");
            assert_eq!((ours.code, stock.code), (1, 1), "{arguments}");
        }
    }

    /// Limits of memory, stack and file handles.
    fn limits(world) {
        world.write("set.nix", "{ a = 1; }");
        world.write(
            "memory.nix",
            "let double = s: n: if n == 0 then s else double (s + s) (n - 1); in builtins.stringLength (double \"0123456789\" 32)",
        );
        world.write(
            "lists.nix",
            "builtins.length (builtins.foldl' (a: n: a ++ builtins.genList (x: [ x n ]) 100000) [ ] (builtins.genList (x: x) 1000))",
        );
        world.write("long.nix", "builtins.length (builtins.genList (x: x) 1000000000)");
        world.write("concat.nix", "let l = builtins.genList (x: x) 100000; in builtins.length (builtins.concatMap (x: l) l)");
        world.write(
            "replace.nix",
            "let double = s: n: if n == 0 then s else double (s + s) (n - 1); in builtins.stringLength (builtins.replaceStrings [ \"\" ] [ (double \"0123456789\" 10) ] (double \"0123456789\" 20))",
        );
        for file in ["memory.nix", "lists.nix", "long.nix", "concat.nix", "replace.nix"] {
            let script = format!("ulimit -v 1500000; exec \"$xbuild\" eval {file}");
            let ran = world.shell(&script).fails(1).says(&["error: out of memory"]);
            assert_eq!(ran.stderr.lines().count(), 2, "{}", ran.report());
        }
        // With less, too, it ends in a value or in an error that says what to do.
        for limit in [60_000, 100_000, 155_000, 160_000, 200_000, 300_000, 600_000] {
            let small = "builtins.foldl' builtins.add 0 (builtins.genList (x: x) 1000)";
            for (expression, value) in [(format!("\"{small}\""), "499500\n"), ("\"$(cat lists.nix)\"".to_owned(), "")] {
                let ran = world.shell(&format!("ulimit -v {limit}; exec \"$xbuild\" eval -E {expression}"));
                let refused = ran.code == 1 && ran.stderr.starts_with("error: ") && ran.stderr.contains("\nhint: ");
                assert!(refused || (ran.code == 0 && ran.stdout == value), "{limit}\n{}", ran.report());
            }
        }
        for small in ["64", "256"] {
            let deep = "let f = x: 1 + f x; in f 1";
            let script = format!("ulimit -s {small}; exec \"$xbuild\" eval -E '{deep}'");
            world
                .shell(&script)
                .fails(1)
                .says(&["stack overflow; max-call-depth exceeded"]);
        }
        // Stock Nix ends here with a stack of its own, and the same words.
        world
            .xbuild(&["eval", "-E", "let f = n: { x = (f (n + 1)).x; }; in (f 0).x"])
            .fails(1)
            .says(&["error: stack overflow (possible infinite recursion)"]);
        // So does one that goes through high expressions, between whose calls there is much stack.
        for (open, close) in [("[ 1 ] ++ ", ""), ("!", ""), ("", " + 1"), ("\"${", "}\"")] {
            let high = [open.repeat(4900), "f (n + 1)".to_owned(), close.repeat(4900)].concat();
            world.write("high.nix", format!("let f = n: {high}; in f 0"));
            world
                .xbuild(&["eval", "-f", "high.nix"])
                .fails(1)
                .says(&["error: stack overflow"]);
        }
        // Every file is closed again.
        let many = "builtins.length (builtins.filter (i: builtins.stringLength (builtins.readFile ./set.nix + toString (builtins.attrNames (builtins.readDir ./.))) > i) (builtins.genList (i: i) 2000)) >= 0";
        let script = format!("ulimit -n 24; exec \"$xbuild\" eval -E '{many}'");
        assert_eq!(world.shell(&script).succeeds().stdout, "true\n");
    }

    /// Ctrl-C ends it at once, also while the evaluation itself has something built.
    fn interrupted(world) {
        let mut evaluating = world.start(&["eval", "-E", "builtins.trace \"begun\" (let f = n: if n == 0 then 0 else f (n - 1); in builtins.length (builtins.genList (x: f 5000) 1000000) + builtins.foldl' (a: x: a + f 5000) 0 (builtins.genList (x: x) 10000000))"]);
        evaluating.wait_for("trace: begun");
        evaluating.signal(rustix::process::Signal::INT);
        evaluating.end().fails(130);
        world.write("built.nix", r#"import ((import ./run.nix) "imported" "echo in the builder; sleep 1000" { })"#);
        let mut building = world.start(&["eval", "built.nix"]);
        building.wait_for("imported");
        building.signal(rustix::process::Signal::INT);
        building.end().fails(130).says(&["interrupt"]);
    }
}
