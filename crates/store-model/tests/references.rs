//! References, compared with those that stock Nix registers.

mod oracle;

use std::collections::BTreeSet;

use oracle::Oracle;
use xbuild_store_model::{RefScanner, StorePath, nar};

/// An output with references in file contents, in a link's target, in a file
/// name, cut in two, in capitals, and with other characters around.
#[test]
fn references_of_a_build() {
    let oracle = Oracle::new();
    let expression = r#"
      let source = name: builtins.toFile name name;
      in derivation {
        name = "refs"; system = "x86_64-linux"; builder = "/bin/sh";
        PATH = "/usr/bin:/bin";
        inFile = source "in-file"; inLink = source "in-link"; inName = source "in-name";
        bare = source "bare"; glued = source "glued"; cut = source "cut"; upper = source "upper";
        unused = source "unused"; far = source "far";
        args = [ "-c" ''
          part() { p=''${1##*/}; echo "''${p%%-*}"; }
          mkdir $out
          echo "see $inFile, and $out" > $out/file
          ln -s $inLink/no/such $out/link
          echo x > "$out/x$(part $inName)y"
          part $bare > $out/bare
          printf 'abc%sdfg' "$(part $glued)" > $out/glued
          part $cut | cut -c 1-31 > $out/cut1; part $cut | cut -c 2- > $out/cut2
          part $upper | tr a-z A-Z > $out/upper
          { head -c 262130 /dev/zero; part $far; } > $out/far
        '' ];
      }"#;
    let file = oracle.dir().join("default.nix");
    std::fs::write(file, expression).expect("a test file");
    // A store in another place is always built for in a sandbox.
    let host = ["--option", "sandbox-paths", "/bin /usr /lib /lib64"];
    let args = ["--no-out-link", "default.nix"].into_iter().chain(host);
    let built = StorePath::parse(&oracle.text("nix-build", args)).expect("a store path");
    let theirs = oracle.text("nix-store", ["-q", "--references", &built.to_string()]);
    let theirs: BTreeSet<StorePath> = theirs
        .lines()
        .map(|line| StorePath::parse(line).expect("a store path"))
        .collect();

    let mut candidates = BTreeSet::from([built.clone()]);
    for entry in std::fs::read_dir(oracle.physical("/nix/store")).expect("the store") {
        let name = entry.expect("an entry").file_name();
        candidates.extend(
            name.to_str()
                .and_then(|name| StorePath::from_base_name(name).ok()),
        );
    }
    let mut scanner = RefScanner::new(&candidates);
    nar::write_path(&oracle.physical(&built.to_string()), &mut scanner).expect("readable");
    let ours = scanner.found();
    assert_eq!(ours, theirs);
    let names: Vec<&str> = ours.iter().map(StorePath::name).collect();
    for name in [
        "in-file", "in-link", "in-name", "bare", "glued", "far", "refs",
    ] {
        assert!(names.contains(&name), "{name} is missing in {names:?}");
    }
    assert_eq!(names.len(), 7, "{names:?}");
}
