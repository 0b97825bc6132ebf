//! What a derivation asks for beside its builder: checks of the outputs, reference graphs, variables of the caller (manual,
//! "Advanced attributes").
//!
//! They stand in the environment, or, with `__structuredAttrs`, in the JSON of `__json`. An option that is read in only one of the
//! two places would be lost in silence for the other half of all derivations; so everything goes through here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use serde_json::value::RawValue;
use xbuild_derivation::{Derivation, STRUCTURED_ATTRS_VARIABLE};

use crate::error::FailureReason;

/// The attributes of `__json`, sorted by name as stock Nix writes them, each with its text as it stands.
pub(crate) type Structured = BTreeMap<String, Box<RawValue>>;

/// The options of one derivation.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// The structured attributes, if it has such.
    pub(crate) structured: Option<Structured>,
    /// `impureEnvVars`.
    pub(crate) impure_env_vars: Vec<String>,
    /// `exportReferencesGraph`: the paths (as written) whose closure is told, by file or attribute name.
    pub(crate) graphs: BTreeMap<String, Vec<String>>,
    /// The demands on outputs.
    pub(crate) checks: Checks,
    /// `unsafeDiscardReferences`: the outputs that are not scanned.
    pub(crate) discard_references: BTreeSet<String>,
}

/// Demands on outputs, by which they apply to.
#[derive(Debug)]
pub(crate) enum Checks {
    /// The same for every output.
    All(OutputChecks),
    /// `outputChecks`, by output name.
    Each(BTreeMap<String, OutputChecks>),
}

impl Default for Checks {
    fn default() -> Self {
        Self::Each(BTreeMap::new())
    }
}

impl Checks {
    /// The demands on the output called `name`.
    pub(crate) fn of(&self, name: &str) -> Option<&OutputChecks> {
        match self {
            Self::All(checks) => Some(checks),
            Self::Each(checks) => checks.get(name),
        }
    }
}

/// Demands on one output. Lists hold output names and store paths.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct OutputChecks {
    /// Whether an output may be in its own closure in any case: so without structured attributes.
    pub(crate) ignore_self: bool,
    pub(crate) allowed_references: Option<Vec<String>>,
    pub(crate) allowed_requisites: Option<Vec<String>>,
    pub(crate) disallowed_references: Option<Vec<String>>,
    pub(crate) disallowed_requisites: Option<Vec<String>>,
    /// NAR bytes.
    pub(crate) max_size: Option<u64>,
    /// NAR bytes of the whole closure.
    pub(crate) max_closure_size: Option<u64>,
}

impl Options {
    /// Reads the options of `drv`.
    ///
    /// # Errors
    /// `__json` is no JSON, or an option is of the wrong form.
    pub(crate) fn of(drv: &Derivation) -> Result<Self, FailureReason> {
        match drv.env.get(STRUCTURED_ATTRS_VARIABLE) {
            Some(json) => {
                let structured: Structured = serde_json::from_slice(json).map_err(|error| {
                    wrong(format!(
                        "the structured attributes are not a JSON object: {error}"
                    ))
                })?;
                Self::from_structured(structured)
            }
            None => Self::from_env(drv),
        }
    }

    fn from_env(drv: &Derivation) -> Result<Self, FailureReason> {
        let words = |name: &str| {
            let value = drv.env.get(name.as_bytes())?;
            let value = String::from_utf8_lossy(value);
            Some(
                value
                    .split_ascii_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>(),
            )
        };
        let mut graphs = BTreeMap::new();
        for pair in words("exportReferencesGraph").unwrap_or_default().chunks(2) {
            let [file, path] = pair else {
                return Err(wrong(
                    "`exportReferencesGraph` must hold pairs of a file name and a path".to_owned(),
                ));
            };
            if !is_graph_file(file) {
                return Err(wrong(format!(
                    "`exportReferencesGraph` names a file `{}`; allowed are letters, digits, `_`, `.` and `-`, not beginning with \
                     a digit, `.` or `-`",
                    file.escape_debug()
                )));
            }
            graphs.insert(file.clone(), vec![path.clone()]);
        }
        Ok(Self {
            structured: None,
            impure_env_vars: words("impureEnvVars").unwrap_or_default(),
            graphs,
            checks: Checks::All(OutputChecks {
                ignore_self: true,
                allowed_references: words("allowedReferences"),
                allowed_requisites: words("allowedRequisites"),
                disallowed_references: words("disallowedReferences"),
                disallowed_requisites: words("disallowedRequisites"),
                max_size: None,
                max_closure_size: None,
            }),
            discard_references: BTreeSet::new(),
        })
    }

