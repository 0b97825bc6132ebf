//! No text makes the parser panic, overflow the stack or take more than linear time.
#![allow(missing_docs)]

use std::path::Path;

use bumpalo::Bump;
use proptest::prelude::*;
use xbuild_syntax::symbol::Symbols;
use xbuild_syntax::{Features, MAX_DEPTH, Sources, SyntaxErrorKind, parse, print};

fn show(text: &[u8]) -> Result<Vec<u8>, (SyntaxErrorKind, String)> {
    let mut sources = Sources::new();
    let id = sources.add("«text»", text);
    let source = sources.text(id).clone();
    let arena = Bump::new();
    let mut symbols = Symbols::new();
    let features = Features {
        pipe_operators: true,
        home: Some(Path::new("/home/someone")),
        ..Features::default()
    };
    match parse(
        &arena,
        &mut symbols,
        &source,
        id,
        Path::new("/base"),
        features,
    ) {
        Ok(expr) => Ok(print::show(expr, &symbols)),
        Err(error) => Err((error.kind().clone(), error.render(&sources))),
    }
}

#[test]
fn deep_nesting_is_an_error() {
    const N: usize = 250_000;
    let nest = |open: &str, middle: &str, close: &str| {
        [open.repeat(N), middle.into(), close.repeat(N)].concat()
    };
    for text in [
        nest("(", "a", ")"),
        nest("[", "", "]"),
        nest("f [", "", "]"),
        nest("{ a = ", "b", "; }"),
        nest("{ a = ", "b", ""),
        nest("rec { a = ", "b", "; }"),
        nest("let a = ", "b", "; in a"),
        nest("let { a = ", "b", "; }"),
        nest("let in ", "a", ""),
        nest("\"${", "a", "}\""),
        nest("''${", "a", "}''"),
        nest("./${", "a", "}"),
        nest("{ ${", "a", "} = 1; }"),
        nest("{ inherit (", "a", ") b; }"),
        nest("a.${", "a", "}"),
        nest("a ? ${", "a", "}"),
        nest("!", "a", ""),
        nest("-", " a", ""),
        nest("- ", "a", ""),
        nest("!-", "a", ""),
        nest("x: ", "a", ""),
        nest("{ }: ", "a", ""),
        nest("{ a ? ", "a", "}: a"),
        nest("x@{ ... }: ", "a", ""),
        nest("if ", "a", " then b else c"),
        nest("if a then ", "b", " else c"),
        nest("if a then b else ", "c", ""),
        nest("with a; ", "b", ""),
        nest("with ", "b", "; a"),
        nest("assert a; ", "b", ""),
        nest("a + ", "b", ""),
        nest("a ++ ", "b", ""),
        nest("a // ", "b", ""),
        nest("a -> ", "b", ""),
        nest("a.b or ", "c", ""),
        nest("a |> ", "b", ""),
        nest("a <| ", "b", ""),
        nest("(a ", "b", ")"),
        nest("(a + b) + (", "a", ")"),
        format!("a{}", " ? b".repeat(N)),
        format!("{{ {} = 1; }}", vec!["a"; N].join(".")),
        format!("{{ {} = 1; }}", vec!["${a}"; N].join(".")),
        format!("a {}", "+ a ".repeat(2 * N)),
        // Chains that start inside parentheses: neither is too long alone.
        format!("{}a{}", "(".repeat(90_000), " + a + a)".repeat(90_000)),
    ] {
        let shown = text.chars().take(20).collect::<String>();
        match show(text.as_bytes()) {
            Err((SyntaxErrorKind::TooDeep(MAX_DEPTH), message)) => {
                assert!(message.len() < 1000, "{message}");
            }
            other => panic!("{shown}: {:?}", other.map(|shown| shown.len())),
        }
    }
}

