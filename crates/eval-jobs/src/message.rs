//! What a supervisor and a worker say to each other: JSON, one message a line, over the worker's stdin and stdout.

use serde::{Deserialize, Serialize};

use crate::line::{AttrPath, Line};

/// To a worker: evaluate these, one after the other. At the end of its input the worker ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The attributes.
    pub paths: Vec<AttrPath>,
}

/// From a worker, for each path of a request in turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    /// A derivation or an error: to be told.
    Line(Box<Line>),
    /// A set to be looked into, by the names of its attributes.
    Attrs(Vec<String>),
    /// Nothing to be told: a value that is no derivation.
    Nothing,
    /// In place of further replies: the worker ends, since it uses too much memory. What it did not reply to is to be
    /// asked of another one.
    Full,
}
