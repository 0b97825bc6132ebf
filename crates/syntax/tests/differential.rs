//! The same texts through this parser and that of stock Nix.
#![allow(missing_docs)]

mod oracle;

use std::path::Path;

use oracle::{Oracle, PRELUDE, ours};

const ACCEPTED: &str = include_str!("snippets/accepted.txt");
const REJECTED: &str = include_str!("snippets/rejected.txt");

fn split(texts: &str) -> Vec<Vec<u8>> {
    texts
        .strip_suffix('\n')
        .unwrap_or(texts)
        .split("\n=====\n")
        .map(|text| text.as_bytes().to_vec())
        .collect()
}

/// Texts with bytes that would not survive in a text file.
fn odd_bytes() -> Vec<Vec<u8>> {
    [
        b"\"a\r\nb\rc\"".as_slice(),
        b"\"\r\"",
        b"\"\r\n\"",
        b"\"a\\\r\nb\"",
        b"\"$\r\n\"",
        b"\"$\r${a}\"",
        b"''a\r\nb''",
        b"''\r\n  a\r\n  b\r\n''",
        b"''\n  a\r\n    b\r\n  ''",
        b"''a''\\\r\nb''",
        b"a\r\n+\r\nb",
        b"# a\rb",
        b"a # b\r\n",
        b"\"a\0b\"",
        b"\"a\\\0b\"",
        b"\"a$\0b\"",
        b"''a\0b''",
        b"''a'\0b''",
        b"''a$\0b''",
        b"''a''\\\0b''",
        b"a\0b",
        b"a \0 (",
        b"\0",
        b"(a \0)",
        b"a # \0 b\n c",
        b"a /* \0 */ b",
        b"\"\xff\xfe\"",
        b"{ \"\xff\" = 1; }",
        b"\xff",
        b"\xef\xbb\xbfa",
        b"\xc2\xa0a",
        b"a\xc2\xa0b",
        b"a\x0bb",
        b"a\x0cb",
        b"a\tb",
        b"\"\x01\x1b\x7f\"",
        b"''\xc3\xa4\n \xc3\xb6''",
        b"a\x1a",
    ]
    .map(<[u8]>::to_vec)
    .to_vec()
}

/// Every operator next to every other one, with the prefix operators in all places.
fn operators() -> Vec<Vec<u8>> {
    const OPERATORS: [&str; 16] = [
        "->", "||", "&&", "==", "!=", "<", "<=", ">", ">=", "//", "+", "-", "*", "/", "++", "?",
    ];
    let mut texts = Vec::new();
    for first in OPERATORS {
        for second in OPERATORS {
            for (a, b, c) in [
                ("a", "b", "c"),
                ("!a", "b", "c"),
                ("-a", "b", "c"),
                ("a", "!b", "c"),
                ("a", "-b", "c"),
            ] {
                if (first == "?" && b != "b")
                    || (first == second && "== != < <= > >=".contains(first) && a != "a")
                {
                    continue;
                }
                texts.push(format!("{a} {first} {b} {second} {c}").into_bytes());
            }
        }
    }
    texts
}

/// Each pair of tokens, without and with a blank between them.
fn pairs() -> Vec<Vec<u8>> {
    const LEFT: [&str; 22] = [
        "a", "1", "1.", "0.5", ".5", "\"s\"", "''s''", "./p", "/p", "~/h", "<s>", "u:v", "(a)",
        "[ ]", "{ }", "a.b", "a or", "a.b or c", "rec { }", "-1", "a-", "a'",
    ];
    const RIGHT: [&str; 20] = [
        "a", "1", ".5", "\"s\"", "''s''", "./p", "/p", "~/h", "<s>", "(a)", "[ ]", "{ }", ".b",
        "or", "-1", "+1", "++a", "/a/b", "//b", "?b",
    ];
    let mut texts = Vec::new();
    for left in LEFT {
        for right in RIGHT {
            texts.push(format!("[ (x: {left}{right}) ]").into_bytes());
            texts.push(format!("[ {left} {right} ]").into_bytes());
        }
    }
    texts
}

/// The pipe operators, which are a feature.
fn pipes() -> Vec<Vec<u8>> {
    [
        "a |> b",
        "a <| b",
        "a |> b |> c",
        "a <| b <| c",
        "a |> b c |> d",
        "a b <| c d <| e",
        "a |> b <| c",
        "a <| b |> c",
        "(a |> b) <| c",
        "a <| (b |> c)",
        "a + b |> c",
        "a -> b |> c -> d",
        "a - b <| c",
        "a <= b <| c",
        "a |> b - c",
        "-a <| b",
        "a |> -b",
        "!a |> !b",
        "<a> <| b",
        "a or <| b or",
        "x: x |> y",
        "a |> x: x",
        "a |> (x: x)",
        "if a then b else c |> d",
        "a |> if b then c else d",
        "a <| with b; c",
        "with a; b |> c",
        "[ a |> b ]",
        "[ (a |> b) ]",
        "f a |> g b",
        "{ a = b |> c; }",
        "\"${a |> b}\"",
        "a |>",
        "|> a",
        "a <|",
        "<| a",
        "a |> |> b",
        "a||>b",
        "a<|b",
        "a|>b",
        "a ? b |> c",
        "{ a }: a |> b",
        "{ a ? b |> c }: a",
        "assert a |> b; c",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

#[test]
fn snippets_are_accepted() {
    let mut wrong = Vec::new();
    for text in split(ACCEPTED) {
        let text = [PRELUDE, &text].concat();
        if let Err((error, sources)) = ours(&text, Path::new("/base"), false) {
            wrong.push(error.render(&sources));
        }
    }
    assert!(wrong.is_empty(), "refused:\n{}", wrong.join("\n"));
}

#[test]
fn snippets_are_rejected() {
    let mut wrong = Vec::new();
    for text in split(REJECTED) {
        let text = [PRELUDE, &text].concat();
        if let Ok(shown) = ours(&text, Path::new("/base"), false) {
            wrong.push(
                String::from_utf8_lossy(&[&text, b"\n  as ".as_slice(), &shown].concat())
                    .into_owned(),
            );
        }
    }
    assert!(wrong.is_empty(), "accepted:\n{}", wrong.join("\n"));
}

#[test]
fn nix_agrees() {
    let oracle = Oracle::find();
    let mut differences = Vec::new();
    for (group, texts) in [
        ("accepted", split(ACCEPTED)),
        ("rejected", split(REJECTED)),
        ("bytes", odd_bytes()),
        ("operators", operators()),
        ("pairs", pairs()),
    ] {
        differences.extend(oracle.compare(group, &texts, false));
    }
    differences.extend(oracle.compare("pipes", &pipes(), true));
    assert!(
        differences.is_empty(),
        "{} texts differ:\n{}",
        differences.len(),
        differences.join("\n----\n")
    );
}
