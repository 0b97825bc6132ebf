//! Derivations: the bytes of every `.drv` file are those that stock Nix writes.

#[path = "common/oracle.rs"]
mod oracle;

use std::fmt::Write as _;

use oracle::Oracle;
use xbuild_eval::local_host::LocalHost;
use xbuild_eval::{Evaluator, Settings, stack};

/// A list of derivations with everything that has a meaning in one; `SOURCE` is a directory.
const DERIVATIONS: &str = r#"
let
  base = { system = "x86_64-linux"; builder = "/bin/sh"; };
  drv = attrs: derivation (base // attrs);
  plain = drv { name = "plain"; };
  multi = drv { name = "multi"; outputs = [ "out" "dev" "lib" ]; args = [ "-c" "echo \"$out\"\n\t\\" ]; };
  fixed = drv { name = "fixed"; outputHash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="; };
  recursive = drv { name = "recursive"; outputHashMode = "recursive"; outputHashAlgo = "sha256"; outputHash = "0000000000000000000000000000000000000000000000000000"; };
  text = builtins.toFile "text" "refers to ${plain}";
  chain = n: drv { name = "chain-${toString n}"; previous = if n == 0 then null else [ (chain (n - 1)) fixed.out ]; };
in [
  plain multi fixed recursive
  (drv { name = "sha1"; outputHashAlgo = "sha1"; outputHash = "da39a3ee5e6b4b0d3255bfef95601890afd80709"; })
  (drv { name = "uses"; a = plain; b = multi.dev; c = "${fixed}/x"; d = [ multi.lib recursive ]; })
  (drv { name = "deep"; drvs = plain.drvPath; multi = multi.drvPath; })
  (drv { name = "source"; src = SOURCE; file = SOURCE/file; interpolated = "${SOURCE}/sub"; })
  (drv { name = "text-file"; text = builtins.toFile "plain-text" "contents"; })
  (drv { name = "nulls"; __ignoreNulls = true; a = null; b = [ ]; c = true; d = false; e = 1; f = 1.5; })
  (drv { name = "no-ignore"; a = null; __structuredAttrs = false; })
  (drv { name = "structured"; __structuredAttrs = true; outputs = [ "out" "bin" ]; a = { x = [ 1 2.5 null true ]; y = plain; }; s = "q\"\n"; src = SOURCE/file; })
  (drv { name = "discard"; a = builtins.unsafeDiscardOutputDependency plain.drvPath; b = builtins.unsafeDiscardStringContext "${plain}"; })
  (drv { name = "to-string"; a = { __toString = self: "v"; }; b = { outPath = "/x"; }; })
  (drv { name = "out-attr"; out = "overridden"; PATH = "/bin"; meta = "m"; passAsFile = [ "a" ]; })
  (chain 12)
]
"#;

#[test]
fn the_bytes_are_those_of_nix() {
    let oracle = Oracle::find();
    let source = oracle.file("source-marker", "");
    let source = source.parent().expect("a directory").join("tree");
    std::fs::create_dir_all(source.join("sub")).expect("a directory");
    std::fs::write(source.join("file"), "text\n").expect("a file");
    std::os::unix::fs::symlink("file", source.join("sub/link")).expect("a link");
    let text = DERIVATIONS.replace("SOURCE", source.to_str().expect("UTF-8"));
    let file = oracle.file("derivations.nix", &text);

    let output = oracle.instantiate(&[file.to_str().expect("UTF-8")]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let expected: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| line.split('!').next().unwrap_or_default().to_owned())
        .collect();

    let found: Vec<(String, Vec<u8>)> = stack::with_big_stack(|| {
        let mut ev = Evaluator::new(Box::new(LocalHost::new()), Settings::default());
        let value = ev.eval_file(&file).expect("the list evaluates");
        let found = ev.derivations(value, &[]).expect("derivations");
        found
            .iter()
            .map(|found| {
                let derivation = ev
                    .host
                    .read_derivation(&found.drv_path)
                    .expect("it was added");
                (found.drv_path.to_string(), derivation.to_aterm())
            })
            .collect()
    })
    .expect("a stack");

    assert_eq!(found.len(), expected.len());
    let mut wrong = String::new();
    for ((path, aterm), expected) in found.iter().zip(&expected) {
        let bytes = std::fs::read(oracle.physical(expected)).expect("Nix wrote it");
        if path != expected || *aterm != bytes {
            let _ = writeln!(
                wrong,
                "{expected}\n  {}\n{path}\n  {}",
                String::from_utf8_lossy(&bytes),
                String::from_utf8_lossy(aterm)
            );
        }
    }
    assert!(wrong.is_empty(), "different derivations:\n{wrong}");
}
