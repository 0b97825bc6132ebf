//! Random calls of the builtins that take texts apart: regular expressions, replacements, versions, hashes, references.

use super::random::Random;

/// A text as a literal of the language.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' | '$' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            _ => out.push(c),
        }
    }
    out + "\""
}

/// A few calls from a seed.
pub(crate) fn texts(seed: u64) -> String {
    let mut random = Random::new(seed);
    let mut out = String::from("[");
    for _ in 0..1 + random.below(3) {
        out += &format!(" ({})", call(&mut random));
    }
    out + " ]"
}

fn call(random: &mut Random) -> String {
    match random.below(20) {
        0..=4 => format!(
            "builtins.match {} {}",
            quoted(&regex(random, 3)),
            quoted(&subject(random))
        ),
        5..=9 => format!(
            "builtins.split {} {}",
            quoted(&regex(random, 3)),
            quoted(&subject(random))
        ),
        10 | 11 => {
            let count = random.below(4);
            let list = |random: &mut Random| {
                let length = if random.one_in(20) { count + 1 } else { count };
                let items: Vec<String> = (0..length)
                    .map(|_| {
                        let length = random.below(3);
                        quoted(&from_alphabet(random, "ab/é", length))
                    })
                    .collect();
                format!("[ {} ]", items.join(" "))
            };
            let (from, to) = (list(random), list(random));
            format!(
                "builtins.replaceStrings {from} {to} {}",
                quoted(&subject(random))
            )
        }
        12 => format!(
            "builtins.substring ({}) ({}) {}",
            odd_number(random),
            odd_number(random),
            quoted(&subject(random))
        ),
        13 | 14 => {
            let (one, other) = (version(random), version(random));
            format!(
                "let a = {}; b = {}; in [ (builtins.compareVersions a b) (builtins.splitVersion a) (builtins.parseDrvName b) ]",
                quoted(&one),
                quoted(&other)
            )
        }
        15 | 16 => hash(random),
        17 => format!("builtins.parseFlakeRef {}", quoted(&flake_ref(random))),
        18 => format!(
            "builtins.flakeRefToString (builtins.parseFlakeRef {})",
            quoted(&flake_ref(random))
        ),
        _ => {
            let operation = random.word(&["bitAnd", "bitOr", "bitXor", "add", "sub", "mul", "div"]);
            format!(
                "builtins.{operation} ({}) ({})",
                odd_number(random),
                odd_number(random)
            )
        }
    }
}

fn odd_number(random: &mut Random) -> &'static str {
    random.word(&[
        "0",
        "1",
        "2",
        "3",
        "-1",
        "-2",
        "7",
        "100",
        "4294967296",
        "9223372036854775807",
        "-9223372036854775807",
        "-9223372036854775807 - 1",
    ])
}

fn from_alphabet(random: &mut Random, alphabet: &str, length: usize) -> String {
    let all: Vec<char> = alphabet.chars().collect();
    (0..length).map(|_| *random.pick(&all)).collect()
}

fn subject(random: &mut Random) -> String {
    let alphabet = random.word(&["ab", "abc ", "aA1.-_", "ab\n", "a{}[]()|\\^$*+?", "xé"]);
    let length = random.below(9);
    from_alphabet(random, alphabet, length)
}

/// A POSIX extended regular expression, now and then one that is none.
fn regex(random: &mut Random, depth: usize) -> String {
    if depth == 0 {
        return atom(random);
    }
    match random.below(9) {
        0..=2 => {
            let parts: Vec<String> = (0..1 + random.below(3))
                .map(|_| regex(random, depth - 1))
                .collect();
            parts.concat()
        }
        3 => format!("({})", regex(random, depth - 1)),
        4 => format!(
            "({}|{})",
            regex(random, depth - 1),
            regex(random, depth - 1)
        ),
        5 => format!("{}|{}", regex(random, depth - 1), regex(random, depth - 1)),
        6 | 7 => {
            let inner = match random.below(3) {
                0 => atom(random),
                _ => format!("({})", regex(random, depth - 1)),
            };
            let repeat = random.word(&[
                "*", "+", "?", "{2}", "{1,}", "{0,2}", "{1,3}", "{0}", "**", "+?", "{2,1}", "{a}",
                "{", "{,2}",
            ]);
            format!("{inner}{repeat}")
        }
        _ => atom(random),
    }
}

