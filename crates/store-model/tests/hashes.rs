//! Hashes and their text forms, compared with stock Nix.

mod oracle;

use oracle::Oracle;
use xbuild_store_model::{Hash, HashAlgo};

/// Nix keeps BLAKE3 behind an experimental feature.
const FEATURES: [&str; 2] = ["--extra-experimental-features", "blake3-hashes"];

/// What an expression gives that is a list of strings.
fn strings(oracle: &Oracle, expression: &str) -> Vec<String> {
    std::fs::write(oracle.dir().join("list.nix"), expression).expect("a test file");
    let args = ["--eval", "--strict", "--json", "list.nix"];
    let json = oracle.text("nix-instantiate", FEATURES.into_iter().chain(args));
    let inner = json.trim_matches(['[', ']']);
    inner
        .split(',')
        .map(|text| text.trim_matches('"').to_owned())
        .collect()
}

#[test]
fn every_algorithm_in_every_form() {
    let oracle = Oracle::new();
    let (mut ours, mut expression) = (Vec::new(), String::from("["));
    for (i, contents) in [&b""[..], b"x", b"hello, world\n", &[0xff; 100_000]]
        .iter()
        .enumerate()
    {
        let file = oracle.dir().join(format!("file{i}"));
        std::fs::write(&file, contents).expect("a test file");
        for algo in HashAlgo::ALL {
            let hash = Hash::of(algo, contents);
            for (form, ours_is) in [
                ("base16", hash.to_base16()),
                ("nix32", hash.to_base32()),
                ("base64", hash.to_base64()),
                ("sri", hash.to_sri()),
            ] {
                expression += &format!(
                    "(builtins.convertHash {{ hash = builtins.hashFile \"{algo}\" ./file{i}; \
                     hashAlgo = \"{algo}\"; toHashFormat = \"{form}\"; }})\n"
                );
                ours.push(ours_is);
            }
        }
        // The program, whose forms are named otherwise.
        let hash = Hash::of(HashAlgo::Sha256, contents);
        for (option, ours) in [
            ("--base32", hash.to_base32()),
            ("--base64", hash.to_base64()),
            ("--sri", hash.to_sri()),
            ("--base16", hash.to_base16()),
        ] {
            let file = file.to_str().expect("UTF-8");
            assert_eq!(
                oracle.text("nix-hash", ["--flat", "--type", "sha256", option, file]),
                ours
            );
        }
    }
    assert_eq!(ours, strings(&oracle, &(expression + "]")));
}

/// The same texts are accepted, with the same result, and the same refused.
#[test]
fn parsing_agrees() {
    let oracle = Oracle::new();
    let mut texts: Vec<(String, Option<HashAlgo>)> = Vec::new();
    for algo in [HashAlgo::Md5, HashAlgo::Sha256] {
        let hash = Hash::of(algo, b"abc");
        let bare = [hash.to_base16(), hash.to_base32(), hash.to_base64()];
        for text in &bare {
            for known in [None, Some(algo), Some(HashAlgo::Sha1)] {
                texts.push((text.clone(), known));
                texts.push((format!("{algo}:{text}"), known));
                texts.push((format!("{algo}-{text}"), known));
            }
            texts.push((text.to_uppercase(), Some(algo)));
            texts.push((text[1..].to_owned(), Some(algo)));
            texts.push((format!("{text}0"), Some(algo)));
            texts.push((format!(" {text}"), Some(algo)));
        }
        let [base16, base32, base64] = &bare;
        let sri = hash.to_sri();
        for text in [
            sri.trim_end_matches('=').to_owned(),
            format!("{sri}="),
            format!("{sri}garbage"),
            format!("{}\n", sri),
            sri.replacen('A', "\n", 1),
            sri.to_uppercase(),
            format!("{algo}-"),
            format!("{algo}:"),
            format!("-{base64}"),
            format!(":{base16}"),
            format!("{algo}:{algo}:{base16}"),
            format!("{algo}-{algo}-{base64}"),
            format!("{algo}:-{base64}"),
        ] {
            texts.push((text.clone(), None));
            texts.push((text, Some(algo)));
        }
        // Digits that are none, numbers that do not fit, padding inside.
        texts.push((base32.replace(char::is_numeric, "e"), Some(algo)));
        texts.push((format!("z{}", &base32[1..]), Some(algo)));
        texts.push((format!("{}g", &base16[1..]), Some(algo)));
        texts.push((format!("{}==", &base64[..base64.len() - 2]), Some(algo)));
        texts.push((format!("{}=A", &base64[..base64.len() - 2]), Some(algo)));
        texts.push((format!("{}_", &base64[1..]), Some(algo)));
        texts.push((format!("é{}", &base16[2..]), Some(algo)));
    }
    texts.push((String::new(), None));
    texts.push(("sha3-abc".to_owned(), None));
    texts.push(("sha256".to_owned(), None));

    // `convertHash` reads with the same function as everything else in Nix. Its
    // errors cannot be caught inside an expression, so each text is one call.
    let quote = |text: &str| format!("{:?}", text).replace("\\u{a}", "\\n");
    let convert = |text: &str, known: Option<HashAlgo>| {
        let algo = known.map_or(String::new(), |algo| format!("hashAlgo = \"{algo}\";"));
        let text = quote(text);
        format!("builtins.convertHash {{ hash = {text}; {algo} toHashFormat = \"base16\"; }}")
    };
    let (mut accepted, mut expression) = (Vec::new(), String::from("["));
    for (text, known) in &texts {
        match Hash::parse_any(text, *known) {
            Ok(hash) => {
                accepted.push(hash.to_base16());
                expression += &format!("({})\n", convert(text, *known));
            }
            Err(error) => {
                let said = oracle.run("nix-instantiate", ["--eval", "-E", &convert(text, *known)]);
                assert!(
                    !said.ok,
                    "{text:?} with {known:?} is accepted, but: {error}"
                );
            }
        }
    }
    assert!(accepted.len() > 20 && accepted.len() < texts.len() - 20);
    assert_eq!(accepted, strings(&oracle, &(expression + "]")));
}

