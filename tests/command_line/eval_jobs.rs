//! `xbuild eval-jobs`: the derivations of a set, compared with those that stock Nix instantiates.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::for_each_user;
use crate::support::oracle::nix;
use crate::support::ran::Ran;
use crate::support::world::World;

/// The lines by attribute.
fn lines(ran: &Ran) -> BTreeMap<String, Value> {
    let parsed = ran.stdout.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["attr"].as_str().unwrap().to_owned(), line)
    });
    let lines: BTreeMap<_, _> = parsed.collect();
    assert_eq!(lines.len(), ran.stdout.lines().count(), "{}", ran.report());
    lines
}

/// A set with all kinds of attributes.
fn write_set(world: &World) {
    world.write(
        "set.nix",
        r#"{ suffix ? "", many ? 20 }:
let
  run = import ./run.nix;
  numbered = builtins.listToAttrs (builtins.genList (n: {
    name = "n${toString n}";
    value = run "numbered-${toString n}" "echo >$out" { inherit dependency; };
  }) many);
  dependency = run "dependency" "echo >$out" { };
in numbered // {
  plain = run "plain${suffix}" "echo >$out" {
    outputs = [ "out" "dev" ];
    requiredSystemFeatures = [ "kvm" "big-parallel" ];
    meta = null;
  } // { meta = { description = "text"; broken = throw "no"; position = "x:1"; }; };
  structured = run "structured" "" { __structuredAttrs = true; requiredSystemFeatures = [ "kvm" ]; };
  throws = throw "on purpose";
  aborts = abort "the end";
  overflows = let f = n: 1 + f n; in f 0;
  inner = { recurseForDerivations = true; "with.dot" = run "dot" "" { }; fails = run 1 "" { }; deep = { recurseForDerivations = true; x = dependency; }; };
  closed = { hidden = run "hidden" "" { }; };
  called = { n ? 1 }: run "called-${toString n}" "" { };
  number = 1;
}
"#,
    );
}

