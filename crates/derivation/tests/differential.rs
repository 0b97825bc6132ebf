//! Derivations that stock Nix made: reading, writing, paths and JSON.

#[path = "../../store-model/tests/oracle/mod.rs"]
mod oracle;

use std::collections::HashMap;

use oracle::Oracle;
use xbuild_derivation::{Derivation, DrvHash, Error, Output, fill_outputs, hash_modulo};
use xbuild_store_model::StorePath;

const FEATURES: &str = "nix-command ca-derivations impure-derivations dynamic-derivations";

/// All that `derivation` can make: several outputs, strings with everything
/// to escape, fixed outputs of each kind, inputs of which two have the same
/// hash modulo, structured attributes, bytes that are no UTF-8.
const PLAIN: &str = r#"
rec {
  make = args: derivation ({ system = "x86_64-linux"; builder = "/bin/sh"; } // args);
  fetch = args: make ({ builder = "builtin:fetchurl"; outputHash = "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="; outputHashAlgo = "sha256"; } // args);
  dep = make { name = "dep"; args = [ "-c" "echo \"hi\"\n\t\\ é \\n" "" ]; outputs = [ "out" "dev" "lib" ]; foo = "a\nb\r\tc\"d\\e$"; };
  nodefault = make { name = "nodefault"; outputs = [ "lib" "a" ]; };
  recursive = fetch { name = "fixed"; outputHashMode = "recursive"; };
  flat = fetch { name = "flat"; url = "http://a"; };
  flatAgain = fetch { name = "flat"; url = "http://b"; };
  nar = fetch { name = "nar"; outputHashMode = "nar"; outputHash = "900150983cd24fb0d6963f7d28e17f72"; outputHashAlgo = "md5"; };
  sha1 = fetch { name = "sha1"; outputHash = "a9993e364706816aba3e25717850c26c9cd0d89d"; outputHashAlgo = "sha1"; };
  sha512 = fetch { name = "sha512"; outputHash = builtins.hashString "sha512" "x"; outputHashAlgo = "sha512"; };
  source = builtins.toFile "src" "hello";
  top = make { name = "top"; builder = "${dep.dev}/bin/x"; args = [ dep.out recursive flat flatAgain nar sha1 sha512 source dep.lib ]; };
  users = make { name = "users"; a = flat; b = make { name = "one"; x = flat; }; c = make { name = "one"; x = flatAgain; }; };
  structured = make { name = "structured"; __structuredAttrs = true; z = 1; a = [ 1 2 { b = "é\n"; a = null; } true ]; outputs = [ "out" "man" ]; inherit top; };
  deep = builtins.foldl' (below: n: make { name = "level-${toString n}"; inherit below; n = nodefault.a; }) top (builtins.genList (n: n) 20);
  ownOut = make { name = "own-out"; out = "mine"; };
  bytes = make { name = "bytes"; x = builtins.readFile ./bytes; };
}"#;

/// What needs Nix's experimental features.
const EXPERIMENTAL: &str = r#"
rec {
  make = args: derivation ({ system = "x86_64-linux"; builder = "/bin/sh"; } // args);
  floating = make { name = "floating"; __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; outputs = [ "out" "dev" ]; };
  deferred = make { name = "deferred"; builder = "${floating}"; outputs = [ "out" "dev" ]; };
  further = make { name = "further"; x = deferred.dev; };
  impure = make { name = "impure"; __impure = true; outputHashMode = "flat"; outputHashAlgo = "sha1"; };
  text = make { name = "text"; outputHashMode = "text"; outputHashAlgo = "sha256"; outputHash = "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="; };
  floatingText = make { name = "text.drv"; outputHashMode = "text"; outputHashAlgo = "sha256"; __contentAddressed = true; };
}"#;

/// The derivations that an expression makes, with all they depend on.
struct Made {
    oracle: Oracle,
    drvs: HashMap<StorePath, (Vec<u8>, Derivation)>,
    hashes: HashMap<StorePath, DrvHash>,
}

impl Made {
    fn new(expression: &str) -> Made {
        let oracle = Oracle::new();
        let file = oracle.dir().join("default.nix");
        std::fs::write(&file, expression).expect("a test file");
        std::fs::write(oracle.dir().join("bytes"), b"\xff\x80 \"\\").expect("a test file");
        let args = ["--extra-experimental-features", FEATURES, "default.nix"];
        oracle.bytes("nix-instantiate", args);
        let mut drvs = HashMap::new();
        for entry in std::fs::read_dir(oracle.physical("/nix/store")).expect("the store") {
            let name = entry.expect("an entry").file_name();
            let Some(name) = name.to_str().filter(|name| name.ends_with(".drv")) else {
                continue;
            };
            let path = StorePath::from_base_name(name).expect("a store path");
            let aterm = std::fs::read(oracle.physical(&path.to_string())).expect("a derivation");
            let drv = Derivation::parse_at(&path, &aterm).expect("a valid derivation");
            drvs.insert(path, (aterm, drv));
        }
        Made {
            oracle,
            drvs,
            hashes: HashMap::new(),
        }
    }

    fn get(&self, name: &str) -> &Derivation {
        let found = self.drvs.values().find(|(_, drv)| drv.name == name);
        &found.expect("the derivation was made").1
    }

    fn hash(&mut self, path: &StorePath) -> Result<DrvHash, Error> {
        if let Some(hash) = self.hashes.get(path) {
            return Ok(hash.clone());
        }
        let drv = self.drvs[path].1.clone();
        let hash = hash_modulo(&drv, &mut |path| self.hash(path))?;
        self.hashes.insert(path.clone(), hash.clone());
        Ok(hash)
    }

    /// The same bytes, the same path of the `.drv`, and from a derivation
    /// without output paths the same derivation again.
    fn check(&mut self) {
        let all: Vec<_> = self
            .drvs
            .iter()
            .map(|(path, both)| (path.clone(), both.clone()))
            .collect();
        for (path, (aterm, drv)) in all {
            let ours = drv.to_aterm();
            assert_eq!(
                String::from_utf8_lossy(&ours),
                String::from_utf8_lossy(&aterm),
                "{path}"
            );
            assert_eq!(ours, aterm, "{path}");
            assert_eq!(drv.drv_path(), Ok(path.clone()));

            let mut bare = drv.clone();
            for (name, output) in &mut bare.outputs {
                if matches!(output, Output::InputAddressed(_)) {
                    *output = Output::Deferred;
                }
                // As `derivationStrict` has it: whatever the user said.
                bare.env.insert(name.clone().into(), b"anything".to_vec());
            }
            let mut again = bare.clone();
            let filled = fill_outputs(&mut again, &mut |path| self.hash(path)).expect("computable");
            assert_eq!(again, drv);
            assert_eq!(filled.aterm, aterm);
            assert_eq!(Ok(filled.hash), self.hash(&path));
            // What is right already stays.
            fill_outputs(&mut again, &mut |path| self.hash(path)).expect("computable");
            assert_eq!(again, drv);
        }
    }

    /// The same JSON as the oracle's, for all at once; `except` has none.
    fn check_json(&self, except: &str) {
        let shown: Vec<_> = self
            .drvs
            .iter()
            .filter(|(_, (_, drv))| drv.name != except)
            .collect();
        let mut args = vec![
            "--extra-experimental-features".to_owned(),
            FEATURES.to_owned(),
        ];
        args.extend(["derivation".to_owned(), "show".to_owned()]);
        args.extend(shown.iter().map(|(path, _)| path.to_string()));
        let theirs: serde_json::Value =
            serde_json::from_slice(&self.oracle.bytes("nix", args)).expect("JSON");
        assert_eq!(theirs["version"], 4);
        for (path, (_, drv)) in shown {
            let ours = drv.to_json().expect("JSON");
            let theirs = &theirs["derivations"][path.base_name()];
            // As text: the order of keys counts.
            assert_eq!(ours.to_string(), theirs.to_string());
        }
    }
}

#[test]
fn plain_derivations() {
    let mut made = Made::new(PLAIN);
    assert_eq!(made.drvs.len(), 35);
    made.check();
    made.check_json("bytes");
    assert_eq!(made.get("bytes").env[&b"x"[..]], b"\xff\x80 \"\\");
    let error = made.get("bytes").to_json().expect_err("must fail");
    insta::assert_snapshot!(error, @"derivation 'bytes' cannot be shown as JSON: the environment variable 'x' is not valid UTF-8 (byte offset 0)");
    for (_, drv) in made.drvs.values() {
        assert!(drv.has_known_paths());
    }
    assert!(made.get("flat").fixed_output().is_some());
    assert!(made.get("top").fixed_output().is_none());
}

#[test]
fn experimental_derivations() {
    let mut made = Made::new(EXPERIMENTAL);
    made.check();
    made.check_json("");
    for (name, known, resolved) in [
        ("floating", false, false),
        ("deferred", false, true),
        ("further", false, true),
        ("impure", false, false),
        ("text", true, false),
    ] {
        assert_eq!(made.get(name).has_known_paths(), known, "{name}");
        assert_eq!(made.get(name).should_resolve(), resolved, "{name}");
    }
    assert!(made.get("impure").is_impure());
}

/// A derivation that depends on the output of a derivation that is itself an
/// output: the form with a version.
#[test]
fn dynamic_derivations() {
    let oracle = Oracle::new();
    let expression = r#"
      let d = derivation { name = "made.drv"; system = "x86_64-linux"; builder = "/bin/sh"; outputHashMode = "text"; outputHashAlgo = "sha256"; __contentAddressed = true; };
      in derivation { name = "user"; system = "x86_64-linux"; builder = builtins.outputOf d.outPath "out"; }"#;
    let args = ["--extra-experimental-features", FEATURES, "-E", expression];
    let path = oracle.text("nix-instantiate", args);
    let aterm = std::fs::read(oracle.physical(&path)).expect("a derivation");
    let error = Derivation::parse("user", &aterm).expect_err("must fail");
    insta::assert_snapshot!(error, @"derivation 'user' is not valid: at byte 15: derivation format version 'xp-dyn-drv' is not supported: dynamic derivations (a derivation that is the output of another one) cannot be built; only the form 'Derive(…)' is");
}
