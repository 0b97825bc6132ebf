//! Random texts of the language with everything that its grammar has, often not quite right.

use super::document::broken;
use super::random::Random;

/// A text from a seed; it need not be an expression.
pub(crate) fn texts(seed: u64) -> String {
    let mut random = Random::new(seed);
    let mut text = format!(
        "let a = 1; b = {{ c = {{ d = 2; \"e f\" = 3; }}; }}; s = \"str\"; f = x: x; in [ {} ]",
        element(&mut random, 3)
    );
    if random.one_in(3) {
        text = broken(&mut random, &text);
    }
    if random.one_in(12) {
        text = text.replace('\n', "\r\n");
    }
    text
}

/// An expression as an element of a list.
fn element(random: &mut Random, depth: usize) -> String {
    let text = expr(random, depth);
    if random.one_in(12) {
        text
    } else {
        format!("({text})")
    }
}

fn expr(random: &mut Random, depth: usize) -> String {
    if depth == 0 {
        return leaf(random);
    }
    let depth = depth - 1;
    let e = |random: &mut Random| {
        let text = expr(random, depth);
        if random.one_in(3) {
            text
        } else {
            format!("({text})")
        }
    };
    match random.below(24) {
        0 => format!("{} {} {}", e(random), operator(random), e(random)),
        1 => format!(
            "{} {} {} {} {}",
            e(random),
            operator(random),
            e(random),
            operator(random),
            e(random)
        ),
        2 => format!("{}{}", random.word(&["!", "-", "- -", "!!"]), e(random)),
        3 => format!("{} ? {}", e(random), path(random, depth)),
        4 => format!("{}.{}", e(random), path(random, depth)),
        5 => format!("{}.{} or {}", e(random), path(random, depth), e(random)),
        6 | 7 => set(random, depth),
        8 => string(random, depth),
        9 | 10 => indented(random, depth),
        11 => format!("{} {}", e(random), e(random)),
        12 => format!("({}: {}) {}", pattern(random, depth), e(random), e(random)),
        13 => format!("let {} in {}", bindings(random, depth), e(random)),
        14 => format!("with {}; {}", e(random), e(random)),
        15 => format!("assert {}; {}", e(random), e(random)),
        16 => format!("if {} then {} else {}", e(random), e(random), e(random)),
        17 => format!("[ {} {} ]", element(random, depth), element(random, depth)),
        18 => format!(
            "let {{ body = {}; {} }}",
            e(random),
            bindings(random, depth)
        ),
        19 => format!("{} # comment\n", e(random)),
        20 => format!("/* c **/ {} /**/", e(random)),
        21 => format!("builtins.tryEval ({})", e(random)),
        22 => format!(
            "builtins.unsafeGetAttrPos {} ({})",
            string(random, 0),
            set(random, depth)
        ),
        _ => format!("builtins.functionArgs ({}: 1)", pattern(random, depth)),
    }
}

fn operator(random: &mut Random) -> &'static str {
    random.word(&[
        "+", "-", "*", "/", "++", "//", "==", "!=", "<", "<=", ">", ">=", "&&", "||", "->", "+",
        "==", ".", "=",
    ])
}

fn leaf(random: &mut Random) -> String {
    let leaves = [
        "a",
        "b",
        "b.c",
        "s",
        "f",
        "1",
        "2",
        "true",
        "false",
        "null",
        "[ ]",
        "{ }",
        "\"x\"",
        "''y''",
        "1.5",
        "0",
        "007",
        "1.",
        ".5",
        "1e3",
        "1.0e-3",
        "9223372036854775808",
        "1.e5",
        "./x",
        "a/b",
        "./files/.",
        "../a",
        "/abs/p",
        "<nixpkgs>",
        "<a/b-c.d>",
        "http://a.b/c?d=e&f",
        "x:y",
        "a:b",
        "git+ssh://x@y:80/%20",
        "./${s}/x",
        "./a${s}b.${toString a}",
        "/x/${\"y\"}z",
        "./a/",
        "a//b",
        "./a//${s}",
        "__curPos",
        "__currentSystem",
        "or",
        "rec",
        "undefined",
        "builtins.langVersion",
        "(x: x)",
        "throw",
        "x-1",
        "a-b",
        "a'",
        "_",
        "import",
        "-1",
        "...",
        "@",
        "${s}",
        "a.b.c",
    ];
    (random.word(&leaves)).to_owned()
}