#[test]
fn nesting_below_the_limit_works() {
    const N: usize = 99_000;
    let nest = |open: &str, middle: &str, close: &str| {
        [open.repeat(N), middle.into(), close.repeat(N)].concat()
    };
    for text in [
        nest("(", "a", ")"),
        nest("[", "", "]"),
        nest("{ a = ", "b", "; }"),
        nest("\"${", "a", "}\""),
        nest("''${", "a", "}''"),
        nest("!", "a", ""),
        nest("x: ", "a", ""),
        nest("if a then b else ", "c", ""),
        nest("a + ", "b", ""),
        nest("a ++ ", "b", ""),
        nest("a.b or ", "c", ""),
        format!("{{ {} = 1; }}", vec!["a"; N].join(".")),
        format!(
            "{{ {} = {{ }}; {} = {{ b = 1; }}; }}",
            vec!["a"; N].join("."),
            vec!["a"; N].join(".")
        ),
        format!("{0}{1}{0}{1}{2}", "a = { ", "", ""),
    ] {
        let _ = show(text.as_bytes());
    }
    let deep = format!(
        "{}{}",
        "{ a = ".repeat(N),
        "1".to_owned() + &"; }".repeat(N)
    );
    let twice = format!("{{ x = {deep}; x = {}; }}", deep.replace("= 1", "= 2"));
    assert!(show(deep.as_bytes()).is_ok());
    match show(twice.as_bytes()) {
        Err((SyntaxErrorKind::DuplicateAttribute(_), _)) => {}
        other => panic!("{:?}", other.map(|shown| shown.len())),
    }
}

