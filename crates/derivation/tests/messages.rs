//! What is said about derivations that are wrong.

use std::collections::{BTreeMap, BTreeSet};

use xbuild_derivation::{Derivation, DrvHash, Error, Output, fill_outputs, hash_modulo};
use xbuild_store_model::{ContentAddressMethod, Hash, HashAlgo, StorePath};

const HASH: &str = "00bgd045z0d4icpbc2yyz4gx48ak44la";

fn parse_error(aterm: &str) -> String {
    let error = Derivation::parse("x", aterm.as_bytes()).expect_err("must fail");
    error
        .to_string()
        .replacen("derivation 'x' is not valid: ", "", 1)
}

/// A derivation with these outputs and nothing else.
fn with_outputs(outputs: &str) -> String {
    format!(r#"Derive([{outputs}],[],[],"s","b",[],[])"#)
}

#[test]
fn structure() {
    insta::assert_snapshot!(parse_error(""), @"at byte 0: expected 'Derive(', found the end of the file");
    insta::assert_snapshot!(parse_error("{ }: derivation"), @"at byte 0: expected 'Derive(', found '{ }: derivation'");
    insta::assert_snapshot!(parse_error("Derive("), @"at byte 7: expected '[', found the end of the file");
    insta::assert_snapshot!(parse_error(r#"Derive([],[],[],"s","b",[],[]"#), @"at byte 29: expected ')', found the end of the file");
    insta::assert_snapshot!(parse_error(r#"Derive([],[],[],"s","b",[],[])x"#), @"at byte 30: expected the end of the derivation, found 'x'");
    insta::assert_snapshot!(parse_error(r#"Derive([],[],[],"s","b",[,"a"],[])"#), @r#"at byte 25: expected a string, found ',"a"],[])'"#);
    insta::assert_snapshot!(parse_error(r#"Derive([],[],[],"s","b",["a" "c"],[])"#), @r#"at byte 28: expected ',' or ']', found ' "c"],[])'"#);
    insta::assert_snapshot!(parse_error(r#"Derive([],[],[],"s","b",["a"#), @r#"at byte 27: expected '"' at the end of a string, found the end of the file"#);
    insta::assert_snapshot!(parse_error(r#"Derive([],[],[],"s","b",["a\"#), @r#"at byte 27: expected '"' at the end of a string, found '\\'"#);
    insta::assert_snapshot!(parse_error(r#"Derive([],[],[],"s","b",[],[("a","1"),("a","2")])"#), @"at byte 39: environment variable 'a' occurs twice");
    insta::assert_snapshot!(parse_error(r#"DrvWithVersion("new",[],[])"#), @"at byte 15: derivation format version 'new' is not supported: dynamic derivations (a derivation that is the output of another one) cannot be built; only the form 'Derive(…)' is");
}

#[test]
fn inputs() {
    let with_input = |input: &str| format!(r#"Derive([],[{input}],[],"s","b",[],[])"#);
    insta::assert_snapshot!(parse_error(&with_input(r#"("/tmp/x",["out"])"#)), @"at byte 12: path '/tmp/x' is not in the Nix store");
    insta::assert_snapshot!(parse_error(&with_input(&format!(r#"("/nix/store/{HASH}-x",[])"#))), @r#"at byte 62: expected at least one output name, found ')],[],"s","b",[],[])'"#);
    insta::assert_snapshot!(parse_error(&with_input(&format!(r#"("/nix/store/{HASH}-x",["a","a"])"#))), @"at byte 65: output 'a' occurs twice");
    insta::assert_snapshot!(parse_error(&format!(r#"Derive([],[],["/nix/store/{HASH}-x","/nix/store/{HASH}-x"],"s","b",[],[])"#)), @"at byte 62: input source '/nix/store/00bgd045z0d4icpbc2yyz4gx48ak44la-x' occurs twice");
}

#[test]
fn outputs() {
    let show = |output: &str| parse_error(&with_outputs(output));
    insta::assert_snapshot!(show(r#"("out","/nix/store/x","","")"#), @"
at byte 15: 'x' is too short to be a valid store path
hint: it should be a 32-character hash, '-' and a name
");
    insta::assert_snapshot!(show(r#"("out","","","abc")"#), @r#"at byte 18: expected a hash algorithm, since there is a hash, found '"","abc")],[],[],"s"…'"#);
    insta::assert_snapshot!(show(r#"("out","","git:sha1","abc")"#), @"at byte 18: content address 'git:sha1' uses Git hashing, which is not supported; use 'nar' or 'flat'");
    insta::assert_snapshot!(show(r#"("out","","sha3","abc")"#), @"at byte 18: unknown hash algorithm 'sha3', expect 'blake3', 'md5', 'sha1', 'sha256', or 'sha512'");
    insta::assert_snapshot!(show(r#"("out","","sha256","abc")"#), @"
at byte 27: hash 'abc' has wrong length for hash algorithm 'sha256'
hint: it has 3 characters, and should have 64 (base-16), 52 (base-32) or 44 (base-64)
");
    insta::assert_snapshot!(show(r#"("out","/nix","sha256","")"#), @r#"at byte 15: expected no path, since the output's hash is not known before the build, found '"/nix","sha256","")]…'"#);
    insta::assert_snapshot!(show(&format!(r#"("out","/nix/store/{HASH}-x","md5","900150983cd24fb0d6963f7d28e17f72")"#)), @"at byte 9: output 'out' has path '/nix/store/00bgd045z0d4icpbc2yyz4gx48ak44la-x', but its hash demands '/nix/store/z1cvddiavkafvh2m4k9ad0s5sksalf79-x'");
}

fn drv(outputs: impl IntoIterator<Item = (&'static str, Output)>) -> Derivation {
    Derivation {
        name: "x".to_owned(),
        outputs: outputs
            .into_iter()
            .map(|(name, output)| (name.to_owned(), output))
            .collect(),
        input_drvs: BTreeMap::new(),
        input_srcs: BTreeSet::new(),
        system: b"x86_64-linux".to_vec(),
        builder: b"/bin/sh".to_vec(),
        args: Vec::new(),
        env: BTreeMap::new(),
    }
}

fn no_inputs(path: &StorePath) -> Result<DrvHash, Error> {
    panic!("{path} was asked for")
}

#[test]
fn outputs_that_do_not_go_together() {
    let fixed = |output| {
        Output::fixed(
            "x",
            output,
            ContentAddressMethod::FLAT,
            Hash::of(HashAlgo::Sha256, b""),
        )
        .expect("a valid name")
    };
    let floating = |algo| Output::Floating {
        method: ContentAddressMethod::FLAT,
        algo,
    };
    let show = |drv: Derivation| {
        let error = hash_modulo(&drv, &mut no_inputs).expect_err("must fail");
        assert_eq!(
            fill_outputs(&mut drv.clone(), &mut no_inputs),
            Err(error.clone())
        );
        error.to_string()
    };
    insta::assert_snapshot!(show(drv([])), @"derivation 'x' has no outputs: it must have at least one");
    insta::assert_snapshot!(show(drv([("out", Output::Deferred), ("dev", fixed("dev"))])), @"derivation 'x' mixes kinds of outputs: 'dev' is fixed, 'out' is deferred");
    insta::assert_snapshot!(show(drv([("dev", fixed("dev"))])), @"derivation 'x' has the fixed output 'dev': a fixed-output derivation must have a single output named 'out'");
    insta::assert_snapshot!(show(drv([("out", fixed("out")), ("z", fixed("z"))])), @"derivation 'x' has the fixed output 'z': a fixed-output derivation must have a single output named 'out'");
    insta::assert_snapshot!(show(drv([("a", floating(HashAlgo::Md5)), ("b", floating(HashAlgo::Sha1))])), @"derivation 'x': all floating outputs must use the same hash algorithm");
}

#[test]
fn wrong_paths() {
    let path = StorePath::from_base_name(&format!("{HASH}-x")).expect("a valid name");
    let mut wrong = drv([("out", Output::InputAddressed(path.clone()))]);
    let before = wrong.clone();
    let error = fill_outputs(&mut wrong, &mut no_inputs).expect_err("must fail");
    insta::assert_snapshot!(error, @"derivation 'x' has incorrect output 'out': it is '/nix/store/00bgd045z0d4icpbc2yyz4gx48ak44la-x', should be '/nix/store/2jws8ycp53v99pfiqi7z946qx6pckl87-x'");
    assert_eq!(wrong.outputs, before.outputs);

    let input = StorePath::from_base_name(&format!("{HASH}-y.drv")).expect("a valid name");
    wrong
        .input_drvs
        .insert(input, BTreeSet::from(["out".to_owned()]));
    let hash = Hash::of(HashAlgo::Sha256, b"");
    let deferred = &mut |_: &StorePath| Ok::<_, Error>(DrvHash::Deferred(hash));
    let error = fill_outputs(&mut wrong, deferred).expect_err("must fail");
    insta::assert_snapshot!(error, @"derivation 'x' states the path '/nix/store/00bgd045z0d4icpbc2yyz4gx48ak44la-x' for output 'out', but it depends on an output whose path is only known after its build");
    let fixed = &mut |_: &StorePath| Ok::<_, Error>(DrvHash::Fixed(BTreeMap::new()));
    let error = fill_outputs(&mut wrong, fixed).expect_err("must fail");
    insta::assert_snapshot!(error, @"derivation 'x' needs output 'out' of '/nix/store/00bgd045z0d4icpbc2yyz4gx48ak44la-y.drv', which has no such output");

    let mut long = drv([("out", Output::Deferred)]);
    long.name = "x".repeat(212);
    let error = fill_outputs(&mut long, &mut no_inputs).expect_err("must fail");
    assert!(
        error.to_string().contains("no longer than 211 characters"),
        "{error}"
    );
    long.name = "x".repeat(208);
    let error = long.drv_path().expect_err("must fail");
    assert!(
        error.to_string().contains("no longer than 211 characters"),
        "{error}"
    );
}

#[test]
fn structured_attributes_that_are_none() {
    let mut drv = drv([("out", Output::Deferred)]);
    drv.env.insert(b"__json".to_vec(), b"{ nonsense".to_vec());
    insta::assert_snapshot!(drv.to_json().expect_err("must fail"), @"derivation 'x': environment variable '__json' must hold a JSON object: key must be a string at line 1 column 3");
    drv.env.insert(b"__json".to_vec(), b"[]".to_vec());
    insta::assert_snapshot!(drv.to_json().expect_err("must fail"), @"derivation 'x': environment variable '__json' must hold a JSON object: it holds another JSON value");
}
