//! Derivations whose outputs are named by their contents, and early cutoff: what is registered is what stock Nix registers, and
//! each finds what the other has built.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rusqlite::types::Value;

use crate::store_commands::damage;
use crate::support::oracle;
use crate::support::ran::Ran;
use crate::support::world::{Who, World};
use crate::{for_each_user, shared};

const FEATURES: &str = "ca-derivations impure-derivations dynamic-derivations";

/// Every way in which an output can be named and used. `tool` and `user` with another comment make the same bytes.
const EXPRESSIONS: &str = r##"
let
  run = import ./run.nix;
  ca = name: script: attributes: run name script ({ __contentAddressed = true; } // attributes);
in
rec {
  tool = comment: ca "tool" "# ${comment}\necho tool >$out" { };
  user = comment: ca "user" "cat $tool >$out; echo $tool >>$out" { tool = tool comment; };
  top = comment: run "top" "echo from the builder; cat $user >$out; echo $user $out >>$out" { user = user comment; };
  one = top "one";
  two = top "two";

  plain = run "plain" "echo plain >$out" { };
  onPlain = ca "on-plain" "echo $plain $out >$out" { inherit plain; };
  tree = ca "tree" ''
    mkdir -p $out/bin $out/self-''${out#/nix/store/}
    echo $user $out >$out/bin/file; chmod 755 $out/bin/file
    ln -s $out/bin/file $out/link
    echo $out$out >$out/twice
  '' { user = user "one"; };
  multi = ca "multi" ''
    echo $user >$doc; echo $doc $dev >$dev; echo $dev $doc >$out
  '' { outputs = [ "out" "dev" "doc" ]; user = user "one"; };
  onDev = ca "on-dev" "echo $dev >$out" { inherit (multi) dev; };
  structured = ca "structured" ''
    cat .attrs.json >$(sed -n "s/^declare -A outputs=.*\['out'\]='\([^']*\)'.*/\1/p" .attrs.sh)
  '' { __structuredAttrs = true; list = [ (user "one") 1 1.5 null ];
       outputChecks.out.allowedReferences = [ (user "one") "out" "${./tools}" ]; };
  fixed = run "fixed" "cat $user >$TMP/read; echo fixed >$out" {
    user = user "one"; outputHash = builtins.hashString "sha256" "fixed\n"; outputHashAlgo = "sha256"; outputHashMode = "flat";
  };
  onFixed = ca "on-fixed" "echo $fixed >$out" { inherit fixed; };
  sha1 = ca "sha1" "echo sha1 >$out" { outputHashAlgo = "sha1"; outputHashMode = "nar"; };
  flat = ca "flat" "echo flat >$out" { outputHashAlgo = "sha512"; outputHashMode = "flat"; };
  text = ca "text" "echo $user >$out" { outputHashMode = "text"; user = user "one"; };
  graph = ca "graph" "cat graph >$out" { exportReferencesGraph = [ "graph" tree ]; };
  refs = ca "refs" "echo $user $out >$out" {
    user = user "one"; allowedReferences = [ (user "one") "out" ]; disallowedReferences = [ tree ];
  };
  asFile = ca "as-file" "cat $textPath >$out" { text = "${tree} ${builtins.placeholder "out"}"; passAsFile = [ "text" ]; };
  imported = ca "imported" "echo $text >$out" { text = builtins.readFile (user "one"); };
  most = run "most" "echo $all $out >$out" {
    all = [ one two onPlain tree multi onDev structured onFixed sha1 flat text graph refs asFile imported ];
  };

  cycle = ca "cycle" "echo $dev >$out; echo $out >$dev" { outputs = [ "out" "dev" ]; };
  missing = ca "missing" "echo >$out" { outputs = [ "out" "dev" ]; };
  flatReference = ca "flat-reference" "echo $user >$out" { outputHashMode = "flat"; user = user "one"; };
  textSelf = ca "text-self" "echo $out >$out" { outputHashMode = "text"; };
  flatTree = ca "flat-tree" "mkdir $out" { outputHashMode = "flat"; };
  forbidden = ca "forbidden" "echo $user >$out" { user = user "one"; allowedReferences = [ ]; };
  random = ca "random" "head -c 16 /dev/urandom >$out; echo $out >>$out" { };
  impure = run "impure" "head -c 16 /dev/urandom >$out" { __impure = true; };
  onImpure = run "on-impure" "echo $impure >$out" { inherit impure; __impure = true; };
  pure = run "pure" "echo $impure >$out" { inherit impure; };
}
"##;

/// The place with the expressions and the features.
fn prepare(world: &World) {
    world.write("default.nix", EXPRESSIONS);
    let settings = format!("extra-experimental-features = {FEATURES}\n");
    fs::write(world.root().join("home/nix.conf"), settings).unwrap();
}

fn nix(program: &str, store: &Path, args: &[&str]) -> Ran {
    let features = ["--extra-experimental-features", FEATURES];
    oracle::nix(program, store, &[args, &features].concat())
}

fn realise(world: &World, attribute: &str) -> Ran {
    world.xbuild(&["realise", "--no-out-link", &format!(".#{attribute}")])
}

/// The derivations that were built, by name.
fn built(ran: &Ran) -> Vec<&str> {
    let lines = ran.stderr.lines();
    let mut built: Vec<&str> = lines
        .filter_map(|line| line.strip_prefix("building /nix/store/"))
        .map(|name| name[33..].trim_end_matches(".drv"))
        .collect();
    built.sort_unstable();
    built
}

/// All rows of a store's tables, with paths in place of numbers and without times; and the schema itself.
fn tables(store: &Path) -> Vec<(&'static str, BTreeSet<String>)> {
    let database = rusqlite::Connection::open(store.join("nix/var/nix/db/db.sqlite")).unwrap();
    [
        "select path, hash, deriver, narSize, ultimate, sigs, ca from ValidPaths",
        "select a.path, b.path from Refs join ValidPaths a on a.id = referrer join ValidPaths b on b.id = reference",
        "select v.path, d.id, d.path from DerivationOutputs d join ValidPaths v on v.id = drv",
        "select drvPath, outputName, path, signatures from Realisations join ValidPaths v on v.id = outputPath",
        "select * from RealisationsRefs",
        "select * from SchemaMigrations",
        "select name, sql from sqlite_master",
    ]
    .map(|query| {
        let mut statement = database.prepare(query).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            let values: Vec<Value> = (0..columns).map(|column| row.get(column)).collect::<Result<_, _>>()?;
            Ok(format!("{values:?}"))
        });
        let rows = rows.unwrap().collect::<Result<_, _>>().unwrap();
        (query, rows)
    })
    .to_vec()
}

