//! Store paths, compared with stock Nix.

mod oracle;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use oracle::Oracle;
use xbuild_store_model::store_path::{
    check_name, downstream_placeholder, hash_placeholder, make_content_addressed_path,
    make_fixed_output_path, make_text_path,
};
use xbuild_store_model::{ContentAddress, FileIngestionMethod, Hash, HashAlgo, StorePath, nar};

fn none() -> BTreeSet<StorePath> {
    BTreeSet::new()
}

#[test]
fn sources_that_were_added() {
    let oracle = Oracle::new();
    let tree = oracle.dir().join("tree");
    std::fs::create_dir_all(tree.join("sub")).expect("a test tree");
    std::fs::write(tree.join("sub/script"), "#!/bin/sh\n").expect("a test file");
    std::fs::set_permissions(
        tree.join("sub/script"),
        std::fs::Permissions::from_mode(0o755),
    )
    .expect("a test file");
    std::os::unix::fs::symlink("../nowhere", tree.join("link")).expect("a test link");
    let file = oracle.dir().join("a-file.txt");
    std::fs::write(&file, "contents\n").expect("a test file");

    for path in [&tree, &file] {
        let text = path.to_str().expect("UTF-8");
        let name = path.file_name().and_then(|n| n.to_str()).expect("UTF-8");
        let (hash, _) = nar::hash_path(path, HashAlgo::Sha256).expect("readable");
        let ours =
            make_fixed_output_path(FileIngestionMethod::NixArchive, &hash, name, &none(), false)
                .expect("a valid name");
        assert_eq!(oracle.text("nix-store", ["--add", text]), ours.to_string());
        assert_eq!(oracle.text("nix", ["store", "add", text]), ours.to_string());
        for algo in [
            HashAlgo::Md5,
            HashAlgo::Sha1,
            HashAlgo::Sha256,
            HashAlgo::Sha512,
        ] {
            let (hash, _) = nar::hash_path(path, algo).expect("readable");
            let method = FileIngestionMethod::NixArchive;
            let ours = make_fixed_output_path(method, &hash, name, &none(), false);
            let args = ["--recursive", "--add-fixed", algo.name(), text];
            assert_eq!(
                oracle.text("nix-store", args),
                ours.expect("a valid name").to_string()
            );
        }
    }
    let contents = std::fs::read(&file).expect("readable");
    for algo in [
        HashAlgo::Md5,
        HashAlgo::Sha1,
        HashAlgo::Sha256,
        HashAlgo::Sha512,
    ] {
        let hash = Hash::of(algo, &contents);
        let ours = make_fixed_output_path(
            FileIngestionMethod::Flat,
            &hash,
            "a-file.txt",
            &none(),
            false,
        )
        .expect("a valid name");
        let args = ["--add-fixed", algo.name(), file.to_str().expect("UTF-8")];
        assert_eq!(oracle.text("nix-store", args), ours.to_string());
    }
}

#[test]
fn text_with_references() {
    let oracle = Oracle::new();
    let expression = r#"
      let a = builtins.toFile "a" "first"; b = builtins.toFile "b.txt" "second";
      in [ a b (builtins.toFile "c" "${b} and ${a}") ]"#;
    let args = ["--eval", "--strict", "--json", "-E", expression];
    let paths = oracle.text("nix-instantiate", args);
    let paths: Vec<StorePath> = paths
        .trim_matches(['[', ']'])
        .split(',')
        .map(|path| StorePath::parse(path.trim_matches('"')).expect("a store path"))
        .collect();
    let text = |name: &str, contents: &str, references: &BTreeSet<StorePath>| {
        make_text_path(
            name,
            &Hash::of(HashAlgo::Sha256, contents.as_bytes()),
            references,
        )
        .expect("a valid name")
    };
    assert_eq!(text("a", "first", &none()), paths[0]);
    assert_eq!(text("b.txt", "second", &none()), paths[1]);
    let references = BTreeSet::from([paths[0].clone(), paths[1].clone()]);
    let contents = format!("{} and {}", paths[1], paths[0]);
    assert_eq!(text("c", &contents, &references), paths[2]);
}

