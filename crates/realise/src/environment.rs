//! The environment of a builder, as stock Nix sets it (manual, "Building a derivation").

use std::collections::BTreeMap;
use std::fmt::Write as _;

use xbuild_derivation::{Derivation, replace_all};
use xbuild_store::PathInfo;
use xbuild_store_model::store_path::hash_placeholder;
use xbuild_store_model::{Hash, HashAlgo, STORE_DIR, StorePath};

use crate::options::{Options, Structured};

/// The builder's environment and the files that must be in its build directory.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    /// Variables.
    pub(crate) variables: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Arguments, with placeholders replaced.
    pub(crate) args: Vec<Vec<u8>>,
    /// Files to write into the build directory: name and content.
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

/// The build directory as the builder sees it.
pub(crate) const BUILD_DIR: &str = "/build";

/// A store path of a reference graph, with the NAR bytes of its closure.
#[derive(Debug, Clone)]
pub(crate) struct GraphPath {
    pub(crate) info: PathInfo,
    pub(crate) closure_size: u64,
}

/// The paths of each graph of `exportReferencesGraph`, sorted.
pub(crate) type Graphs = BTreeMap<String, Vec<GraphPath>>;

/// Makes the environment of `drv`, whose builder finds its outputs at `outputs`. `host_env` looks up a variable of the caller (for `impureEnvVars` of fixed outputs).
#[must_use]
pub(crate) fn environment(
    drv: &Derivation,
    options: &Options,
    outputs: &BTreeMap<String, StorePath>,
    graphs: &Graphs,
    cores: usize,
    host_env: &dyn Fn(&str) -> Option<String>,
) -> Environment {
    let mut made = Environment::default();
    let replace = Placeholders::of(outputs);
    let vars = &mut made.variables;
    let mut put = |name: &str, value: &[u8]| vars.insert(name.as_bytes().to_vec(), value.to_vec());

    // What the derivation may override.
    put("PATH", b"/path-not-set");
    put("HOME", b"/homeless-shelter");
    put("NIX_STORE", STORE_DIR.as_bytes());
    put("NIX_BUILD_CORES", cores.to_string().as_bytes());

    if let Some(structured) = &options.structured {
        let json = replace.apply(&structured_json(structured, outputs, graphs));
        made.files
            .push((".attrs.sh".to_owned(), shell_attributes(&json)));
        made.files.push((".attrs.json".to_owned(), json));
        put(
            "NIX_ATTRS_JSON_FILE",
            format!("{BUILD_DIR}/.attrs.json").as_bytes(),
        );
        put(
            "NIX_ATTRS_SH_FILE",
            format!("{BUILD_DIR}/.attrs.sh").as_bytes(),
        );
    } else {
        let as_file: Vec<&[u8]> = drv
            .env
            .get(b"passAsFile".as_slice())
            .map(|names| {
                names
                    .split(u8::is_ascii_whitespace)
                    .filter(|name| !name.is_empty())
                    .collect()
            })
            .unwrap_or_default();
        for (name, value) in &drv.env {
            let value = replace.apply(value);
            if as_file.contains(&name.as_slice()) {
                let file = format!(".attr-{}", Hash::of(HashAlgo::Sha256, name).to_base32());
                let mut variable = name.clone();
                variable.extend_from_slice(b"Path");
                vars.insert(variable, format!("{BUILD_DIR}/{file}").into_bytes());
                made.files.push((file, value));
            } else {
                vars.insert(name.clone(), value);
            }
        }
        for (file, paths) in graphs {
            made.files
                .push((file.clone(), validity_registration(paths)));
        }
    }

    // What it may not.
    let mut put = |name: &str, value: &[u8]| {
        made.variables
            .insert(name.as_bytes().to_vec(), value.to_vec())
    };
    for name in ["NIX_BUILD_TOP", "TMPDIR", "TEMPDIR", "TMP", "TEMP", "PWD"] {
        put(name, BUILD_DIR.as_bytes());
    }
    if drv.fixed_output().is_some() {
        put("NIX_OUTPUT_CHECKED", b"1");
    }
    if is_open(drv) {
        for name in &options.impure_env_vars {
            put(name, host_env(name).unwrap_or_default().as_bytes());
        }
    }
    put("NIX_LOG_FD", b"2");
    put("TERM", b"xterm-256color");

    made.args = drv.args.iter().map(|arg| replace.apply(arg)).collect();
    made
}

/// Whether a build may reach the network and the caller's variables: where its output is checked, or promised to nobody.
#[must_use]
pub(crate) fn is_open(drv: &Derivation) -> bool {
    drv.fixed_output().is_some() || drv.is_impure()
}