    fn from_structured(structured: Structured) -> Result<Self, FailureReason> {
        let value = |name: &str| {
            structured
                .get(name)
                .and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok())
        };
        let mut options = Self::default();
        if let Some(names) = value("impureEnvVars") {
            options.impure_env_vars = strings(&names, "impureEnvVars")?;
        }
        // Nix ignores it if it is no set, with a warning.
        if let Some(Value::Object(graphs)) = value("exportReferencesGraph") {
            for (name, paths) in graphs {
                let mut list = Vec::new();
                flatten(&paths, &mut list)?;
                options.graphs.insert(name, list);
            }
        }
        if let Some(outputs) = value("unsafeDiscardReferences") {
            for (name, discard) in members(&outputs, "unsafeDiscardReferences")? {
                match discard {
                    Value::Bool(true) => options.discard_references.insert(name.clone()),
                    Value::Bool(false) => false,
                    _ => {
                        return Err(wrong(format!(
                            "`unsafeDiscardReferences.{name}` must be true or false"
                        )));
                    }
                };
            }
        }
        let mut each = BTreeMap::new();
        if let Some(outputs) = value("outputChecks") {
            for (output, checks) in members(&outputs, "outputChecks")? {
                let place = format!("outputChecks.{output}");
                let checks = members(checks, &place)?;
                let list = |name: &str| {
                    checks
                        .get(name)
                        .map(|list| strings(list, &format!("{place}.{name}")))
                        .transpose()
                };
                let size = |name: &str| match checks.get(name) {
                    None => Ok(None),
                    Some(size) => match size.as_u64() {
                        Some(size) => Ok(Some(size)),
                        None => Err(wrong(format!("`{place}.{name}` must be a number of bytes"))),
                    },
                };
                each.insert(
                    output.clone(),
                    OutputChecks {
                        ignore_self: false,
                        allowed_references: list("allowedReferences")?,
                        allowed_requisites: list("allowedRequisites")?,
                        disallowed_references: list("disallowedReferences")?,
                        disallowed_requisites: list("disallowedRequisites")?,
                        max_size: size("maxSize")?,
                        max_closure_size: size("maxClosureSize")?,
                    },
                );
            }
        }
        options.checks = Checks::Each(each);
        options.structured = Some(structured);
        Ok(options)
    }
}

/// An attribute of `drv` that is one text, `None` if it is absent or empty: a variable of its environment or a structured
/// attribute, where the elements of a list stand in lines. For xbuild's own attributes (`xbuildTarget` …).
#[must_use]
pub fn attribute(drv: &Derivation, name: &str) -> Option<String> {
    let text = match drv.env.get(STRUCTURED_ATTRS_VARIABLE) {
        Some(json) => match serde_json::from_slice::<Structured>(json)
            .ok()
            .and_then(|all| serde_json::from_str(all.get(name)?.get()).ok())?
        {
            Value::String(text) => text,
            list @ Value::Array(_) => strings(&list, name).ok()?.join("\n"),
            _ => return None,
        },
        None => String::from_utf8_lossy(drv.env.get(name.as_bytes())?).into_owned(),
    };
    Some(text).filter(|text| !text.is_empty())
}

/// Whether an attribute of `drv` is true: `1` or `true` in the environment, `true` or 1 in structured attributes.
pub(crate) fn flag(drv: &Derivation, name: &str) -> bool {
    match drv.env.get(STRUCTURED_ATTRS_VARIABLE) {
        Some(json) => {
            let all = serde_json::from_slice::<Structured>(json);
            let value = all
                .ok()
                .and_then(|all| Some(all.get(name)?.get().to_owned()));
            value.is_some_and(|text| matches!(text.as_str(), "true" | "1" | "\"1\""))
        }
        None => {
            let value = drv.env.get(name.as_bytes());
            value.is_some_and(|value| matches!(value.as_slice(), b"1" | b"true"))
        }
    }
}

fn wrong(text: String) -> FailureReason {
    FailureReason::Unsupported(text)
}

fn members<'a>(
    value: &'a Value,
    place: &str,
) -> Result<&'a serde_json::Map<String, Value>, FailureReason> {
    value
        .as_object()
        .ok_or_else(|| wrong(format!("`{place}` must be a set")))
}

fn strings(value: &Value, place: &str) -> Result<Vec<String>, FailureReason> {
    let texts = value
        .as_array()
        .map(|items| items.iter().map(|item| item.as_str().map(str::to_owned)));
    texts
        .and_then(Iterator::collect::<Option<Vec<_>>>)
        .ok_or_else(|| wrong(format!("`{place}` must be a list of strings")))
}

