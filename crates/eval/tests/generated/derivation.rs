//! Random derivations: a few that depend on one another, with all that changes a `.drv` file.

use super::random::Random;

const HASHES: &[(&str, &str)] = &[
    ("sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=", ""),
    (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha256",
    ),
    (
        "1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s",
        "sha256",
    ),
    ("ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=", "sha256"),
    ("sha1:a9993e364706816aba3e25717850c26c9cd0d89d", "sha1"),
    ("900150983cd24fb0d6963f7d28e17f72", "md5"),
    ("", "sha512"),
];

/// A set of derivations from a seed; its value are their paths.
pub(crate) fn derivations(seed: u64) -> String {
    let mut random = Random::new(seed);
    let count = 1 + random.below(4);
    let mut out = String::from("let\n");
    for index in 0..count {
        let attributes = attributes(&mut random, index);
        out += &format!("  d{index} = derivation {{ {attributes}}};\n");
    }
    let paths: Vec<String> = (0..count)
        .map(|index| format!("d{index}.drvPath d{index}.outPath"))
        .collect();
    out + &format!("in [ {} ]", paths.join(" "))
}

/// The attributes of the derivation of this index, which may depend on those before it.
fn attributes(random: &mut Random, index: usize) -> String {
    let name = random.word(&["x", "hello-1.0", "a_b+c?d=e.f", "0"]);
    let builder = random.word(&[
        "\"/bin/sh\"",
        "./files/hello.txt",
        "(builtins.toFile \"b\" \"sh\")",
    ]);
    let mut out = format!("name = \"{name}\"; system = \"x86_64-linux\"; builder = {builder}; ");
    let structured = random.one_in(3);
    if structured {
        out += "__structuredAttrs = true; ";
    }
    if random.one_in(4) {
        out += "__ignoreNulls = true; ";
    }
    let kind = random.below(8);
    match kind {
        0 | 1 => {
            let (hash, algo) = random.pick(HASHES);
            out += &format!("outputHash = \"{hash}\"; ");
            if !algo.is_empty() {
                out += &format!("outputHashAlgo = \"{algo}\"; ");
            }
            let mode = random.word(&["", "flat", "recursive", "nar"]);
            if !mode.is_empty() {
                out += &format!("outputHashMode = \"{mode}\"; ");
            }
        }
        2 => {
            out += "__contentAddressed = true; ";
            if random.one_in(2) {
                out += "outputHashAlgo = \"sha256\"; outputHashMode = \"recursive\"; ";
            }
        }
        3 if random.one_in(3) => out += "__impure = true; ",
        _ => {}
    }
    if kind > 1 {
        let outputs = random.word(&[
            "",
            "outputs = [ \"out\" ]; ",
            "outputs = [ \"out\" \"dev\" ]; ",
            "outputs = [ \"lib\" \"out\" \"bin\" ]; ",
            "outputs = [ \"doc\" ]; ",
        ]);
        out += outputs;
    }
    for number in 0..random.below(7) {
        out += &format!("v{number} = {}; ", value(random, index, structured));
    }
    if random.one_in(3) {
        out += &format!("args = [ \"-c\" {} ]; ", text(random, index));
    }
    if random.one_in(4) {
        out += random.word(&[
            "allowedReferences = [ ]; ",
            "allowedRequisites = [ \"out\" ]; ",
            "disallowedReferences = [ \"out\" ]; ",
            "passAsFile = [ \"v0\" ]; ",
            "preferLocalBuild = true; ",
            "impureEnvVars = [ \"http_proxy\" ]; ",
            "exportReferencesGraph = [ \"graph\" ./files/sub ]; ",
            "out = \"shadow\"; ",
            "meta.description = null; ",
        ]);
    }
    out
}

/// What an attribute may be.
fn value(random: &mut Random, index: usize, structured: bool) -> String {
    match random.below(if structured { 9 } else { 7 }) {
        0 => (random.word(&["1", "(-7)", "true", "false", "null", "1.5"])).to_owned(),
        1 => "[ 1 \"two\" [ true null ] ]".to_owned(),
        2 => format!("[ {} {} ]", text(random, index), text(random, index)),
        7 => format!("{{ k = {}; j.i = [ 1.25 ]; }}", text(random, index)),
        8 => "[ { } [ ] \"\" ]".to_owned(),
        _ => text(random, index),
    }
}

/// A string, often with a context.
fn text(random: &mut Random, index: usize) -> String {
    let before = |random: &mut Random| random.below(index.max(1));
    match random.below(if index == 0 { 6 } else { 11 }) {
        0 => "\"plain\\n\\\"quoted\\\" \\\\ \\t\"".to_owned(),
        1 => "\"${./files/hello.txt}/x\"".to_owned(),
        2 => "./files/sub".to_owned(),
        3 => "(builtins.toFile \"t\" \"é\")".to_owned(),
        4 => "(builtins.placeholder \"out\")".to_owned(),
        5 => "\"\"".to_owned(),
        6 | 7 => format!("d{}", before(random)),
        8 => format!("\"${{d{}}}/bin:${{d{}}}\"", before(random), before(random)),
        9 => format!("d{}.drvPath", before(random)),
        _ => format!(
            "(builtins.unsafeDiscardOutputDependency d{}.drvPath)",
            before(random)
        ),
    }
}