for_each_user! {
    fn same_derivations_as_stock_nix(world) {
        write_set(world);
        let file = world.path("set.nix");
        let file = file.to_str().unwrap();
        let ran = world.xbuild(&["eval-jobs", file, "--workers", "2", "--meta", "--check-cache-status", "--argstr", "suffix", "-x"]).succeeds();
        let found = lines(&ran);
        let stock = world.root().join("stock");
        let mut derivations = 0;
        for (attr, line) in &found {
            if line.get("error").is_some() {
                continue;
            }
            let expected = nix("nix-instantiate", &stock, &[file, "-A", attr, "--argstr", "suffix", "-x"]).succeeds();
            assert_eq!(line["drvPath"], expected.line(), "{attr}");
            assert!(world.is_valid(line["drvPath"].as_str().unwrap()), "{attr}");
            derivations += 1;
        }
        assert_eq!(derivations, 25, "{}", ran.report());
        let plain = &found["plain"];
        assert_eq!(plain["name"], "plain-x");
        assert_eq!(plain["system"], "x86_64-linux");
        assert_eq!(plain["requiredSystemFeatures"], serde_json::json!(["kvm", "big-parallel"]));
        assert_eq!(plain["meta"], serde_json::json!({ "description": "text", "position": "x:1" }));
        assert_eq!(plain["isCached"], false);
        assert_eq!(plain["outputs"].as_object().unwrap().keys().collect::<Vec<_>>(), ["dev", "out"]);
        assert_eq!(found["structured"]["requiredSystemFeatures"], serde_json::json!(["kvm"]));
        assert_eq!(found["inner.\"with.dot\""]["attrPath"], serde_json::json!(["inner", "with.dot"]));
        let dependency = found["inner.deep.x"]["drvPath"].as_str().unwrap();
        assert_eq!(found["n3"]["inputDrvs"], serde_json::json!({ dependency: ["out"] }));
        // What fails is told of, with its message, and the others go on.
        for (attr, message) in [("throws", "error: on purpose"), ("aborts", "the end"), ("overflows", "stack overflow; max-call-depth exceeded"), ("inner.fails", "while")] {
            let error = found[attr]["error"].as_str().unwrap_or_else(|| panic!("{attr}: {}", found[attr]));
            assert!(error.contains(message), "{attr}: {error}");
        }
        for absent in ["closed", "closed.hidden", "number", "inner", ""] {
            assert!(!found.contains_key(absent), "{absent}");
        }
        ran.says(&["4 attributes could not be evaluated"]);
        let ran = world.xbuild(&["eval-jobs", file, "--force-recurse", "--workers", "1", "-A", "closed"]).succeeds();
        assert_eq!(lines(&ran).keys().collect::<Vec<_>>(), ["hidden"]);
        // When built, they are there.
        let built = world.xbuild(&["realise", "-f", file, "-A", "inner.deep.x", "--no-out-link"]).succeeds();
        let ran = world.xbuild(&["eval-jobs", "--expr", "{ a = (import ./set.nix { }).inner.deep.x; }", "--check-cache-status", "--apply", "d: { n = d.name; }"]).succeeds();
        let found = lines(&ran);
        assert_eq!(found["a"]["isCached"], true);
        assert_eq!(found["a"]["cacheStatus"], "local");
        assert_eq!(found["a"]["outputs"]["out"], built.line());
        assert_eq!(found["a"]["extraValue"], serde_json::json!({ "n": "dependency" }));
    }

    /// A root that cannot be evaluated is an error of the attribute "".
    fn a_root_that_fails(world) {
        let ran = world.xbuild(&["eval-jobs", "--expr", "throw \"everything\""]).succeeds();
        assert!(lines(&ran)[""]["error"].as_str().unwrap().contains("everything"));
        for (root, kind) in [("1", "an integer: 1"), ("\"text\"", "a string: \"text\""), ("null", "null"), ("[ ]", "a list: [ ]")] {
            let ran = world.xbuild(&["eval-jobs", "--workers", "1", "--expr", root]).succeeds();
            let error = lines(&ran)[""]["error"].as_str().unwrap().to_owned();
            assert!(error.contains("expected a derivation or a set of derivations") && error.contains(kind), "{error}");
        }
        // The whole need not ask to be looked into, but what it says counts, as with nix-eval-jobs.
        let ran = world.xbuild(&["eval-jobs", "--workers", "1", "--expr", "{ recurseForDerivations = false; a = throw \"a\"; }"]).succeeds();
        assert_eq!(ran.stdout, "");
        world.xbuild(&["eval-jobs", "nowhere.nix"]).succeeds();
        world.xbuild(&["eval-jobs"]).fails(2);
        world.xbuild(&["eval-jobs", "--expr", "1", "--option", "max-call-dept", "1"]).fails(1).says(&["max-call-depth"]);
    }

    /// A worker that takes too much memory is replaced; an attribute that takes too much by itself is an error.
    fn memory(world) {
        world.write("big.nix", r#"
let
  run = import ./run.nix;
  # Some 20 MiB each, which stay.
  big = n: builtins.seq (builtins.length (builtins.genList (x: x) 2600000)) (run "big-${toString n}" "" { });
  endless = builtins.foldl' (a: n: builtins.seq (builtins.length (builtins.genList (x: n) 1000000)) n) 0 (builtins.genList (x: x) 100000);
in { endless = run (toString endless) "" { }; } // builtins.listToAttrs (builtins.genList (n: { name = "b${toString n}"; value = big n; }) 12)
"#);
        let ran = world.xbuild(&["eval-jobs", "big.nix", "--workers", "2", "--max-memory-size", "100"]).succeeds();
        let found = lines(&ran);
        assert_eq!(found.len(), 13, "{}", ran.report());
        assert!(found["endless"]["error"].as_str().unwrap().contains("out of memory"), "{}", found["endless"]);
        for n in 0..12 {
            assert!(found[&format!("b{n}")]["drvPath"].is_string(), "{}", ran.report());
        }
    }

    fn of_a_flake(world) {
        let drv = |name: &str| format!(r#"derivation {{ name = "{name}"; system = "x86_64-linux"; builder = "b"; }}"#);
        world.write("flake/flake.nix", format!("{{ outputs = {{ self }}: {{ jobs = {{ one = {}; more = {{ recurseForDerivations = true; two = {}; }}; bad = throw \"bad\"; }}; }}; }}", drv("one"), drv("two")));
        // As a path: where the tests run may be within a repository.
        let flake = format!("path:{}", world.path("flake").display());
        let ran = world.xbuild(&["eval-jobs", &format!("{flake}#jobs")]).succeeds();
        let found = lines(&ran);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["bad", "more.two", "one"]);
        assert!(found["bad"]["error"].is_string());
        let expected = world.xbuild(&["instantiate", "-E", &drv("two")]).succeeds();
        assert_eq!(found["more.two"]["drvPath"], expected.line());
        // The ways of nix-eval-jobs to say so, and to choose; links keep what is found.
        let ran = world.xbuild(&["eval-jobs", "--flake", &flake, "--select", "f: f.outputs.jobs // { i = builtins.throw (toString (builtins.attrNames f)); }", "--gc-roots-dir", "roots/drvs", "--show-input-drvs"]).succeeds();
        let found = lines(&ran);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["bad", "i", "more.two", "one"]);
        assert!(found["i"]["error"].as_str().unwrap().contains("inputs outputs"), "{}", found["i"]);
        let links = std::fs::read_dir(world.path("roots/drvs")).unwrap();
        let mut kept: Vec<_> = links.map(|link| format!("/nix/store/{}", link.unwrap().file_name().display())).collect();
        kept.sort();
        let mut told = vec![found["one"]["drvPath"].as_str().unwrap(), expected.line()];
        told.sort_unstable();
        assert_eq!(kept, told);
        let ran = world.xbuild(&["eval-jobs", "--flake", &format!("{flake}#jobs"), "--select", "jobs: { inherit (jobs) one; }"]).succeeds();
        assert_eq!(lines(&ran).keys().collect::<Vec<_>>(), ["one"]);
        let ran = world.xbuild(&["eval-jobs", "--expr", "{ }", "--select", "x: throw \"unwanted\""]).succeeds();
        assert!(lines(&ran)[""]["error"].as_str().unwrap().contains("unwanted"), "{}", ran.report());
        let ran = world.xbuild(&["eval-jobs", &format!("{flake}#nowhere")]).succeeds();
        assert!(lines(&ran)[""]["error"].as_str().unwrap().contains("nowhere"), "{}", ran.report());
        let ran = world.shell(&format!("printf '%s\\n' ':lf {flake}' 'jobs.one' ':lf ./nowhere' | \"$xbuild\" repl")).succeeds().says(&["Added", "nowhere"]);
        assert!(ran.stdout.contains("«derivation /nix/store/"), "{}", ran.report());
    }
}
