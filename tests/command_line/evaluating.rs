//! `xbuild eval` and `xbuild instantiate`: their options, compared with stock Nix where it has the same.

use crate::for_each_user;
use crate::support::oracle::nix;

for_each_user! {
    fn forms_of_output(world) {
        let eval = |args: &[&str]| {
            let mut all = vec!["eval"];
            all.extend(args);
            world.xbuild(&all).succeeds().stdout
        };
        let expression = r#"{ b = [ 1 2.5 null true ]; a = "text\n\${x}"; f = x: x; p = ./run.nix; lazy = throw "not needed"; }"#;
        assert_eq!(eval(&["--expr", expression, "-A", "b"]), "[ 1 2.5 null true ]\n");
        assert_eq!(eval(&["-E", "{ a = 1 + 1; }"]), "{ a = <CODE>; }\n");
        assert_eq!(eval(&["--strict", "-E", "{ a = 1 + 1; f = x: x; }"]), "{ a = 2; f = <LAMBDA>; }\n");
        assert_eq!(eval(&["--json", "-E", expression, "-A", "b"]), "[1,2.5,null,true]\n");
        assert_eq!(eval(&["--raw", "-E", expression, "-A", "a"]), "text\n${x}");
        assert_eq!(eval(&["--parse", "-E", "let x = 1; in { inherit x; y.z = x: x + 1; }"]), "(let x = 1; in { inherit x; y = { z = (x: (x + 1)); }; })\n");
        world.write("function.nix", r#"{ n ? 1, name, extra ? "" }: { greeting = "${name} ${toString (n + 1)}${extra}"; }"#);
        assert_eq!(eval(&["function.nix", "-A", "greeting", "--arg", "n", "40 + 1", "--argstr", "name", "1 + 1"]), "\"1 + 1 42\"\n");
        world.write("lib/thing.nix", r#""found""#);
        assert_eq!(eval(&["-I", "lib", "-E", "import <thing.nix>"]), "\"found\"\n");
        assert_eq!(eval(&["-I", "mine=lib", "-E", "import <mine/thing.nix>"]), "\"found\"\n");
        let mut command = world.command(&["eval", "-E", "import <mine/thing.nix>"]);
        command.env("NIX_PATH", format!("mine={}", world.path("lib").display()));
        assert_eq!(command.output().unwrap().stdout, b"\"found\"\n");
        // An expression from standard input.
        let mut command = world.command(&["eval", "--strict", "-"]);
        command.stdin(std::fs::File::open(world.write("input", "[ (1 + 2) ]")).unwrap());
        assert_eq!(command.output().unwrap().stdout, b"[ 3 ]\n");
    }

    fn errors(world) {
        world.write("default.nix", "{\n  good = 1;\n  bad = let x = { inner = 1; }; in x.iner;\n  broken = throw \"on purpose\";\n  deep = let f = n: f (n + 1); in f 0;\n  loop = let x = x + 1; in x;\n}\n");
        world.xbuild(&["eval", "default.nix", "-A", "bad"]).fails(1).says(&["iner", "Did you mean inner?", "default.nix:3:"]);
        world.xbuild(&["eval", "default.nix", "-A", "goood"]).fails(1).says(&["goood", "good"]);
        world.xbuild(&["eval", "default.nix", "-A", "broken"]).fails(1).says(&["on purpose"]);
        // As stock Nix indents it, with a trace before it and without.
        for expression in [r#"throw "one\ntwo""#, r#"let x = throw "one\ntwo"; in x + 1"#] {
            world.xbuild(&["eval", "-E", expression]).fails(1).says(&["error: one\n       two\n"]);
        }
        world.xbuild(&["eval", "default.nix", "-A", "deep"]).fails(1).says(&["max-call-depth"]);
        world.xbuild(&["eval", "default.nix", "-A", "loop"]).fails(1).says(&["infinite recursion"]);
        world.xbuild(&["eval", "-E", "{ a = 1; b = }"]).fails(1).says(&["{ a = 1; b = }", "^"]);
        world.xbuild(&["eval", "nowhere.nix"]).fails(1).says(&["nowhere.nix"]);
        world.xbuild(&["eval", "--raw", "-E", "{ }"]).fails(1);
        world.xbuild(&["eval", "--json", "-E", "x: x"]).fails(1);
        world.xbuild(&["eval", "-E", "<not-there>"]).fails(1).says(&["not-there"]);
        world.xbuild(&["eval", "--json", "--raw", "-E", "1"]).fails(2);
        world.xbuild(&["eval"]).fails(2);
    }

    /// The same `.drv` paths, whatever the way to name them.
    fn same_as_stock_nix(world) {
        world.write(
            "default.nix",
            r#"{ suffix ? "" }: let run = import ./run.nix; in {
                 one = run "one${suffix}" "echo >$out" { outputs = [ "out" "dev" ]; };
                 list = [ (run "a" "" { }) (run "b" "" { x = builtins.toFile "file" "content"; y = ./run.nix; }) ];
                 recurse = { recurseForDerivations = true; c = run "c" "" { }; not = { d = run "d" "" { }; }; };
               }"#,
        );
        let stock = world.root().join("stock");
        let file = world.path("default.nix");
        let file = file.to_str().unwrap();
        for args in [
            vec![file],
            vec![file, "-A", "one"],
            vec![file, "-A", "one.dev"],
            vec![file, "-A", "list", "-A", "one"],
            vec![file, "-A", "list.1"],
            vec![file, "-A", "recurse"],
            vec![file, "-A", "one", "--argstr", "suffix", "-x"],
            vec![file, "-A", "one", "--arg", "suffix", "\"-\" + \"y\""],
        ] {
            let mut ours = vec!["instantiate"];
            ours.extend(&args);
            let theirs = nix("nix-instantiate", &stock, &args).succeeds();
            assert_eq!(world.xbuild(&ours).succeeds().stdout, theirs.stdout, "{args:?}");
        }
    }
}