#[test]
fn messages() {
    let show = |text: &str, algo| {
        Hash::parse_any(text, algo)
            .expect_err("must fail")
            .to_string()
    };
    insta::assert_snapshot!(show("abc", None), @"
hash 'abc' does not include a type, nor is the type otherwise known from context
hint: write it as 'sha256-…' or 'sha256:…'
");
    insta::assert_snapshot!(show("sha1:abc", Some(HashAlgo::Sha256)), @"hash 'sha1:abc' should have type 'sha256'");
    insta::assert_snapshot!(show("sha256:abc", None), @"
hash 'abc' has wrong length for hash algorithm 'sha256'
hint: it has 3 characters, and should have 64 (base-16), 52 (base-32) or 44 (base-64)
");
    insta::assert_snapshot!(show("sha256-abcd", None), @"invalid SRI hash 'abcd', length 3 != expected length 32");
    insta::assert_snapshot!(show("sha256-ab_d", None), @"
invalid SRI hash 'ab_d', length 0 != expected length 32
hint: '_' at offset 2 is no digit of it
");
    insta::assert_snapshot!(show("md5:g0000000000000000000000000000000", None), @"
invalid base16 hash 'g0000000000000000000000000000000', length 0 != expected length 16
hint: 'g' at offset 0 is no digit of it
");
    insta::assert_snapshot!(show("md5:zzzzzzzzzzzzzzzzzzzzzzzzzz", None), @"
invalid nix32 hash 'zzzzzzzzzzzzzzzzzzzzzzzzzz', length 17 != expected length 16
hint: its number does not fit into 16 bytes
");
    let error = Hash::parse_sri("sha256:abc").expect_err("must fail");
    insta::assert_snapshot!(error, @"hash 'sha256:abc' is not in SRI form ('sha256-' and so on, then base-64)");
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parsing_undoes_printing(data: Vec<u8>, algo in 0usize..5) {
            let algo = HashAlgo::ALL[algo];
            let hash = Hash::of(algo, &data);
            for text in [hash.to_sri(), hash.to_prefixed_base16(), hash.to_prefixed_base32(),
                         format!("{algo}:{}", hash.to_base64())] {
                prop_assert_eq!(Hash::parse_any(&text, None), Ok(hash));
            }
            for text in [hash.to_base16(), hash.to_base32(), hash.to_base64()] {
                prop_assert_eq!(Hash::parse_bare(&text, algo), Ok(hash));
            }
        }

        #[test]
        fn never_panics(text in "(md5|sha1|sha256|sha512|blake3)?[:-]?[0-9a-zA-Z+/=é\n]{0,130}") {
            let _ = Hash::parse_any(&text, None);
            for algo in HashAlgo::ALL {
                let _ = Hash::parse_any(&text, Some(algo));
            }
        }
    }
}