#[test]
fn long_texts_are_read_in_linear_time() {
    const N: usize = 300_000;
    // Each of these would take minutes if something were scanned again for every component.
    for text in [
        vec!["a"; N].join("."),
        vec!["a_b"; N].join(".") + ":x",
        vec!["a"; N].join("+"),
        format!("[ {} ]", "<a ".repeat(N)),
        format!("[ {} ]", "a ".repeat(N)),
        format!("f {}", "a ".repeat(N)),
        format!("\"{}\"", "\\n".repeat(N)),
        format!("\"{}\"", "${a}".repeat(N)),
        format!("''{}''", "\n  ${a} ''$".repeat(N)),
        format!("''{}", "'x$".repeat(N)),
        format!("./a{}", "${a}/b".repeat(N)),
        format!("a{}", "/b".repeat(N)),
        format!(
            "{{ {} }}",
            (0..N).map(|i| format!("a{i} = 1; ")).collect::<String>()
        ),
        format!(
            "{{ {} }}",
            (0..N)
                .map(|i| format!("a.b.c{i} = 1; "))
                .collect::<String>()
        ),
        format!(
            "{{ {} }}",
            (0..N)
                .map(|i| format!("a = {{ c{i} = 1; }}; "))
                .collect::<String>()
        ),
        format!(
            "{{ {} }}: a",
            (0..N)
                .map(|i| format!("a{i}"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
        format!(
            "{{ inherit {}; }}",
            (0..N).map(|i| format!("a{i} ")).collect::<String>()
        ),
        format!(
            "{{ {} }}",
            (0..N)
                .map(|i| format!("inherit (a) b{i}; "))
                .collect::<String>()
        ),
        "/*".repeat(N),
        "# a\n".repeat(N),
        " ".repeat(N),
        "1".repeat(N),
        "1.5".repeat(N),
        "x:".repeat(N),
    ] {
        let _ = show(text.as_bytes());
    }
}

const SNIPPETS: &str = include_str!("snippets/accepted.txt");

/// Pieces that texts are made of.
const TOKENS: [&str; 64] = [
    "a", "b", "or", "if", "then", "else", "let", "in", "rec", "with", "assert", "inherit", "{",
    "}", "(", ")", "[", "]", ";", ",", ":", "@", ".", "...", "=", "==", "!=", "<", ">", "<=", ">=",
    "&&", "||", "->", "//", "++", "+", "-", "*", "/", "!", "?", "\"", "''", "${", "$", "'", "\\",
    "./a", "/a", "~/a", "<a>", "a:b", "1", "1.5", " ", "\n", "#", "/*", "*/", "|>", "<|", "\0",
    "\u{e4}",
];

/// An expression without floats, asserts and interpolated paths, which do not print as what they are.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[a-e]",
        "[0-9]{1,4}",
        Just("./p/q".to_owned()),
        Just("<n/p>".to_owned()),
        Just("(u:v)".to_owned()),
        Just("{ }".to_owned()),
        Just("[ ]".to_owned()),
        r#""[a-z $'\\nrt"]{0,6}""#.prop_map(|s| {
            let inner = s[1..s.len() - 1].replace('\\', "\\\\").replace('"', "\\\"");
            format!("\"{inner}\"")
        }),
        "''[a-z \n$]{0,12} ''",
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        let operator = prop::sample::select(vec![
            "+", "-", "*", "/", "==", "!=", "<", "<=", ">", ">=", "&&", "||", "->", "//", "++",
            "|>", "<|",
        ]);
        prop_oneof![
            (inner.clone(), operator, inner.clone())
                .prop_map(|(a, op, b)| format!("(({a}) {op} ({b}))")),
            prop::collection::vec(inner.clone(), 1..4)
                .prop_map(|v| format!("(({}))", v.join(") ("))),
            prop::collection::vec(inner.clone(), 1..4)
                .prop_map(|v| format!("[ ({}) ]", v.join(") ("))),
            inner.clone().prop_map(|a| format!("(!({a}))")),
            inner.clone().prop_map(|a| format!("(-({a}))")),
            inner.clone().prop_map(|a| format!("((f: {a}) or)")),
            inner.clone().prop_map(|a| format!("(({a}).x.\"y z\")")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("(({a}).${{{b}}} or ({a}))")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("(({a}) ? x.${{{b}}})")),
            inner.clone().prop_map(|a| format!("(x: {a})")),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| format!("({{ z, y ? {a}, ... }}@x: {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("(with {a}; {b})")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("(if {a} then {b} else {c})")),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| format!("(let x = {a}; inherit ({b}) y; in {b})")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!(
                "rec {{ z.y = {a}; z.x = {b}; inherit w; \"v v\" = {c}; ${{{a}}} = {b}; }}"
            )),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("\"x${{{a}}}y${{{b}}}\"")),
            inner.prop_map(|a| format!("''\n  x\n    ${{{a}}}\n  ''")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_reads_the_same(text in expression()) {
        // Strings with interpolations print as sums, which nest when they are read: after that nothing changes.
        let first = match show(text.as_bytes()) {
            Ok(first) => first,
            // One path may lead into what another one defined.
            Err((SyntaxErrorKind::DuplicateAttribute(_), _)) => return Err(TestCaseError::reject("a name twice")),
            Err((_, message)) => return Err(TestCaseError::fail(format!("{text}\n{message}"))),
        };
        let second = show(&first).map_err(|e| TestCaseError::fail(format!("{}\n{}", String::from_utf8_lossy(&first), e.1)))?;
        let third = show(&second).map_err(|e| TestCaseError::fail(e.1))?;
        prop_assert_eq!(String::from_utf8_lossy(&second), String::from_utf8_lossy(&third));
    }

    #[test]
    fn damaged_texts_never_panic(
        index in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..6),
    ) {
        let snippets: Vec<&str> = SNIPPETS.split("\n=====\n").collect();
        let mut text = index.get(&snippets).as_bytes().to_vec();
        for (at, byte, what) in edits {
            let at = at.index(text.len() + 1);
            match what {
                0 => text.insert(at, byte),
                1 => text.truncate(at),
                2 if at < text.len() => { text.remove(at); }
                _ if at < text.len() => text[at] = byte,
                _ => {}
            }
        }
        let _ = show(&text);
    }

    #[test]
    fn arbitrary_bytes_never_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = show(&text);
    }

    #[test]
    fn arbitrary_tokens_never_panic(tokens in prop::collection::vec(prop::sample::select(&TOKENS), 0..40), blanks in any::<bool>()) {
        let text = tokens.join(if blanks { " " } else { "" });
        let _ = show(text.as_bytes());
    }
}
