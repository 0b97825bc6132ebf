//! `xbuild eval` and `xbuild instantiate`: their options, compared with stock Nix where it has the same.

use crate::for_each_user;
use crate::support::oracle::{self, nix};
use crate::support::ran::Ran;

for_each_user! {
    fn forms_of_output(world) {
        let eval = |args: &[&str]| {
            let mut all = vec!["eval"];
            all.extend(args);
            world.xbuild(&all).succeeds().stdout
        };
        let expression = r#"{ b = [ 1 2.5 null true ]; a = "text\n\${x}"; f = x: x; p = ./run.nix; lazy = throw "not needed"; }"#;
        assert_eq!(eval(&["--expr", expression, "-A", "b"]), "[ 1 2.5 null true ]\n");
        assert_eq!(eval(&["-E", "{ a = builtins.length [ ]; }"]), "{ a = <CODE>; }\n");
        assert_eq!(eval(&["--strict", "-E", "{ a = 1 + 1; f = x: x; }"]), "{ a = 2; f = <LAMBDA>; }\n");
        assert_eq!(eval(&["--json", "-E", expression, "-A", "b"]), "[1,2.5,null,true]\n");
        assert_eq!(eval(&["--json", "-E", "{ a = 1 + 1; }"]), "{\"a\":2}\n");
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

    fn options_of_nix_that_change_nothing_here(world) {
        let flags = ["eval", "--refresh", "--no-eval-cache", "--no-substitute", "--fallback", "-E", "1"];
        assert_eq!(world.xbuild(&flags).succeeds().line(), "1");
        assert_eq!(world.xbuild(&["eval", "--offline", "-E", "1"]).succeeds().line(), "1");
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
        // What `nix eval` shows in its place fails where all is wanted.
        world.write("part.nix", "{ a = throw \"inside\"; }");
        assert_eq!(world.xbuild(&["eval", "-f", "part.nix"]).succeeds().line(), "{ a = «error: inside»; }");
        world.xbuild(&["eval", "--strict", "-f", "part.nix"]).fails(1).says(&["inside"]);
        world.xbuild(&["eval", "-E", "<not-there>"]).fails(1).says(&["not-there"]);
        world.xbuild(&["eval", "--json", "--raw", "-E", "1"]).fails(2);
        // Where nothing is named, it is the current directory, and with -A its file.
        world.xbuild(&["eval"]).fails(1).says(&["on purpose"]);
        assert_eq!(world.xbuild(&["eval", "-A", "good"]).succeeds().line(), "1");
    }

    /// The same `.drv` paths, whatever the way to name them.
    /// What `flake show` would have to build for is omitted, unless building is asked for.
    fn showing_what_needs_a_build(world) {
        world.write("ifd/flake.nix", r#"{ outputs = { self }: { packages.x86_64-linux = {
          built = import (import ./run.nix "imported" "echo 'derivation { name = \"told\"; system = \"x86_64-linux\"; builder = \"b\"; }' >$out" { });
          plain = import ./run.nix "plain" "" { };
        }; }; nixConfig.allow-import-from-derivation = true; }"#);
        world.shell("cp -r run.nix tools ifd").succeeds();
        let show = |more: &[&str]| world.xbuild(&[&["flake", "show", "--json", "path:./ifd"], more].concat()).succeeds().stdout;
        assert!(!show(&[]).contains("told"));
        assert!(show(&["--allow-import-from-derivation"]).contains("\"name\":\"told\""));
    }

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

    /// What is printed, and what may be read, as by `nix-instantiate` and `nix eval`: their arguments as a shell reads them.
    fn output_as_stock_nix(world) {
        world.write("set.nix", "{ a = 1; b = { c = [ 1 2.5 \"x\" ]; d = null; }; f = { x, y ? 1, ... }@all: x; g = x: x; p = ./set.nix; t = throw \"no\"; n = { }; m = { }; \"q r\" = true; drv = derivation { name = \"d\"; system = \"s\"; builder = \"b\"; }; }");
        world.write("fun.nix", "{ text ? \"\", n ? 1 }: { v = text + toString n; }");
        world.write("dir/default.nix", "{ readme = builtins.readFile ./file; own = builtins.readFile (builtins.toFile \"own\" \"text\"); }");
        world.write("dir/file", "content\n");
        world.write("pack/top/one.nix", "\"from the archive\"");
        for (target, link) in [("dir/file", "to-file"), ("dir", "to-dir"), ("file", "dir/link"), ("../set.nix", "dir/outside")] {
            std::os::unix::fs::symlink(target, world.path(link)).unwrap();
        }
        world.shell("tar -czf pack.tar.gz -C pack top").succeeds();
        let archive = format!("file://{}", world.path("pack.tar.gz").display());
        let stock = world.root().join("stock");
        let mut wrong = Vec::new();
        let mut same = |program: &str, theirs: &str, ours: &str| {
            let theirs = oracle::shell(program, &stock, &world.path(""), theirs);
            let ours = world.shell(&format!("\"$xbuild\" {ours}"));
            if (ours.code, &ours.stdout) != (theirs.code, &theirs.stdout) {
                wrong.push(format!("{}\n{}", theirs.report(), ours.report()));
            }
            (theirs, ours)
        };
        for arguments in [
            "--eval --strict --xml -E '{ a = { x, y ? 1, ... }@all: x; b = [ (1 + 1) null ]; c = x: x; d = builtins.add; }'",
            "--eval --strict --xml --no-location set.nix -A b -A p",
            "--eval --xml set.nix -A f",
            "--eval --strict --xml set.nix -A b",
            "--eval --strict --json set.nix -A b -A 'n'",
            "--eval --raw -E '\"a\\nb\"'",
            "--eval --strict set.nix -A b -A f -A '\"q r\"' -A b.c.1",
            "--eval fun.nix -A v --argstr text a --arg n '2 * 3'",
            "--eval fun.nix -A v --arg-from-file text dir/file",
            "--eval fun.nix",
            "--eval -E '1' '2 + 3' -A ''",
            "--eval --strict -E 'map (p: p.prefix) builtins.nixPath' -I x=./dir -I y=/nowhere",
            "--eval -E '<x/file>' -I x=./dir",
            "--find-file x/file x -I x=./dir",
            "--eval -E '[ (import <x>).readme <x/file> builtins.nixPath ]' --strict -I x=flake:$(pwd)/dir --option flake-registry '' --extra-experimental-features flakes",
            "--eval -E '[ <x> <x/file> <link> <../set.nix> ]' --strict -I x=./to-dir -I ./dir",
            "--eval -E '<x/file>' -I x=./to-dir --restrict-eval",
            "--eval -E 'builtins.findFile [ { path = ./.; prefix = \"\"; } ] \"set.nix\"' --restrict-eval -I ./dir",
            "--eval -E 'builtins.findFile [ { path = /nowhere; prefix = \"\"; } ] \"set.nix\"' --restrict-eval -I ./dir",
            "--eval -E 'builtins.fetchurl \"file://'$(pwd)'/dir/file\"' --restrict-eval",
            "--eval -E 'builtins.fetchurl \"file://'$(pwd)'/dir/file\"' --restrict-eval -I ./dir",
            "--find-file x/file nix/fetchurl.nix",
            "--find-file x/file nowhere x -I x=./dir",
            "--eval -E '1' 'throw \"second\"'",
            "--eval -E 1 -E 2",
            "--eval -E",
            "-E",
            "--eval -E 'toString <nix/fetchurl.nix>'",
            "--eval fun.nix -A v --arg n 1 --arg n 2",
            "--eval fun.nix -A v --arg n 1 --arg unused 'throw \"never asked for\"'",
            "--eval -E '{ z, ... }@a: [ a z ]' --arg z 1 --arg y 1+1 --argstr x text",
            "--eval -E '{ z, ... }@a: [ a z ]' --arg z 1 --arg y 1+",
            "--eval --json -E '{ a = 1 + 1; }'",
            "--eval --json -E '[ 1 (x: x) ]'",
            "--eval --json -E 'map (x: x) [ 1 ]'",
            "--eval --json -E '{ a = \"x\"; b = [ { c = -1; } null ]; }'",
            "--eval --json -E 'derivation { name = \"d\"; system = \"s\"; builder = \"b\"; }'",
            "--eval -E '{ inherit (builtins) map; inherit ({ a = 1; }) a; }'",
            "--eval --xml -E 'derivation'",
            "--eval --xml --strict -E 'derivation { name = \"d\"; system = \"s\"; builder = \"b\"; }'",
            "--eval -E '<x/nowhere>' -I x=flake:$(pwd)/dir --option flake-registry '' --extra-experimental-features flakes",
            "--eval --read-write-mode --restrict-eval -E 'import <x>' -I x=./dir -A own",
            "--eval --restrict-eval dir -A readme -I ./dir",
            "--eval --restrict-eval -E 'builtins.pathExists ./set.nix' -I ./dir",
            "--eval --restrict-eval --strict -E 'builtins.attrNames (builtins.readDir ./.)' -I ./dir",
            "--eval --restrict-eval -E 'builtins.getEnv \"HOME\"'",
            "--eval --restrict-eval --read-write-mode -E '\"${./dir/outside}\"' -I ./dir",
            "--eval --restrict-eval -E 'builtins.readFile ./dir/outside' -I ./dir",
            "--eval --pure-eval -E 'builtins.pathExists ./set.nix'",
            "--eval --strict --read-write-mode -E 'builtins.attrNames (import (derivation { name = \"d\"; system = \"s\"; builder = \"b\"; outputs = [ \"dev\" \"out\" ]; }).drvPath)'",
            "--eval --pure-eval -E 'builtins ? currentSystem || builtins ? currentTime'",
            "--eval -E 'builtins.currentSystem' --option eval-system foo-linux",
            "--eval -E 'builtins.currentSystem' --system bar-linux",
            "--eval -E 'builtins.storePath \"/nix/store/00000000000000000000000000000000-x/y\"'",
            "--eval --strict -E 'builtins.getContext (builtins.appendContext \"\" { \"/nix/store/00000000000000000000000000000000-x.drv\" = { outputs = [ \"out\" ]; path = true; }; })'",
            "--parse -E '{ a ? 1, ... }@b: [ a b ./. ]'",
            "set.nix -A drv --dry-run",
        ] {
            same("nix-instantiate", arguments, &format!("instantiate {arguments}"));
        }
        for (theirs, ours) in [
            ("--impure -f set.nix b", "-f set.nix b"),
            ("--impure -f set.nix", "-f set.nix"),
            ("--impure --json -f set.nix b.c", "--json -f set.nix b.c"),
            ("--impure --json --pretty -f set.nix b", "--json --pretty -f set.nix b"),
            ("--impure --json -f set.nix p", "--json -f set.nix p"),
            ("--raw --expr '\"x\"'", "--raw -E '\"x\"'"),
            ("--expr '[ 1 2 ]' --apply 'map (x: x + 1)'", "-E '[ 1 2 ]' --apply 'map (x: x + 1)'"),
            ("--impure -f fun.nix v", "-f fun.nix v"),
        ] {
            same("nix", &format!("--extra-experimental-features nix-command eval {theirs}"), &format!("eval {ours}"));
        }
        let outside = "--eval --restrict-eval -E '<outside>' -I ./dir";
        let (theirs, ours) = same("nix-instantiate", outside, &format!("instantiate {outside}"));
        for ran in [theirs, ours] {
            ran.says(&["set.nix' is forbidden in restricted mode"]);
        }
        // Nothing is written, and the paths are the same.
        for expression in [
            "[ (builtins.toFile \"x\" \"y\") \"${./dir}\" (builtins.path { path = ./dir/file; recursive = false; }) ]",
            "builtins.filterSource (path: type: type != \"symlink\") ./dir",
            "builtins.storePath \"/nix/store/00000000000000000000000000000000-x\"",
            "(derivation { name = \"a\"; system = \"b\"; builder = \"c\"; src = ./dir; }).drvPath",
            "builtins.readFile (builtins.toFile \"x\" \"unwritten\")",
            "import (derivation { name = \"unbuilt\"; system = \"x86_64-linux\"; builder = \"c\"; })",
            "builtins.path { path = ./dir; name = \"expected\"; sha256 = \"\"; }",
        ] {
            let (theirs, ours) = same(
                "nix",
                &format!("--extra-experimental-features nix-command eval --impure --read-only --expr '{expression}'"),
                &format!("eval --strict --store unwritten --read-only -E '{expression}'"),
            );
            if theirs.code != 0 {
                let last = |ran: &Ran| ran.stderr.lines().rfind(|line| line.trim_start().starts_with("error: ")).map(str::to_owned);
                assert_eq!(last(&ours), last(&theirs), "{}", ours.report());
            }
        }
        let written: Vec<_> = std::fs::read_dir(world.path("unwritten/nix/store")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(written, [".links"]);
        // Warnings, and their places, go to stderr.
        for lint in ["url", "short-path", "absolute-path"] {
            let arguments = format!("--eval -E '[ http://example.org a/b /a ]' --lint-{lint}-literals warn");
            let (theirs, ours) = same("nix-instantiate", &arguments, &format!("instantiate {arguments}"));
            assert_eq!(ours.stderr.lines().next(), theirs.stderr.lines().next());
        }
        let arguments = "--eval -E 'let or = 1; in [ (x: x) or ]'";
        let (theirs, ours) = same("nix-instantiate", arguments, &format!("instantiate {arguments}"));
        assert!(theirs.stderr.starts_with(ours.stderr.trim_end()) && ours.stderr.contains("    ((x: x) or)"), "{}", ours.report());
        let (theirs, ours) = same("nix-instantiate", "--eval -E 'import <pack/one.nix>' -I pack=$(pwd)/nowhere.tar.gz -I pack=file://$(pwd)/pack.tar.gz", &format!("instantiate --eval -E 'import <pack/one.nix>' -I pack=$(pwd)/nowhere.tar.gz -I pack={archive}"));
        assert!(theirs.stderr.starts_with(&ours.stderr), "{}", ours.report());
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        // A directory of strings.
        world.xbuild(&["eval", "-E", "{ a = \"one\"; b.c = \"two\"; }", "--write-to", "written"]).succeeds();
        assert_eq!(std::fs::read_to_string(world.path("written/b/c")).unwrap(), "two");
        world.xbuild(&["eval", "-E", "\"x\"", "--write-to", "written"]).fails(1).says(&["written' already exists"]);
        // A root keeps the derivation.
        let link = world.xbuild(&["instantiate", "set.nix", "-A", "drv", "--add-root", "root"]).succeeds();
        assert_eq!(link.line(), world.path("root").to_str().unwrap());
        world.xbuild(&["store", "gc"]).succeeds();
        let drv = world.xbuild(&["instantiate", "set.nix", "-A", "drv", "--read-only"]).succeeds();
        assert!(world.is_valid(drv.line()));
        let ran = world.shell("NIX_PATH=x=flake:$(pwd)/dir \"$xbuild\" eval -E '<x/file>' --option flake-registry '' --extra-experimental-features flakes").succeeds();
        assert!(ran.line().starts_with("/nix/store/") && ran.line().ends_with("-source/file"), "{}", ran.report());
        // Settings count on both sides of the command.
        let ran = world.shell("\"$xbuild\" --trace-verbose --option pure-eval true eval --max-call-depth 50 -E 'builtins.traceVerbose \"said\" (builtins ? currentTime)'");
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("false\n", "trace: said\n"), "{}", ran.report());
        // A store path that was only just computed can be read.
        let read = world.xbuild(&["eval", "-E", "import \"${./dir}/default.nix\"", "-A", "readme", "--read-only"]).succeeds();
        assert_eq!(read.stdout, "\"content\\n\"\n");
        let mut command = world.command(&["eval", "-E", "builtins.warn \"careful\" 1"]);
        let output = command.env("NIX_ABORT_ON_WARN", "1").output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("aborting to reveal stack trace of warning"));
    }
}