/// `builtins.placeholder` strings and what replaces them.
struct Placeholders(Vec<(String, String)>);

impl Placeholders {
    fn of(outputs: &BTreeMap<String, StorePath>) -> Self {
        let pair = |(name, path): (&String, &StorePath)| (hash_placeholder(name), path.to_string());
        Self(outputs.iter().map(pair).collect())
    }

    fn apply(&self, text: &[u8]) -> Vec<u8> {
        replace_all(text, &self.0)
    }
}

/// A reference graph as text: for each path its name, an empty line for its deriver, the number of its references, and those
/// (`nix-store --register-validity`).
fn validity_registration(paths: &[GraphPath]) -> Vec<u8> {
    let mut text = String::new();
    for GraphPath { info, .. } in paths {
        let _ = writeln!(text, "{}\n\n{}", info.path, info.references.len());
        for reference in &info.references {
            let _ = writeln!(text, "{reference}");
        }
    }
    text.into_bytes()
}

/// A reference graph as JSON, with the members that stock Nix promises to builders, sorted.
fn graph_json(paths: &[GraphPath]) -> serde_json::Value {
    let path_json = |GraphPath { info, closure_size }: &GraphPath| {
        let mut members = serde_json::Map::new();
        if let Some(ca) = &info.ca {
            members.insert("ca".to_owned(), ca.to_string().into());
        }
        members.insert("closureSize".to_owned(), (*closure_size).into());
        members.insert(
            "narHash".to_owned(),
            info.nar_hash.to_prefixed_base32().into(),
        );
        members.insert("narSize".to_owned(), info.nar_size.into());
        members.insert("path".to_owned(), info.path.to_string().into());
        let references: Vec<String> = info.references.iter().map(ToString::to_string).collect();
        members.insert("references".to_owned(), references.into());
        members.insert("valid".to_owned(), true.into());
        serde_json::Value::Object(members)
    };
    paths.iter().map(path_json).collect()
}

/// `.attrs.json`: the attributes as they stand in the derivation, sorted, with `outputs` turned into a set of output paths and the
/// reference graphs added.
fn structured_json(
    structured: &Structured,
    outputs: &BTreeMap<String, StorePath>,
    graphs: &Graphs,
) -> Vec<u8> {
    let outputs: serde_json::Map<_, _> = outputs
        .iter()
        .map(|(name, path)| (name.clone(), path.to_string().into()))
        .collect();
    let mut members: BTreeMap<&str, String> = structured
        .iter()
        .map(|(name, value)| (name.as_str(), value.get().to_owned()))
        .collect();
    members.insert("outputs", serde_json::Value::Object(outputs).to_string());
    for (name, paths) in graphs {
        members.insert(name, graph_json(paths).to_string());
    }
    let mut json = String::from("{");
    for (index, (name, value)) in members.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(json, "{comma}{}:{value}", serde_json::Value::from(*name));
    }
    json.push('}');
    json.into_bytes()
}

/// A number as `.attrs.sh` has it: whole ones as a 32-bit integer, others not at all. What does not fit wraps (integers) or
/// is the least one (floats): outputs must not depend on who builds, so this is what stock Nix does.
fn shell_number(number: &serde_json::Number) -> Option<String> {
    #[expect(clippy::cast_possible_truncation, reason = "as described")]
    let single = number.as_f64()? as f32;
    if single.ceil() != single {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "as described")]
    let int = match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(int), _, _) => int as i32,
        (_, Some(int), _) => int as i32,
        (_, _, Some(float))
            if float > f64::from(i32::MIN) - 1.0 && float < f64::from(i32::MAX) + 1.0 =>
        {
            float as i32
        }
        _ => i32::MIN,
    };
    Some(int.to_string())
}

