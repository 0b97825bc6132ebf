//! What `xbuild realise` prints, links and passes on.

use std::fs;

use crate::for_each_user;
use crate::support::name_of;
use crate::support::oracle::nix;
use crate::support::ran::Ran;

for_each_user! {
    /// Store paths on stdout, a link that is a root, everything else on stderr.
    fn one_derivation(world) {
        world.write("default.nix", r#"{ a.b = import ./run.nix "one" "echo made; echo content >$out" { }; }"#);
        let built = world.xbuild(&["realise", ".#a.b"]).succeeds().says(&["building /nix/store/"]).does_not_say(&["made"]);
        assert_eq!(name_of(built.line()), "one");
        assert_eq!(world.read(built.line()), "content\n");
        assert_eq!(fs::read_link(world.path("result")).unwrap(), world.physical(built.line()));
        let roots = world.xbuild(&["store", "gc", "--print-roots"]).succeeds();
        let root = format!("{} -> {}", world.path("result").display(), built.line());
        assert!(roots.lines().contains(&root.as_str()), "{}", roots.report());
        assert_eq!(world.xbuild(&["log", "result"]).succeeds().stdout, "made\n");
        // The alias, and every other way to name it.
        for installable in [".#a.b", built.line(), "result", &format!("{}#a.b", world.path("").display())] {
            let again = world.xbuild(&["build", "--no-out-link", installable]).succeeds();
            assert_eq!((again.stdout, again.stderr.as_str()), (built.stdout.clone(), ""), "{installable}");
        }
        let drv = world.xbuild(&["instantiate", "-A", "a.b"]).succeeds();
        for installable in [drv.line().to_owned(), format!("{}^out", drv.line()), format!("{}^*", drv.line())] {
            assert_eq!(world.xbuild(&["build", "--no-out-link", &installable]).succeeds().stdout, built.stdout, "{installable}");
        }
        assert_eq!(world.xbuild(&["realise", "--no-out-link", "-f", "default.nix", "-A", "a.b"]).succeeds().stdout, built.stdout);
    }

    fn live_log(world) {
        world.write("default.nix", r#"import ./run.nix "talk" "echo to stdout; echo to stderr >&2; echo >$out" { }"#);
        world.xbuild(&["realise", "-L", "."]).succeeds().says(&["talk> to stdout\n", "talk> to stderr\n"]);
    }

    fn json(world) {
        world.write("default.nix", r#"{ two = import ./run.nix "two" "echo >$out; echo >$dev" { outputs = [ "out" "dev" ]; }; }"#);
        let drv = world.xbuild(&["instantiate", "-A", "two"]).succeeds().line().to_owned();
        let printed = world.xbuild(&["realise", "--json", &format!("{drv}^*")]).succeeds().json();
        assert_eq!(printed[0]["drvPath"], drv.as_str());
        let outputs = printed[0]["outputs"].as_object().unwrap();
        assert_eq!(outputs.keys().collect::<Vec<_>>(), ["dev", "out"]);
        assert_eq!(name_of(outputs["dev"].as_str().unwrap()), "two-dev");
        assert!(world.is_valid(outputs["out"].as_str().unwrap()));
    }

    fn dry_run(world) {
        world.write(
            "default.nix",
            r#"let run = import ./run.nix; first = run "first" "echo >$out" { }; in run "second" "cat ${first} >$out" { }"#,
        );
        let planned = world.xbuild(&["realise", "--dry-run", "."]).succeeds().says(&["these 2 derivations will be built:\n"]);
        assert_eq!(planned.stdout, "");
        let order: Vec<String> = planned.stderr.lines().skip(1).take(2).map(|line| name_of(line.trim())).collect();
        assert_eq!(order, ["first.drv", "second.drv"]);
        planned.says(&["expected to take 4 seconds with -j", "2 of 2 guessed, since never built in this store"]);
        let steps = world.xbuild(&["realise", "--dry-run", "--json", "."]).succeeds().json();
        assert_eq!(steps[0]["after"], serde_json::json!([steps[1]["drvPath"]]));
        assert_eq!((&steps[1]["kind"], &steps[1]["expectedStartMs"]), (&"build".into(), &0.into()));
        assert_eq!(steps[0]["expectedStartMs"], steps[1]["expectedMs"]);
        world.write("steps.json", steps.to_string());
        let forecast = world.xbuild(&["bench", "scheduler", "--shape", "steps.json", "--json"]).succeeds().json();
        assert_eq!((&forecast["nodes"], &forecast["edges"]), (&2.into(), &1.into()));
        assert_eq!(forecast["makespanMs"], forecast["lowerBoundMs"]);
        world.xbuild(&["bench", "scheduler", "--shape", "star"]).fails(1).says(&["star: ", "fan, chain, layered, random"]);
        assert!(!world.path("result").exists());
        assert!(world.valid_paths().iter().all(|path| path.ends_with(".drv") || path.ends_with("-tools")), "{:?}", world.valid_paths());
    }

    fn out_links(world) {
        world.write(
            "default.nix",
            r#"let run = import ./run.nix; in rec {
                 a = run "a" "echo >$out; echo >$dev" { outputs = [ "out" "dev" ]; };
                 b = run "b" "echo >$out" { };
                 both = [ a.dev b ];
               }"#,
        );
        world.xbuild(&["realise", "--no-out-link", ".#b"]).succeeds();
        assert!(fs::symlink_metadata(world.path("result")).is_err());
        let built = world.xbuild(&["realise", "-o", "mine", ".#a", ".#a.dev", ".#b"]).succeeds();
        let link = |name: &str| fs::read_link(world.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let [a, dev, b] = built.lines()[..] else { panic!("{}", built.report()) };
        assert_eq!([name_of(a), name_of(dev), name_of(b)], ["a", "a-dev", "b"]);
        assert_eq!([link("mine"), link("mine-2-dev"), link("mine-3")], [a, dev, b].map(|path| world.physical(path)));
        // A link is renewed; a file that is no link is left alone.
        world.xbuild(&["realise", "-o", "mine", ".#b"]).succeeds();
        assert_eq!(link("mine"), world.physical(b));
        world.write("precious", "text");
        world.xbuild(&["realise", "-o", "precious", ".#b"]).fails(1).says(&["precious"]);
        assert_eq!(fs::read_to_string(world.path("precious")).unwrap(), "text");
    }

    fn several_outputs(world) {
        world.write(
            "default.nix",
            r#"let run = import ./run.nix; in rec {
                 lib = run "lib" ''
                   mkdir $out $dev $doc
                   echo "$out" >$dev/uses-out
                   echo manual >$doc/manual
                 '' { outputs = [ "out" "dev" "doc" ]; };
                 user = run "user" "cat ${lib.dev}/uses-out >$out; ls -d ${lib.doc} || true" { };
               }"#,
        );
        let drv = world.xbuild(&["instantiate", "-A", "lib"]).succeeds().line().to_owned();
        let built = world.xbuild(&["realise", "--no-out-link", &format!("{drv}^dev,out")]).succeeds();
        let [dev, out] = built.lines()[..] else { panic!("{}", built.report()) };
        assert_eq!([name_of(dev), name_of(out)], ["lib-dev", "lib"]);
        let closure = world.xbuild(&["path-info", "-r", dev]).succeeds();
        assert_eq!(closure.lines(), [out, dev], "dependencies first");
        assert_eq!(world.xbuild(&["path-info", "-r", out]).succeeds().lines(), [out]);
        let user = world.xbuild(&["realise", "--no-out-link", ".#user"]).succeeds();
        assert_eq!(world.read(user.line()), format!("{out}\n"));
        world.xbuild(&["realise", &format!("{drv}^man")]).fails(1).says(&["no output `man`", "dev, doc, out"]);
    }

    fn cores_and_environment(world) {
        world.write(
            "default.nix",
            r#"{ environment = import ./run.nix "environment" "env | sort >$out" { text = "two\nlines"; yes = true; no = false; list = [ 1 "b" ]; };
                 cores = import ./run.nix "cores" "echo $NIX_BUILD_CORES >$out" { }; }"#,
        );
        let built = world.xbuild(&["realise", "--cores", "3", ".#environment"]).succeeds();
        let environment = world.read(built.line());
        let environment = crate::support::without_hashes(&environment);
        let expected = "HOME=/homeless-shelter
NIX_BUILD_CORES=3
NIX_BUILD_TOP=/build
NIX_LOG_FD=2
NIX_STORE=/nix/store
PATH=/path-not-set
PWD=/build
SHLVL=1
TEMP=/build
TEMPDIR=/build
TERM=xterm-256color
TMP=/build
TMPDIR=/build
builder=/nix/store/HASH-tools/busybox
lines
list=1 b
name=environment
no=
out=/nix/store/HASH-environment
system=x86_64-linux
text=two
yes=1
";
        assert_eq!(environment, expected);
        let built = world.xbuild(&["realise", "--option", "cores", "5", ".#cores"]).succeeds();
        assert_eq!(world.read(built.line()), "5\n");
    }

    /// `nix.conf` of the machine and the user, `NIX_CONFIG`, `--option`, and options of their own: the later wins.
    fn settings(world) {
        world.write("default.nix", r#"{ name }: import ./run.nix name "echo $NIX_BUILD_CORES >$out" { }"#);
        let cores = |name: &str, args: &[&str], config: Option<&str>| {
            let mut all = vec!["realise", "--no-out-link", ".", "--argstr", "name", name];
            all.extend(args);
            let mut command = world.command(&all);
            if let Some(config) = config {
                command.env("NIX_CONFIG", config);
            }
            let ran = Ran::new(format!("{all:?}"), &command.output().unwrap()).succeeds();
            world.read(ran.line())
        };
        fs::write(world.root().join("home/nix.conf"), "# the machine's\ncores = 11\nsubstituters = x\n").unwrap();
        assert_eq!(cores("a", &[], None), "11\n");
        fs::create_dir_all(world.root().join("home/.config/nix")).unwrap();
        fs::write(world.root().join("home/.config/nix/nix.conf"), "cores = 12\n").unwrap();
        assert_eq!(cores("b", &[], None), "12\n");
        assert_eq!(cores("c", &[], Some("cores = 13")), "13\n");
        assert_eq!(cores("d", &["--option", "cores", "14"], Some("cores = 13")), "14\n");
        assert_eq!(cores("e", &["--cores", "15"], Some("cores = 13")), "15\n");
        let mut command = world.command(&["realise", "."]);
        command.env("NIX_CONFIG", "cores = many");
        Ran::new("NIX_CONFIG".to_owned(), &command.output().unwrap()).fails(1).says(&["$NIX_CONFIG:1", "cores", "many"]);
    }

    /// On a terminal, a status line; it is gone at the end.
    fn terminal(world) {
        world.write("default.nix", r#"import ./run.nix "made" "echo >$out" { }"#);
        let ran = world.shell(r#"TERM=xterm exec script --quiet --return --command "$xbuild realise --no-out-link ." /dev/null"#).succeeds();
        let last = ran.stdout.trim_end().rsplit(['\r', '\n']).next().unwrap_or_default();
        assert!(last.ends_with("-made"), "the result comes last and alone\n{}", ran.report());
        assert!(!ran.stdout.contains("building /nix/store/"), "{}", ran.report());
    }

    /// What builders leave that a store cannot hold as it is.
    fn odd_outputs(world) {
        world.write(
            "default.nix",
            r#"let run = import ./run.nix; in {
                 modes = run "modes" "mkdir -p $out/d; cd $out; echo x >d/f; ln d/f hard; chmod 000 d/f; chmod 000 d; ln -s nowhere dangling; mkdir \"$(printf 'new\\nline\\377')\"" { };
                 link = run "link" "ln -s /etc/passwd $out" { };
                 fifo = run "fifo" "mkdir $out; mkfifo $out/pipe" { };
                 setuid = run "setuid" "cp ${./tools}/busybox $out; chmod 4755 $out || chmod 755 $out" { };
                 cycle = run "cycle" "echo $dev >$out; echo $out >$dev" { outputs = [ "out" "dev" ]; };
                 itself = run "itself" "echo $out >$out" { };
                 left-running = run "left-running" "sleep 100000 & echo >$out" { };
                 other = run "other" "echo x >/nix/store/foreign; echo >$out" { };
               }"#,
        );
        let modes = world.xbuild(&["realise", "--no-out-link", ".#modes"]).succeeds();
        assert_eq!(world.read(&format!("{}/d/f", modes.line())), "x\n");
        for name in ["link", "setuid", "left-running", "other"] {
            let built = world.xbuild(&["realise", "--no-out-link", &format!(".#{name}")]).succeeds();
            let metadata = fs::symlink_metadata(world.physical(built.line())).unwrap();
            assert_eq!(std::os::unix::fs::MetadataExt::mode(&metadata) & 0o6000, 0, "{name}");
        }
        let itself = world.xbuild(&["realise", "--no-out-link", ".#itself"]).succeeds();
        let info = world.xbuild(&["path-info", "--json", itself.line()]).succeeds().json();
        assert_eq!(info[itself.line()]["references"][0], itself.line());
        world.xbuild(&["realise", ".#fifo"]).fails(100).says(&["pipe", "FIFO"]);
        world.xbuild(&["realise", ".#cycle"]).fails(100).says(&["cycle in the references", "-cycle-dev"]);
        assert!(!world.physical("/nix/store/foreign").exists());
        nix("nix-store", world.store(), &["--verify", "--check-contents"]).succeeds().does_not_say(&["error"]);
    }

    /// `import` of what must be built first, and reading from it.
    fn import_from_derivation(world) {
        world.write(
            "default.nix",
            r#"let
                 run = import ./run.nix;
                 made = run "made.nix" "echo '{ answer = 42; }' >$out" { };
                 read = builtins.readFile (run "text" "echo -n from a file >$out" { });
               in run "ifd-${toString (import made).answer}" "echo ${read} >$out" { }"#,
        );
        let built = world.xbuild(&["realise", "."]).succeeds().says(&["made.nix.drv", "text.drv", "ifd-42.drv"]);
        assert_eq!(name_of(built.line()), "ifd-42");
        assert_eq!(world.read(built.line()), "from a file\n");
        world.write("failing.nix", r#"import (import ./run.nix "broken" "exit 3" { })"#);
        world.xbuild(&["realise", "./failing.nix"]).fails(100).says(&["broken.drv", "exit code 3"]);
    }

    fn what_no_installable_names(world) {
        world.xbuild(&["realise"]).fails(1).says(&["the current directory has neither a default.nix nor a flake.nix"]);
        world.write("default.nix", r#"{ a = import ./run.nix "a" "echo >$out" { }; b = import ./run.nix "b" "echo >$out" { }; }"#);
        let both = world.xbuild(&["realise", "--no-link"]).succeeds();
        assert_eq!(both.stdout.lines().count(), 2, "{}", both.stdout);
        let named = world.xbuild(&["realise", "-A", "a", "--print-out-paths", "--no-link"]).succeeds();
        let spelled = world.xbuild(&["realise", "--check", "--impure", "--expr", "import ./.", "a", "--no-link"]).succeeds();
        assert_eq!(named.line(), spelled.line());
        world.xbuild(&["realise", "--expr", "{ a = throw \"no\"; }", "-A", "a"]).fails(1).says(&["no"]);
    }

    fn installables_that_are_none(world) {
        world.write("default.nix", r#"{ hello = import ./run.nix "hello" "echo >$out" { }; number = 1; }"#);
        world.mkdir("empty");
        world.xbuild(&["realise", ".#helo"]).fails(1).says(&["helo", "hello"]);
        world.xbuild(&["realise", ".#number"]).fails(1).says(&["number"]);
        world.xbuild(&["realise", "hello"]).fails(1).says(&["there is no hello", ".#hello"]);
        world.xbuild(&["realise", "empty"]).fails(1).says(&["empty has neither a default.nix nor a flake.nix"]);
        world.xbuild(&["realise", "-A", "hello", "."]).fails(1).says(&["-f FILE"]);
        world.xbuild(&["realise", "-E", "1", "-f", "run.nix"]).fails(2).says(&["--expr", "--file"]);
        world.xbuild(&["realise", "--frobnicate", "."]).fails(2).says(&["--frobnicate"]);
        world.xbuild(&["realise", "-j", "many", "."]).fails(1).says(&["max-jobs", "many"]);
        world.xbuild(&["realise", "--option", "max-job", "1", "."]).fails(1).says(&["max-jobs"]);
        let made = world.xbuild(&["realise", ".#hello"]).succeeds();
        let within = format!("{}/bin", made.line());
        world.xbuild(&["realise", &within]).fails(1).says(&[&within, "in one", "name the store path itself"]);
        let missing = "/nix/store/00000000000000000000000000000000-missing";
        world.xbuild(&["realise", missing]).fails(1).says(&[missing, "xbuild store add"]);
        world.xbuild(&["realise", &format!("{missing}.drv")]).fails(1).says(&[missing]);
        world.xbuild(&["path-info", missing]).fails(1).says(&[missing, "not valid"]);
        world.xbuild(&["log", missing]).fails(1);
    }
}