/// `make-content-addressed` rewrites a path to its own hash, with the
/// references and the self reference in the fingerprint.
#[test]
fn sources_with_references_and_a_self_reference() {
    let oracle = Oracle::new();
    let expression = r#"derivation {
        name = "selfish"; system = "x86_64-linux"; builder = "/bin/sh"; PATH = "";
        dep = builtins.toFile "dep" "a dependency";
        args = [ "-c" "echo $out $dep > $out" ];
    }"#;
    // A store in another place is always built for in a sandbox.
    let host = ["--option", "sandbox-paths", "/bin /usr /lib /lib64"];
    let args = ["--no-out-link", "-E", expression].into_iter().chain(host);
    let built = oracle.text("nix-build", args);
    let rewritten = oracle.text("nix", ["store", "make-content-addressed", "--json", &built]);
    let start = rewritten.rfind("/nix/store/").expect("a store path");
    let rewritten =
        StorePath::parse(rewritten[start..].trim_end_matches(['"', '}'])).expect("a store path");

    let info = oracle.text("nix", ["path-info", "--json", &rewritten.to_string()]);
    let field = |key: &str| {
        let start = info.find(key).expect("the field") + key.len() + 3;
        info[start..]
            .split('"')
            .next()
            .expect("its value")
            .to_owned()
    };
    let address: ContentAddress = field("ca").parse().expect("a content address");
    let contents = std::fs::read_to_string(oracle.physical(&rewritten.to_string()));
    let contents = contents.expect("the rewritten file");
    let (_, dep) = contents.trim().split_once(' ').expect("two paths");
    let references = BTreeSet::from([StorePath::parse(dep).expect("a store path")]);
    let ours = make_content_addressed_path("selfish", &address, &references, true);
    assert_eq!(ours, Ok(rewritten));
    assert_eq!(address.to_string(), field("ca"));
}

#[test]
fn names_agree() {
    let oracle = Oracle::new();
    let long = "x".repeat(211);
    let too_long = "x".repeat(212);
    for name in [
        "a", ".", "..", ".a", "..a", "...", ".-a", "..-a", "...-a", "-", "a b", "a/b", "é", "a:b",
        "+-._?=", "A9", "a~", "", &long, &too_long,
    ] {
        let expression = format!("builtins.toFile {name:?} \"\"");
        let said = oracle.run("nix-instantiate", ["--eval", "-E", &expression]);
        let ours = check_name(name);
        assert_eq!(ours.is_ok(), said.ok, "{name:?}: {ours:?}, {}", said.stderr);
    }
}

#[test]
fn placeholders() {
    let oracle = Oracle::new();
    for output in ["out", "dev", "lib"] {
        let expression = format!("builtins.placeholder \"{output}\"");
        let theirs = oracle.text("nix-instantiate", ["--eval", "--raw", "-E", &expression]);
        assert_eq!(hash_placeholder(output), theirs);

        // The text of an output whose path is not known yet.
        let expression = format!(
            r#"let d = derivation {{
                name = "floating"; system = "x86_64-linux"; builder = "/bin/sh";
                __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256";
                outputs = [ "out" "dev" "lib" ];
            }}; in builtins.unsafeDiscardStringContext "${{d.drvPath}} ${{d.{output}}}""#
        );
        let args = [
            "--extra-experimental-features",
            "ca-derivations",
            "--eval",
            "--raw",
            "-E",
        ];
        let theirs = oracle.text(
            "nix-instantiate",
            args.into_iter().chain([expression.as_str()]),
        );
        let (drv_path, theirs) = theirs.split_once(' ').expect("two strings");
        let drv_path = StorePath::parse(drv_path).expect("a store path");
        assert_eq!(downstream_placeholder(&drv_path, output), theirs);
    }
}

#[test]
fn what_cannot_have_references() {
    let path = make_text_path("x", &Hash::of(HashAlgo::Sha256, b""), &none()).expect("valid");
    let flat = make_fixed_output_path(
        FileIngestionMethod::Flat,
        &Hash::of(HashAlgo::Sha256, b""),
        "y",
        &BTreeSet::from([path]),
        false,
    );
    insta::assert_snapshot!(flat.expect_err("must fail"), @"fixed output 'y' is not allowed to refer to other store paths: only paths addressed by the SHA-256 hash of their NAR can have references");
    let text = make_text_path("y", &Hash::of(HashAlgo::Sha1, b""), &none());
    insta::assert_snapshot!(text.expect_err("must fail"), @"text path 'y' must be hashed with sha256, not sha1");
}