/// The attributes as `declare` statements for bash (manual, "Structured attributes"): strings, numbers, booleans,
/// lists and sets of those; others are left to the JSON file.
fn shell_attributes(json: &[u8]) -> Vec<u8> {
    use serde_json::Value;
    fn quote(text: &str) -> String {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
    fn simple(value: &Value) -> Option<String> {
        match value {
            Value::String(text) => Some(quote(text)),
            Value::Number(number) => shell_number(number),
            Value::Null => Some("''".to_owned()),
            Value::Bool(true) => Some("1".to_owned()),
            Value::Bool(false) => Some(String::new()),
            _ => None,
        }
    }
    fn is_name(name: &str) -> bool {
        let mut bytes = name.bytes();
        bytes
            .next()
            .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
            && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
    }
    let Ok(attributes) = serde_json::from_slice::<BTreeMap<String, Value>>(json) else {
        return Vec::new();
    };
    let mut text = String::new();
    for (name, value) in attributes.iter().filter(|(name, _)| is_name(name)) {
        match value {
            Value::Array(items) => {
                if let Some(items) = items
                    .iter()
                    .map(|item| Some(simple(item)? + " "))
                    .collect::<Option<String>>()
                {
                    let _ = writeln!(text, "declare -a {name}=({items})");
                }
            }
            Value::Object(members) => {
                let members: BTreeMap<_, _> = members.iter().collect();
                let pair = |(key, value): (&&String, &&Value)| {
                    Some(format!("[{}]={} ", quote(key), simple(value)?))
                };
                if let Some(pairs) = members.iter().map(pair).collect::<Option<String>>() {
                    let _ = writeln!(text, "declare -A {name}=({pairs})");
                }
            }
            other => {
                if let Some(value) = simple(other) {
                    let _ = writeln!(text, "declare {name}={value}");
                }
            }
        }
    }
    text.into_bytes()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use xbuild_derivation::Output;
    use xbuild_store_model::ContentAddressMethod;

    use super::*;

    pub(crate) fn path(name: &str) -> StorePath {
        StorePath::from_base_name(&format!("{}-{name}", "0".repeat(32))).unwrap()
    }

    /// A derivation with the outputs `dev` and `out`.
    pub(crate) fn derivation() -> Derivation {
        Derivation {
            name: "x".to_owned(),
            outputs: ["dev", "out"]
                .map(|o| (o.to_owned(), Output::InputAddressed(path(o))))
                .into(),
            input_drvs: BTreeMap::new(),
            input_srcs: BTreeSet::new(),
            system: b"x86_64-linux".to_vec(),
            builder: b"/bin/sh".to_vec(),
            args: vec![
                b"-c".to_vec(),
                format!("echo > {}", hash_placeholder("out")).into_bytes(),
            ],
            env: BTreeMap::new(),
        }
    }

    fn made(drv: &Derivation, graphs: &Graphs) -> Environment {
        let host = |name: &str| (name == "proxy").then(|| "http://p".to_owned());
        let outputs = drv
            .outputs
            .iter()
            .map(|(name, output)| (name.clone(), output.path().unwrap().clone()))
            .collect();
        environment(drv, &Options::of(drv).unwrap(), &outputs, graphs, 3, &host)
    }

    fn variables(made: &Environment) -> String {
        let line = |(name, value): (&Vec<u8>, &Vec<u8>)| {
            format!(
                "{}={}\n",
                String::from_utf8_lossy(name),
                String::from_utf8_lossy(value)
            )
        };
        made.variables.iter().map(line).collect()
    }

    fn file<'a>(made: &'a Environment, name: &str) -> &'a str {
        let (_, content) = made.files.iter().find(|(file, _)| file == name).unwrap();
        std::str::from_utf8(content).unwrap()
    }

    /// The expected text is what stock Nix 2.34 gave a builder that printed it.
    #[test]
    fn variables_of_a_plain_derivation() {
        let mut drv = derivation();
        for (name, value) in [
            ("HOME", "/h"),
            ("NIX_BUILD_CORES", "7"),
            ("NIX_STORE", "/x"),
            ("TMPDIR", "/q"),
            ("TERM", "dumb"),
            ("NIX_LOG_FD", "5"),
            ("big", "two\nlines"),
            ("passAsFile", "big absent"),
        ] {
            drv.env.insert(name.into(), value.into());
        }
        drv.env
            .insert(b"other".to_vec(), hash_placeholder("dev").into_bytes());
        let made = made(&drv, &Graphs::new());
        assert_eq!(
            variables(&made),
            format!(
                "HOME=/h\nNIX_BUILD_CORES=7\nNIX_BUILD_TOP=/build\nNIX_LOG_FD=2\nNIX_STORE=/x\nPATH=/path-not-set\nPWD=/build\n\
                 TEMP=/build\nTEMPDIR=/build\nTERM=xterm-256color\nTMP=/build\nTMPDIR=/build\n\
                 bigPath=/build/.attr-{}\nother={}\npassAsFile=big absent\n",
                Hash::of(HashAlgo::Sha256, b"big").to_base32(),
                path("dev")
            )
        );
        assert_eq!(made.files.len(), 1);
        assert_eq!(made.files[0].1, b"two\nlines");
        assert_eq!(made.args[1], format!("echo > {}", path("out")).into_bytes());
    }

    #[test]
    fn variables_of_a_fixed_output() {
        let mut drv = derivation();
        drv.env
            .insert(b"impureEnvVars".to_vec(), b"proxy absent".to_vec());
        drv.env.insert(b"proxy".to_vec(), b"mine".to_vec());
        assert!(!variables(&made(&drv, &Graphs::new())).contains("CHECKED"));
        let hash = Hash::of(HashAlgo::Sha256, b"");
        let fixed = Output::Fixed {
            path: path("out"),
            method: ContentAddressMethod::FLAT,
            hash,
        };
        drv.outputs = BTreeMap::from([("out".to_owned(), fixed)]);
        let text = variables(&made(&drv, &Graphs::new()));
        for line in ["NIX_OUTPUT_CHECKED=1\n", "\nproxy=http://p\n", "absent=\n"] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }

    /// Both files are what stock Nix 2.34 wrote for these attributes.
    #[test]
    fn structured_attributes() {
        let mut drv = derivation();
        let json = r#"{"big":3000000000,"e":[],"eo":{},"f":1.5,"f1":1.0,"f2":1e+100,"f3":1e-05,"f4":1.2345678901234568e+17,"fa":false,"l":["a",true,false,null,1,1.5],"l2":["a",true,false,null,1],"name":"x","neg":-5,"nested":{"a":{"b":1}},"nu":null,"o":{"a":1,"b c":"x'y","d":false},"outputs":["out","dev"],"ph":"PH","s":"it's \"q\" $x\n","t":true,"u":"é\t","with-dash":1}"#;
        drv.env.insert(
            b"__json".to_vec(),
            json.replace("PH", &hash_placeholder("dev")).into_bytes(),
        );
        let made = made(&drv, &Graphs::new());
        let (dev, out) = (path("dev"), path("out"));
        let with_paths = json
            .replace(
                r#"["out","dev"]"#,
                &format!(r#"{{"dev":"{dev}","out":"{out}"}}"#),
            )
            .replace("PH", &dev.to_string());
        assert_eq!(file(&made, ".attrs.json"), with_paths);
        let shell = r#"declare big=-1294967296
declare -a e=()
declare -A eo=()
declare f1=1
declare f2=-2147483648
declare f4=-2147483648
declare fa=
declare -a l2=('a' 1  '' 1 )
declare name='x'
declare neg=-5
declare nu=''
declare -A o=(['a']=1 ['b c']='x'\''y' ['d']= )
declare -A outputs=(['dev']='DEV' ['out']='OUT' )
declare ph='DEV'
declare s='it'\''s "q" $x
'
declare t=1
declare u='é	'
"#;
        assert_eq!(
            file(&made, ".attrs.sh"),
            shell
                .replace("DEV", &dev.to_string())
                .replace("OUT", &out.to_string())
        );
        assert!(variables(&made).contains("NIX_ATTRS_SH_FILE=/build/.attrs.sh\n"));
        assert!(!variables(&made).contains("__json"));
    }

    #[test]
    fn outputs_that_were_not_given_are_sorted_in() {
        let mut drv = derivation();
        drv.env
            .insert(b"__json".to_vec(), br#"{"name":"x","z":1}"#.to_vec());
        let json = format!(
            r#"{{"name":"x","outputs":{{"dev":"{}","out":"{}"}},"z":1}}"#,
            path("dev"),
            path("out")
        );
        assert_eq!(file(&made(&drv, &Graphs::new()), ".attrs.json"), json);
    }

    #[test]
    fn reference_graphs() {
        let graph = |name: &str, references: &[&str]| GraphPath {
            info: PathInfo {
                path: path(name),
                nar_hash: Hash::of(HashAlgo::Sha256, b""),
                nar_size: 7,
                references: references.iter().map(|name| path(name)).collect(),
                deriver: Some(path("d.drv")),
                ca: None,
                registration_time: 1,
                ultimate: true,
                sigs: Vec::new(),
            },
            closure_size: 9,
        };
        let graphs = Graphs::from([(
            "g".to_owned(),
            vec![graph("a", &[]), graph("b", &["a", "b"])],
        )]);
        let mut drv = derivation();
        let (a, b) = (path("a"), path("b"));
        assert_eq!(
            file(&made(&drv, &graphs), "g"),
            format!("{a}\n\n0\n{b}\n\n2\n{a}\n{b}\n")
        );
        drv.env.insert(b"__json".to_vec(), br#"{"a":1}"#.to_vec());
        let made = made(&drv, &graphs);
        assert!(made.files.iter().all(|(name, _)| name != "g"));
        let hash = Hash::of(HashAlgo::Sha256, b"").to_base32();
        let expected = format!(
            r#"{{"closureSize":9,"narHash":"sha256:{hash}","narSize":7,"path":"{a}","references":[],"valid":true}}"#
        );
        assert!(
            file(&made, ".attrs.json").contains(&expected),
            "{}",
            file(&made, ".attrs.json")
        );
    }
}