fn atom(random: &mut Random) -> String {
    let plain = [
        "a", "b", "ab", ".", "[ab]", "[^a]", "[a-c]", "x", " ", "1", "é",
    ];
    let odd = [
        "^",
        "$",
        "[[:alpha:]]",
        "[[:digit:]_]",
        "[^[:space:]]",
        "[]a]",
        "[^]a]",
        "[a-]",
        "[-a]",
        "[.]",
        "\\.",
        "\\\\",
        "\\(",
        "\\n",
        "\\d",
        "\\1",
        "()",
        "",
        "[[.a.]]",
        "[[=a=]]",
        "[[:foo:]]",
        "[b-a]",
        "[",
        "(",
        ")",
        "*",
        "]",
        "}",
        "\\",
        "\\{",
        "\\a",
        "[\\]",
        "[a\\n]",
        "(?:a)",
        "\\<",
        "\\b",
        "\\w",
        "/",
        "-",
        "\n",
    ];
    if random.one_in(4) {
        (random.word(&odd)).to_owned()
    } else {
        (random.word(&plain)).to_owned()
    }
}

fn version(random: &mut Random) -> String {
    let parts = [
        "1",
        "0",
        "10",
        "01",
        "pre",
        "a",
        "b",
        "rc",
        ".",
        "-",
        "",
        "git",
        "2",
        "é",
        "_",
        "+",
        "--",
        "999999999999999999999",
    ];
    (0..random.below(7)).map(|_| random.word(&parts)).collect()
}

fn hash(random: &mut Random) -> String {
    let algorithm = random.word(&["md5", "sha1", "sha256", "sha512", "blake3", "sha3"]);
    let contents = quoted(&subject(random));
    let form = random.word(&["base16", "base32", "nix32", "base64", "sri", "base1"]);
    let mut hash = format!("builtins.hashString \"{algorithm}\" {contents}");
    if random.one_in(2) {
        let between = random.word(&["base16", "nix32", "base64", "sri"]);
        hash = format!(
            "builtins.convertHash {{ hash = {hash}; hashAlgo = \"{algorithm}\"; toHashFormat = \"{between}\"; }}"
        );
    }
    let hash = match random.below(5) {
        0 => format!("builtins.substring 0 20 ({hash})"),
        1 => format!("({hash}) + \"a\""),
        2 => format!("\"{algorithm}:\" + {hash}"),
        3 => format!("\"{algorithm}-\" + {hash}"),
        _ => hash,
    };
    let algorithm = match random.below(4) {
        0 => "",
        1 => "hashAlgo = null;",
        _ => &format!("hashAlgo = \"{algorithm}\";"),
    };
    format!("builtins.convertHash {{ hash = {hash}; {algorithm} toHashFormat = \"{form}\"; }}")
}

fn flake_ref(random: &mut Random) -> String {
    let start = random.word(&[
        "",
        "path:",
        "path://",
        "./",
        "/",
        "github:",
        "gitlab:",
        "sourcehut:~",
        "git+https://",
        "git+file:///",
        "git+ssh://git@",
        "https://",
        "tarball+https://",
        "file+https://",
        "flake:",
        "indirect:",
        "hg+https://",
        "foo:",
    ]);
    let parts = [
        "a", "b/c", "nixpkgs", "NixOS", "/", "x.org", ".", "..", "%20", "%zz", "é", "a b", "~u",
        "-", "_", "v1.0", ".tar.gz", "24.05", ":80", "@", "",
    ];
    let rest: Vec<&str> = (0..random.below(5)).map(|_| random.word(&parts)).collect();
    let mut reference = start.to_owned() + &rest.join(if random.one_in(2) { "/" } else { "" });
    let queries = [
        "rev=0123456789012345678901234567890123456789",
        "ref=main",
        "ref=a/b",
        "dir=sub",
        "dir=",
        "narHash=sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "narHash=",
        "host=h.org",
        "submodules=1",
        "shallow=0",
        "lastModified=12",
        "revCount=x",
        "foo=bar",
        "a=%41",
        "rev=abc",
        "=",
    ];
    if random.one_in(2) {
        for index in 0..1 + random.below(2) {
            reference.push(if index == 0 { '?' } else { '&' });
            reference += random.word(&queries);
        }
    }
    if random.one_in(8) {
        reference += "#frag";
    }
    reference
}
