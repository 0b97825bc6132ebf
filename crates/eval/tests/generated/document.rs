//! Random JSON and TOML documents, whole and broken.

use super::random::Random;
use super::text::quoted;

/// What is read from a document from a seed.
pub(crate) fn documents(seed: u64) -> String {
    let mut random = Random::new(seed);
    if random.one_in(2) {
        let mut text = json(&mut random, 4);
        if random.one_in(3) {
            text = broken(&mut random, &text);
        }
        let read = format!("builtins.fromJSON {}", quoted(&text));
        match random.below(3) {
            0 => format!("builtins.toJSON ({read})"),
            1 => format!("[ (builtins.toXML ({read})) (toString 1) ]"),
            _ => format!("[ ({read}) ]"),
        }
    } else {
        let mut text = toml(&mut random);
        if random.one_in(3) {
            text = broken(&mut random, &text);
        }
        let read = format!("builtins.fromTOML {}", quoted(&text));
        if random.one_in(3) {
            format!("builtins.toJSON ({read})")
        } else {
            format!("[ ({read}) ]")
        }
    }
}

/// The text with something missing, doubled or added.
pub(crate) fn broken(random: &mut Random, text: &str) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..1 + random.below(2) {
        if chars.is_empty() {
            break;
        }
        let at = random.below(chars.len());
        match random.below(4) {
            0 => {
                chars.remove(at);
            }
            1 => chars.insert(at, chars[at]),
            2 => chars.insert(
                at,
                *random.pick(&[
                    '"', '{', '}', '[', ']', ',', ':', '=', '\\', '.', '0', '-', '\n', ' ', '\'',
                    '#', 'e', 'é', '/', '*', ';', '$', '(', ')', '@', '?', '|', '\u{1}',
                ]),
            ),
            _ => chars.truncate(at),
        }
    }
    chars.into_iter().collect()
}

fn blank(random: &mut Random) -> &'static str {
    random.word(&["", "", "", " ", "\n", "\t", " \r\n"])
}

fn json(random: &mut Random, depth: usize) -> String {
    let (before, after) = (blank(random), blank(random));
    let kind = random.below(if depth == 0 { 5 } else { 8 });
    let inner = match kind {
        0 | 1 => json_number(random),
        2 | 3 => json_string(random),
        4 => (random.word(&["true", "false", "null"])).to_owned(),
        5 => {
            let items: Vec<String> = (0..random.below(4))
                .map(|_| json(random, depth - 1))
                .collect();
            format!("[{}]", items.join(","))
        }
        _ => {
            let items: Vec<String> = (0..random.below(4))
                .map(|_| format!("{}:{}", json_string(random), json(random, depth - 1)))
                .collect();
            format!("{{{}}}", items.join(","))
        }
    };
    format!("{before}{inner}{after}")
}

fn json_number(random: &mut Random) -> String {
    let whole = random.word(&[
        "0",
        "-0",
        "1",
        "-17",
        "123456789",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999",
        "01",
        "+1",
        "-",
        "0x10",
        "Infinity",
    ]);
    let fraction = random.word(&["", "", "", ".0", ".5", ".1234567890123", ".", ".00001"]);
    let exponent = random.word(&["", "", "", "e1", "E+2", "e-7", "e400", "e", "e-400", "e15"]);
    format!("{whole}{fraction}{exponent}")
}

fn json_string(random: &mut Random) -> String {
    let parts = [
        "a",
        "b",
        "",
        "key",
        " ",
        "é",
        "\\n",
        "\\t",
        "\\\"",
        "\\\\",
        "\\/",
        "\\u0041",
        "\\u00e9",
        "\\ud83d\\ude00",
        "\\ud83d",
        "\\ude00",
        "\\u0000",
        "\\x",
        "\\u12",
        "😀",
        "$",
        "'",
        "${x}",
        "\\b\\f\\r",
        "name",
    ];
    let mut out = String::from("\"");
    for _ in 0..random.below(4) {
        // The odd ones are rarer.
        let among = if random.one_in(3) { parts.len() } else { 7 };
        out += parts[random.below(among)];
    }
    out + "\""
}