#[track_caller]
fn assert_same_tables(ours: &Path, theirs: &Path) {
    for ((query, ours), (_, theirs)) in tables(ours).into_iter().zip(tables(theirs)) {
        let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| {
            a.difference(b).cloned().collect::<Vec<_>>()
        };
        assert!(
            ours == theirs,
            "{query}\nonly ours: {:#?}\nonly theirs: {:#?}",
            only(&ours, &theirs),
            only(&theirs, &ours)
        );
    }
}

/// Both build the same things into stores of their own, and then go on with each other's.
#[test]
fn stores_are_those_of_stock_nix() {
    let world = World::new("command-line/content-addressed", Who::Caller);
    crate::prepare(&world);
    prepare(&world);
    let (ours, theirs) = (world.store(), &world.root().join("stock"));
    let file = world.path("default.nix");
    let file = file.to_str().unwrap();
    let stock = |store: &Path, attribute: &str| {
        nix(
            "nix-build",
            store,
            &["--no-out-link", file, "-A", attribute],
        )
        .succeeds()
    };
    let path = realise(&world, "most").succeeds();
    assert_eq!(stock(theirs, "most").stdout, path.stdout);
    assert_same_tables(ours, theirs);
    nix("nix-store", ours, &["--verify", "--check-contents"])
        .succeeds()
        .does_not_say(&["error", "warning"]);

    // Each finds what the other has built: all of it, and one more output of what was built for another.
    let other = world.with_store(theirs);
    for attribute in ["most", "multi.doc", "onDev"] {
        let found = realise(&other, attribute).succeeds();
        assert_eq!(built(&found), [""; 0], "{}", found.report());
        let stock = stock(ours, attribute).does_not_say(&["\nbuilding "]);
        assert_eq!(stock.stdout, found.stdout);
    }
    assert_same_tables(ours, theirs);

    // And each collects what the other does. A realisation goes with its path.
    for store in [ours, theirs.as_path()] {
        let top = stock(store, "two").stdout;
        let roots = store.join("nix/var/nix/gcroots");
        std::os::unix::fs::symlink(top.trim(), roots.join("top")).unwrap();
    }
    world.xbuild(&["store", "gc"]).succeeds();
    nix("nix-store", theirs, &["--gc"]).succeeds();
    assert_same_tables(ours, theirs);
    // Those of `one` name the same three paths as those of `two`: each of its derivation, and of what that resolves to.
    let (_, realisations) = tables(ours).remove(3);
    assert_eq!(realisations.len(), 8, "{realisations:#?}");
    let again = realise(&world, "one").succeeds();
    assert_eq!(built(&again), [""; 0], "{}", again.report());
    assert_eq!(again.line(), path_of(&world, "two"));
}