fn flatten(value: &Value, into: &mut Vec<String>) -> Result<(), FailureReason> {
    match value {
        Value::String(path) => into.push(path.clone()),
        Value::Array(items) => items.iter().try_for_each(|item| flatten(item, into))?,
        _ => {
            return Err(wrong(
                "`exportReferencesGraph` may hold only store paths and lists of them".to_owned(),
            ));
        }
    }
    Ok(())
}

/// `[A-Za-z_][A-Za-z0-9_.-]*`: the name cannot lead out of the build directory.
fn is_graph_file(name: &str) -> bool {
    name.bytes()
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(env: &[(&str, &str)]) -> Derivation {
        let mut drv = crate::environment::tests::derivation();
        drv.env.extend(
            env.iter()
                .map(|(k, v)| (k.as_bytes().to_vec(), v.as_bytes().to_vec())),
        );
        drv
    }

    #[test]
    fn plain_options() {
        let options = Options::of(&with(&[
            ("allowedReferences", "out  dev"),
            ("disallowedRequisites", ""),
            ("impureEnvVars", "a\nb"),
            ("exportReferencesGraph", "g /nix/store/x h.1 /nix/store/y"),
        ]))
        .unwrap();
        let checks = options.checks.of("whatever").unwrap();
        assert_eq!(
            checks.allowed_references.as_deref().unwrap(),
            ["out", "dev"]
        );
        assert_eq!(checks.disallowed_requisites.as_deref().unwrap(), [""; 0]);
        assert_eq!(
            (checks.ignore_self, &checks.allowed_requisites),
            (true, &None)
        );
        assert_eq!(options.impure_env_vars, ["a", "b"]);
        assert_eq!(options.graphs["h.1"], ["/nix/store/y"]);
        let error = |graph| {
            Options::of(&with(&[("exportReferencesGraph", graph)]))
                .unwrap_err()
                .to_string()
        };
        assert!(error("g").contains("pairs"));
        assert!(error("../g /nix/store/x").contains("`../g`"));
        assert!(error(".attrs.sh /nix/store/x").contains("`.attrs.sh`"));
    }

    #[test]
    fn structured_options() {
        let options = Options::of(&with(&[(
            "__json",
            r#"{"outputChecks":{"out":{"maxSize":5,"allowedReferences":["dev"]}},"unsafeDiscardReferences":{"dev":true,"out":false},
            "exportReferencesGraph":{"g":["/nix/store/x",["/nix/store/y"]]},"impureEnvVars":["a"],"allowedReferences":[]}"#,
        )]))
        .unwrap();
        let checks = options.checks.of("out").unwrap();
        assert_eq!((checks.max_size, checks.ignore_self), (Some(5), false));
        assert_eq!(checks.allowed_references.as_deref().unwrap(), ["dev"]);
        assert!(
            options.checks.of("dev").is_none(),
            "the top-level attributes have no effect, as in Nix"
        );
        assert_eq!(options.graphs["g"], ["/nix/store/x", "/nix/store/y"]);
        assert_eq!(
            options.discard_references.into_iter().collect::<Vec<_>>(),
            ["dev"]
        );
        let error = |json| {
            Options::of(&with(&[("__json", json)]))
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            error(r#"{"outputChecks":{"out":{"maxSize":-1}}}"#),
            "`outputChecks.out.maxSize` must be a number of bytes"
        );
        assert_eq!(
            error(r#"{"impureEnvVars":"x"}"#),
            "`impureEnvVars` must be a list of strings"
        );
        assert!(error("[").contains("not a JSON object"));
    }

    #[test]
    fn attributes_of_both_kinds() {
        let plain = with(&[("xbuildTarget", "aarch64-linux"), ("empty", "")]);
        assert_eq!(
            attribute(&plain, "xbuildTarget").as_deref(),
            Some("aarch64-linux")
        );
        assert_eq!(attribute(&plain, "empty"), None);
        let structured = with(&[(
            "__json",
            r#"{"xbuildTarget":"aarch64-linux","xbuildExceptions":["a b c","d e f"]}"#,
        )]);
        assert_eq!(
            attribute(&structured, "xbuildTarget").as_deref(),
            Some("aarch64-linux")
        );
        assert_eq!(
            attribute(&structured, "xbuildExceptions").as_deref(),
            Some("a b c\nd e f")
        );
        assert_eq!(attribute(&structured, "absent"), None);
    }
}