fn toml(random: &mut Random) -> String {
    let mut out = String::new();
    for index in 0..random.below(6) {
        match random.below(8) {
            0 => out += &format!("[{}]\n", toml_key(random, index)),
            1 => out += &format!("[[{}]]\n", toml_key(random, index)),
            2 => out += "# a comment\n",
            _ => {
                out += &format!(
                    "{}{}={}{}",
                    toml_key(random, index),
                    blank_in_line(random),
                    blank_in_line(random),
                    toml_value(random, 3)
                );
                out += random.word(&["\n", "\n", "\n", " # why\n", "\r\n"]);
            }
        }
    }
    out
}

fn blank_in_line(random: &mut Random) -> &'static str {
    random.word(&["", " ", "\t"])
}

fn toml_key(random: &mut Random, index: usize) -> String {
    let one = |random: &mut Random| match random.below(8) {
        0 => "\"a b\"".to_owned(),
        1 => "'q'".to_owned(),
        2 => "1".to_owned(),
        3 => "a".to_owned(),
        4 => "-_x".to_owned(),
        _ => format!("k{index}"),
    };
    let parts: Vec<String> = (0..1 + random.below(12) / 9).map(|_| one(random)).collect();
    parts.join(random.word(&[".", " . "]))
}

fn toml_value(random: &mut Random, depth: usize) -> String {
    match random.below(if depth == 0 { 8 } else { 11 }) {
        0 | 1 => (random.word(&[
            "0",
            "1",
            "+1",
            "-17",
            "1_000",
            "0x1F",
            "0xdead_BEEF",
            "0o17",
            "0b101",
            "9223372036854775807",
            "-9223372036854775808",
            "9223372036854775808",
            "01",
            "1__0",
            "_1",
            "0x",
            "-0",
            "+0x1",
        ]))
        .to_owned(),
        2 => (random.word(&[
            "1.0", "-0.0", "3.14", "1e3", "1E-7", "1_0.5_0", "inf", "-inf", "nan", "+nan", "1.",
            ".5", "1e400", "6.02e+23", "1.0e0_1",
        ]))
        .to_owned(),
        3..=5 => (random.word(&[
            "\"\"",
            "\"a\"",
            "\"é\\n\\u00e9\\U0001F600\"",
            "\"\\x41\"",
            "\"\\e\"",
            "\"\\ud800\"",
            "'raw \\n'",
            "\"\"\"\nmore\n\"\" lines \\\n   joined\"\"\"",
            "'''\nraw ' ''\n'''",
            "\"\"\"a\"\"\"\"\"",
            "\"un",
            "\"tab\there\"",
            "\"\\u0000\"",
        ]))
        .to_owned(),
        6 => (random.word(&["true", "false", "True", "null"])).to_owned(),
        7 => (random.word(&[
            "1979-05-27T07:32:00Z",
            "1979-05-27",
            "07:32:00",
            "1979-05-27 07:32:00.999999",
            "1979-13-27",
            "1979-05-27T00:32:00-07:00",
        ]))
        .to_owned(),
        8 | 9 => {
            let items: Vec<String> = (0..random.below(4))
                .map(|_| toml_value(random, depth - 1))
                .collect();
            let end = random.word(&["", "", ",", "\n"]);
            format!("[{}{end}]", items.join(random.word(&[", ", ",\n", ","])))
        }
        _ => {
            let items: Vec<String> = (0..random.below(3))
                .map(|index| {
                    format!(
                        "{} = {}",
                        toml_key(random, index),
                        toml_value(random, depth - 1)
                    )
                })
                .collect();
            format!("{{ {} }}", items.join(", "))
        }
    }
}
