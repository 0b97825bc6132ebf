//! Every derivation of `default.nix`, for every board, is the same for stock Nix: the same `.drv` paths and bytes.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use support::oracle::nix;
use support::repository;
use support::world::{Who, World};

/// All derivations below a value, by attribute path.
const WALK: &str = r#"
let
  walk = path: value:
    if builtins.isAttrs value then
      if (value.type or null) == "derivation" then [ { inherit path value; } ]
      else builtins.concatMap (name: walk (if path == "" then name else "${path}.${name}") value.${name}) (builtins.attrNames value)
    else if builtins.isList value then
      builtins.concatLists (builtins.genList (i: walk "${path}.${toString i}" (builtins.elemAt value i)) (builtins.length value))
    else [ ];
in
"#;

/// Every file of the store directory that is a derivation or a plain source, by name.
fn files(store: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(store.join("nix/store")).expect("list the store") {
        let entry = entry.expect("list the store");
        if entry.file_type().expect("look at a file").is_file() {
            let name = entry.file_name().into_string().expect("UTF-8");
            if !name.ends_with(".lock") {
                files.insert(
                    name,
                    fs::read(entry.path()).expect("read a file of the store"),
                );
            }
        }
    }
    files
}

#[test]
fn same_derivations() {
    let world = World::new("same-derivations", Who::Caller);
    let stock = world.root().join("stock");
    let default_nix = repository().join("default.nix");
    // The attribute paths and what they are.
    let described = world.write(
        "described.nix",
        format!(
            "{WALK} builtins.listToAttrs (map (found: {{ name = found.path; value = map (output: found.value.${{output}}.outPath)
               (found.value.outputs or [ \"out\" ]) ++ [ found.value.drvPath ]; }}) (walk \"\" (import {})))",
            default_nix.display()
        ),
    );
    let described = described.to_str().expect("UTF-8");
    let ours = world
        .xbuild(&["eval", "--strict", "--json", described])
        .succeeds()
        .json();
    let theirs = nix(
        "nix-instantiate",
        &stock,
        &["--eval", "--strict", "--json", described],
    )
    .succeeds()
    .json();
    let (ours, theirs) = (
        ours.as_object().expect("a set"),
        theirs.as_object().expect("a set"),
    );
    for (attribute, paths) in theirs {
        assert_eq!(
            ours.get(attribute),
            Some(paths),
            "{attribute}: ours and theirs"
        );
    }
    assert_eq!(ours.len(), theirs.len());
    for attribute in [
        "hello",
        "fmt-demo",
        "nvidia-jetson-orin-agx64.zlib",
        "nxp-imx8mp-evk.busybox",
        "toolchains.crossGcc",
        "toolchains.boot",
    ] {
        assert!(
            ours.contains_key(attribute),
            "{attribute} is missing: {:?}",
            ours.keys()
        );
    }

    // All of them, written into a store of each.
    let all = world.write(
        "all.nix",
        format!(
            "{WALK} map (found: found.value) (walk \"\" (import {}))",
            default_nix.display()
        ),
    );
    let all = all.to_str().expect("UTF-8");
    let (ours, theirs) = (
        world.xbuild(&["instantiate", all]).succeeds(),
        nix("nix-instantiate", &stock, &[all]).succeeds(),
    );
    assert_eq!(ours.lines(), theirs.lines());
    let (ours, theirs) = (files(world.store()), files(&stock));
    for (name, content) in &theirs {
        match ours.get(name) {
            Some(same) => assert!(
                same == content,
                "{name}\nours:   {}\ntheirs: {}",
                String::from_utf8_lossy(same),
                String::from_utf8_lossy(content)
            ),
            None => panic!("{name} is missing:\n{}", String::from_utf8_lossy(content)),
        }
    }
    let extra: Vec<&String> = ours
        .keys()
        .filter(|name| !theirs.contains_key(*name))
        .collect();
    assert!(extra.is_empty(), "only ours: {extra:?}");
    assert!(theirs.keys().filter(|name| name.ends_with(".drv")).count() > 50);

    // One flag makes everything content-addressed, from the toolchain to the images.
    let file = default_nix.to_str().expect("UTF-8");
    let features = ["--extra-experimental-features", "ca-derivations"];
    let flag = ["--arg", "contentAddressed", "true"];
    for attribute in ["hello", "nxp-imx8mp-evk-debug-from-x86_64"] {
        let args = [&[file, "-A", attribute], &flag[..], &features[..]].concat();
        let instantiate = [&["instantiate"], &args[..]].concat();
        let ours = world.xbuild(&instantiate).succeeds();
        let theirs = nix("nix-instantiate", &stock, &args).succeeds();
        assert_eq!(ours.stdout, theirs.stdout, "{attribute}");
        let show = [
            &["derivation", "show", "--recursive", ours.line()],
            &features[..],
        ]
        .concat();
        let shown = world.xbuild(&show).succeeds().json();
        let mut kinds = BTreeMap::new();
        for drv in shown["derivations"].as_object().expect("a set").values() {
            for output in drv["outputs"].as_object().expect("a set").values() {
                let known = output.get("hash").is_some();
                *kinds
                    .entry((known, output.get("method").is_some()))
                    .or_insert(0) += 1;
            }
        }
        // Either a download, or named by its contents once it is built.
        assert_eq!(
            kinds.keys().collect::<Vec<_>>(),
            [&(false, true), &(true, true)],
            "{attribute}: {kinds:?}"
        );
    }

    // The commands that people type say the same.
    for attribute in ["hello", "nvidia-jetson-orin-nx.pigz", "toolchains.crossGcc"] {
        let ours = world
            .xbuild(&["instantiate", file, "-A", attribute])
            .succeeds();
        let theirs = nix("nix-instantiate", &stock, &[file, "-A", attribute]).succeeds();
        assert_eq!(ours.stdout, theirs.stdout, "{attribute}");
        let drv = ours.line();
        let shown = world
            .xbuild(&["derivation", "show", "--recursive", drv])
            .succeeds()
            .json();
        let expected = nix("nix", &stock, &["derivation", "show", "--recursive", drv])
            .succeeds()
            .json();
        assert_eq!(shown, expected, "{attribute}");
    }
}