fn path_of(world: &World, attribute: &str) -> String {
    realise(world, attribute).succeeds().line().to_owned()
}

for_each_user! {
    /// A dependency that is built again to the same bytes rebuilds nothing above it.
    fn early_cutoff(world) {
        prepare(world);
        let first = realise(world, "one").succeeds();
        assert_eq!(built(&first), ["tool", "top", "user"]);
        let second = realise(world, "two").succeeds();
        assert_eq!(built(&second), ["tool"], "{}", second.report());
        assert_eq!(second.stderr.matches("already built ").count(), 2, "{}", second.report());
        assert_eq!(first.stdout, second.stdout);
        // And now that is known, nothing is looked at.
        let third = realise(world, "two").succeeds();
        assert_eq!(third.stderr, "");
        world.xbuild(&["realise", "--dry-run", ".#two"]).succeeds().does_not_say(&["will be built"]);
        for attribute in [".#one", ".#two"] {
            assert_eq!(world.xbuild(&["log", attribute]).succeeds().stdout, "from the builder\n");
        }
    }

    /// What is printed and linked is the real path, and other commands find it.
    fn real_paths(world) {
        prepare(world);
        let file = world.path("default.nix");
        let file = file.to_str().unwrap();
        let drv = world.xbuild(&["instantiate", file, "-A", "multi"]).succeeds();
        let drv = drv.line();
        world.xbuild(&["path-info", ".#multi"]).fails(1).says(&[
            "the path of the output `out` of /nix/store/", "is only known after its build", "`xbuild realise` builds it",
        ]);
        world.xbuild(&["realise", "--dry-run", ".#multi"]).succeeds().says(&["these 3 derivations will be built:", drv]);
        let made = world.xbuild(&["realise", &format!("{drv}^*"), "--json"]).succeeds().json();
        assert_eq!(made[0]["drvPath"], drv);
        for (output, link) in [("out", "result"), ("dev", "result-dev"), ("doc", "result-doc")] {
            let path = made[0]["outputs"][output].as_str().unwrap();
            assert!(path.ends_with(if output == "out" { "-multi".to_owned() } else { format!("-multi-{output}") }.as_str()));
            assert!(fs::symlink_metadata(world.path(link)).unwrap().is_symlink());
            assert_eq!(world.xbuild(&["path-info", &format!(".#multi.{output}")]).succeeds().line(), path);
        }
        let (out, dev, doc) = (&made[0]["outputs"]["out"], &made[0]["outputs"]["dev"], &made[0]["outputs"]["doc"]);
        let text = |value: &serde_json::Value| world.read(value.as_str().unwrap());
        assert_eq!(text(dev), format!("{} {}\n", doc.as_str().unwrap(), dev.as_str().unwrap()));
        assert_eq!(text(out), format!("{} {}\n", dev.as_str().unwrap(), doc.as_str().unwrap()));
        // The links keep it, and its inputs are not needed for that.
        world.xbuild(&["store", "gc"]).succeeds();
        assert_eq!(path_of(world, "multi.out"), out.as_str().unwrap());
        world.xbuild(&["store", "verify", "--check-contents"]).succeeds();
        let read = world.xbuild(&["eval", "--raw", "-E", "builtins.readFile (import ./.).multi.dev", "--impure"]).succeeds();
        assert_eq!(read.stdout, text(dev));
    }

    fn refusals(world) {
        prepare(world);
        for (attribute, message) in [
            ("cycle", "cycle in the references of its outputs: `"),
            ("missing", "did not make its output `dev` (/nix/store/"),
            ("flatReference", "fixed output 'flat-reference' is not allowed to refer to other store paths"),
            ("textSelf", "self-reference not allowed with text hashing"),
            ("flatTree", "must be a regular file that is not executable, since its hash is flat"),
            ("forbidden", "which `allowedReferences` does not allow"),
        ] {
            realise(world, attribute).fails(100).says(&[message]);
        }
        realise(world, "pure").fails(1).says(&["pure derivation '/nix/store/", "depends on impure derivation '/nix/store/"]);
        // Nothing of these was registered.
        let left: Vec<String> = world.valid_paths();
        assert!(left.iter().all(|path| !path.contains("forbidden") || path.ends_with(".drv")), "{left:#?}");

        let drv = world.xbuild(&["instantiate", world.path("default.nix").to_str().unwrap(), "-A", "two"]).succeeds();
        fs::write(world.root().join("home/nix.conf"), "").unwrap();
        let disabled = "error: experimental Nix feature 'ca-derivations' is disabled; add '--extra-experimental-features ca-derivations' to enable it";
        world.xbuild(&["realise", &format!("{}^out", drv.line())]).fails(1).says(&[disabled]);
        realise(world, "two").fails(1).says(&[disabled]);
    }

    /// `--rebuild` compares contents, whatever path the builder had.
    fn rebuilding(world) {
        prepare(world);
        for attribute in ["tree", "multi"] {
            world.xbuild(&["realise", "--no-out-link", &format!(".#{attribute}")]).succeeds();
            let again = world.xbuild(&["realise", "--no-out-link", "--rebuild", &format!(".#{attribute}")]).succeeds();
            assert!(again.stderr.contains("building again /nix/store/"), "{}", again.report());
        }
        realise(world, "random").succeeds();
        world.xbuild(&["realise", "--no-out-link", "--rebuild", ".#random"]).fails(104).says(&["differs from byte 0"]);
    }

    /// What is damaged or gone is made again at the path that it had; what is not made the same twice has another one.
    fn repairing_what_contents_name(world) {
        prepare(world);
        let outputs = world.xbuild(&["realise", "--no-out-link", ".#two", ".#multi^*"]).succeeds();
        let [two, out, dev, _] = outputs.lines()[..] else { panic!("{}", outputs.report()) };
        let closure = world.xbuild(&["path-info", "-r", two]).succeeds();
        let user = closure.lines().into_iter().find(|path| path.ends_with("-user")).unwrap();
        for path in [user, out] {
            damage(world, path);
        }
        fs::remove_file(world.physical(dev)).unwrap();
        world.xbuild(&["store", "verify", "--check-contents"]).fails(1).says(&[user, out, dev]);
        let repaired = world.xbuild(&["store", "verify", "--check-contents", "--repair"]).succeeds();
        repaired.says(&[user, out, dev].map(|path| format!("repaired '{path}'")).each_ref().map(String::as_str));
        nix("nix-store", world.store(), &["--verify", "--check-contents"]).succeeds().does_not_say(&["error", "modified", "missing"]);
        let random = realise(world, "random").succeeds();
        damage(world, random.line());
        world.xbuild(&["store", "repair", random.line()]).fails(104).says(&["other contents than what is to be repaired"]);
    }

    /// Impure derivations are built each time, once in a run, and what uses them follows.
    fn impure(world) {
        prepare(world);
        let first = realise(world, "onImpure").succeeds();
        assert_eq!(built(&first), ["impure", "on-impure"]);
        let used = world.read(first.line());
        assert!(used.trim_end().ends_with("-impure"), "{used}");
        let second = realise(world, "onImpure").succeeds();
        assert_eq!(built(&second), ["impure", "on-impure"]);
        assert_ne!(first.stdout, second.stdout);
        world.xbuild(&["store", "verify", "--check-contents"]).succeeds();
    }

    /// Two processes and two derivations that resolve to one: it is built once.
    fn built_once(world) {
        prepare(world);
        let (directory, options) = shared(world);
        world.write("count.nix", r##"
            let run = import ./run.nix;
                leaf = comment: run "leaf" "# ${comment}\necho leaf >$out" { __contentAddressed = true; };
                slow = comment: run "slow" "echo built >>/shared/count; sleep 1; cat $leaf >$out" { leaf = leaf comment; __contentAddressed = true; };
            in [ (slow "a") (slow "b") ]"##);
        let mut args = vec!["realise", "--no-out-link", "-j", "2", "./count.nix"];
        args.extend(options.iter().map(String::as_str));
        let both = [world.start(&args), world.start(&args)].map(|started| started.end().succeeds());
        assert_eq!(both[0].stdout, both[1].stdout);
        assert_eq!(fs::read_to_string(directory.join("count")).unwrap(), "built\n");
        assert_eq!(both[0].lines().len(), 2);
        world.xbuild(&["store", "verify", "--check-contents"]).succeeds();
    }
}
