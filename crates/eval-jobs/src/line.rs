//! What is told of an attribute: one line of JSON, with the fields of nix-eval-jobs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The names that lead to an attribute, from the root.
pub type AttrPath = Vec<String>;

/// What is told of one attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// The names with dots between; one that has a dot itself is in quotes.
    pub attr: String,
    /// The names.
    pub attr_path: AttrPath,
    /// What came of it.
    #[serde(flatten)]
    pub result: Outcome,
}

/// What came of an attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Outcome {
    /// A derivation.
    Job(Box<Job>),
    /// It could not be evaluated.
    Failed(Failure),
}

/// A derivation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// The `.drv` file.
    pub drv_path: String,
    /// What `--apply`'s function gives for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_value: Option<serde_json::Value>,
    /// The derivations it is built with, and which of their outputs.
    pub input_drvs: BTreeMap<String, BTreeSet<String>>,
    /// With `--check-cache-status`: whether all outputs are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_cached: Option<bool>,
    /// With `--check-cache-status`: `local` or `notBuilt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_status: Option<String>,
    /// With `--meta`: the attribute `meta`, without what JSON does not have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<serde_json::Value>,
    /// The derivation's name.
    pub name: String,
    /// The store paths of the outputs; null where it is only known after building.
    pub outputs: BTreeMap<String, Option<String>>,
    /// What a machine must have to build it.
    pub required_system_features: Vec<String>,
    /// The platform it is built on.
    pub system: String,
}

/// An attribute that could not be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The message, as on a terminal.
    pub error: String,
    /// Whether nothing else could be evaluated either. Here that is never so.
    pub fatal: bool,
}

impl Line {
    /// A line for `path`.
    #[must_use]
    pub fn new(path: &[String], result: Outcome) -> Self {
        Self {
            attr: join(path),
            attr_path: path.to_vec(),
            result,
        }
    }

    /// The line of an attribute that could not be evaluated.
    #[must_use]
    pub fn failed(path: &[String], error: impl Into<String>) -> Self {
        let failure = Failure {
            error: error.into(),
            fatal: false,
        };
        Self::new(path, Outcome::Failed(failure))
    }
}

/// The names with dots between.
#[must_use]
pub fn join(path: &[String]) -> String {
    let names: Vec<String> = path
        .iter()
        .map(|name| match name.contains('.') {
            true => format!("\"{name}\""),
            false => name.clone(),
        })
        .collect();
    names.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_those_of_nix_eval_jobs() {
        let job = Job {
            drv_path: "/nix/store/x.drv".into(),
            extra_value: None,
            input_drvs: BTreeMap::new(),
            is_cached: Some(true),
            cache_status: None,
            meta: None,
            name: "x".into(),
            outputs: BTreeMap::from([("out".into(), None)]),
            required_system_features: Vec::new(),
            system: "s".into(),
        };
        let path = ["a".to_owned(), "b.c".to_owned()];
        let line = Line::new(&path, Outcome::Job(Box::new(job)));
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(
            text,
            r#"{"attr":"a.\"b.c\"","attrPath":["a","b.c"],"drvPath":"/nix/store/x.drv","inputDrvs":{},"isCached":true,"name":"x","outputs":{"out":null},"requiredSystemFeatures":[],"system":"s"}"#
        );
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
        let failed = Line::failed(&path[..1], "error: no");
        let text = serde_json::to_string(&failed).unwrap();
        assert_eq!(
            text,
            r#"{"attr":"a","attrPath":["a"],"error":"error: no","fatal":false}"#
        );
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), failed);
    }
}