/// The path of an attribute.
fn path(random: &mut Random, depth: usize) -> String {
    let parts: Vec<String> = (0..1 + random.below(3))
        .map(|_| name(random, depth))
        .collect();
    parts.join(random.word(&[".", ".", " . "]))
}

fn name(random: &mut Random, depth: usize) -> String {
    match random.below(10) {
        0 => "\"e f\"".to_owned(),
        1 => "${s}".to_owned(),
        2 => format!("${{{}}}", expr(random, depth.saturating_sub(1))),
        3 => "\"${s}\"".to_owned(),
        4 => "\"c${s}\"".to_owned(),
        5 => "or".to_owned(),
        6 => format!("{} ", random.word(&["x", "inherit", "if", "\"\"", "1"])),
        _ => (random.word(&["a", "b", "c", "d"])).to_owned(),
    }
}

fn set(random: &mut Random, depth: usize) -> String {
    format!(
        "{}{{ {} }}",
        random.word(&["", "", "rec "]),
        bindings(random, depth)
    )
}

fn bindings(random: &mut Random, depth: usize) -> String {
    let mut out = String::new();
    for _ in 0..random.below(4) {
        let value = expr(random, depth);
        out += &match random.below(8) {
            0 => format!(
                "inherit {} a; ",
                random.word(&["b", "\"s\"", "${\"f\"}", ""])
            ),
            1 => format!(
                "inherit ({value}) c {}; ",
                random.word(&["d", "\"e f\"", "or", ""])
            ),
            2 => format!("__overrides = {value}; "),
            _ => format!("{} = {value}; ", path(random, depth)),
        };
    }
    out
}

fn pattern(random: &mut Random, depth: usize) -> String {
    let mut formals: Vec<String> = (0..random.below(4))
        .map(|_| {
            let name = random.word(&["a", "b", "c", "x", "or"]);
            if random.one_in(2) {
                format!("{name} ? {}", expr(random, depth))
            } else {
                name.to_owned()
            }
        })
        .collect();
    if random.one_in(3) {
        formals.push("...".to_owned());
    }
    let formals = format!("{{ {} }}", formals.join(random.word(&[", ", " , ", ","])));
    match random.below(5) {
        0 => format!("all@{formals}"),
        1 => format!("{formals} @ all"),
        2 => (random.word(&["x", "_", "a"])).to_owned(),
        _ => formals,
    }
}

fn string(random: &mut Random, depth: usize) -> String {
    let mut out = String::from("\"");
    for _ in 0..random.below(5) {
        if depth > 0 && random.one_in(4) {
            out += &format!("${{{}}}", expr(random, depth - 1));
        } else {
            out += random.word(&[
                "a", " ", "$", "$$", "\\n", "\\\\", "\\${", "\\\"", "''", "\n", "\\q", "\\$", "é",
                "{", "}", "c", "$${a}", "\t", "#", "/*",
            ]);
        }
    }
    out + "\""
}

fn indented(random: &mut Random, depth: usize) -> String {
    let mut out = String::from("''");
    for _ in 0..random.below(9) {
        if random.one_in(5) {
            let inner = if depth > 0 {
                expr(random, depth - 1)
            } else {
                "s".to_owned()
            };
            out += &format!("${{{inner}}}");
        } else {
            out += random.word(&[
                "\n", "\n", "\n  ", "\n    ", "\n\t", "  ", "a", "b c", "$", "$$", "''$", "'''",
                "''\\n", "''\\t", "''\\", "'", "\\", "\"", "''${", "\r\n", "\n   \n", "é", "''\\'",
            ]);
        }
    }
    out + "''"
}
