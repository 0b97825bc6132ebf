//! What evaluation says when it fails: its first line is stock Nix's, on which tools match; and no limit of the system ends it
//! in a panic or a signal.

use crate::for_each_user;
use crate::support::oracle;
use crate::support::ran::Ran;

/// The arguments of `nix-instantiate` that fail, one case a line.
const CASES: &str = include_str!("error_lines.txt");

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
            if found != expected || stock.code != 1 || ours.code != 1 {
                wrong.push(format!(
                    "{arguments}\n  Nix    {}: {expected}\n  xbuild {}: {found}",
                    stock.code, ours.code
                ));
            }
        }
        assert!(cases >= 150, "only {cases} cases");
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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
        for file in ["memory.nix", "lists.nix"] {
            let script = format!("ulimit -v 1500000; exec \"$xbuild\" eval {file}");
            let ran = world.shell(&script).fails(1).says(&["error: out of memory"]);
            assert_eq!(ran.stderr, "error: out of memory\n");
        }
        for small in ["64", "256"] {
            let deep = "let f = x: 1 + f x; in f 1";
            let script = format!("ulimit -s {small}; exec \"$xbuild\" eval -E '{deep}'");
            world
                .shell(&script)
                .fails(1)
                .says(&["stack overflow; max-call-depth exceeded"]);
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
