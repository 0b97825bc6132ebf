//! Reads `--log-format internal-json` as strictly as nix-output-monitor does: each line must have the fields that its action and type
//! call for, and whatever a line speaks of must have been started and not stopped.

use std::collections::BTreeMap;

use serde_json::Value;

/// A line, with numbers of activities in the order of their first mention in place of those that the process gave.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    Start {
        id: usize,
        level: u64,
        kind: u64,
        text: String,
        fields: Vec<Value>,
        parent: Option<usize>,
    },
    Stop {
        id: usize,
    },
    Result {
        id: usize,
        kind: u64,
        fields: Vec<Value>,
    },
    Message {
        level: u64,
        text: String,
    },
}

/// What a field may be.
#[derive(Clone, Copy)]
enum Field {
    Text,
    Number,
    Either,
    Path,
    Derivation,
}
use Field::{Derivation, Either, Number, Path, Text};

/// All lines of `log`. With `every`, there is nothing else in it.
#[track_caller]
pub fn lines(log: &str, every: bool) -> Vec<Line> {
    let mut reader = Reader::default();
    let mut lines = Vec::new();
    for line in log.lines() {
        match line.strip_prefix("@nix ") {
            Some(json) => lines.push(
                reader
                    .line(json)
                    .unwrap_or_else(|why| panic!("{why}: {line}")),
            ),
            None => assert!(!every, "a line that is none of Nix's: {line}"),
        }
    }
    assert!(
        reader.running.is_empty(),
        "never stopped: {:?}",
        reader.running
    );
    lines
}

#[derive(Default)]
struct Reader {
    /// Activities by the numbers of the process, and whether they go on.
    known: BTreeMap<u64, usize>,
    running: BTreeMap<usize, u64>,
}

impl Reader {
    fn line(&mut self, json: &str) -> Result<Line, String> {
        let line: Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let number = |key: &str| line[key].as_u64().ok_or(format!("no number `{key}`"));
        let text = |key: &str| {
            line[key]
                .as_str()
                .map(str::to_owned)
                .ok_or(format!("no text `{key}`"))
        };
        match text("action")?.as_str() {
            "msg" => Ok(Line::Message {
                level: level(number("level")?)?,
                text: text("msg")?,
            }),
            "start" => {
                let (raw, kind) = (number("id")?, number("type")?);
                let fields = fields(&line, activity_fields(kind)?)?;
                let parent = match number("parent")? {
                    0 => None,
                    parent => Some(self.running(parent)?),
                };
                if self.known.contains_key(&raw) {
                    return Err("started twice".to_owned());
                }
                let id = self.known.len();
                self.known.insert(raw, id);
                self.running.insert(id, kind);
                let (level, text) = (level(number("level")?)?, text("text")?);
                Ok(Line::Start {
                    id,
                    level,
                    kind,
                    text,
                    fields,
                    parent,
                })
            }
            "stop" => {
                let id = self.running(number("id")?)?;
                self.running.remove(&id);
                Ok(Line::Stop { id })
            }
            "result" => {
                let (id, kind) = (self.running(number("id")?)?, number("type")?);
                let fields = fields(&line, result_fields(kind)?)?;
                if kind == 106 {
                    activity_fields(fields[0].as_u64().unwrap_or_default())?;
                }
                Ok(Line::Result { id, kind, fields })
            }
            other => Err(format!("unknown action `{other}`")),
        }
    }

    fn running(&self, raw: u64) -> Result<usize, String> {
        let id = self
            .known
            .get(&raw)
            .ok_or("an activity that was never started")?;
        match self.running.contains_key(id) {
            true => Ok(*id),
            false => Err("an activity that was stopped".to_owned()),
        }
    }
}

fn level(level: u64) -> Result<u64, String> {
    (level <= 7)
        .then_some(level)
        .ok_or(format!("no level {level}"))
}

/// `ActivityType`; none where nobody looks at the fields.
fn activity_fields(kind: u64) -> Result<&'static [Field], String> {
    Ok(match kind {
        0 | 102..=104 | 106 | 107 | 111 | 112 => &[],
        100 => &[Path, Text, Text],
        101 => &[Text],
        105 => &[Derivation, Text, Either, Either],
        108 | 109 => &[Path, Text],
        110 => &[Derivation],
        other => return Err(format!("unknown activity {other}")),
    })
}

/// `ResultType`.
fn result_fields(kind: u64) -> Result<&'static [Field], String> {
    Ok(match kind {
        100 | 106 => &[Number, Number],
        101 | 104 | 107 | 108 => &[Text],
        102 | 103 => &[Path],
        105 => &[Number, Number, Number, Number],
        other => return Err(format!("unknown result {other}")),
    })
}

fn fields(line: &Value, wanted: &[Field]) -> Result<Vec<Value>, String> {
    let fields = line["fields"].as_array().cloned().unwrap_or_default();
    if wanted.is_empty() {
        return Ok(fields);
    }
    if fields.len() != wanted.len() {
        return Err(format!(
            "{} fields in place of {}",
            fields.len(),
            wanted.len()
        ));
    }
    for (field, wanted) in fields.iter().zip(wanted) {
        let is_path = |field: &Value| field.as_str().is_some_and(is_store_path);
        let fits = match wanted {
            Text => field.is_string(),
            Number => field.is_u64(),
            Either => field.is_string() || field.is_u64(),
            Path => is_path(field),
            Derivation => {
                is_path(field) && field.as_str().is_some_and(|path| path.ends_with(".drv"))
            }
        };
        if !fits {
            return Err(format!("a field that does not fit: {field}"));
        }
    }
    Ok(fields)
}

fn is_store_path(text: &str) -> bool {
    let Some((hash, name)) = text
        .strip_prefix("/nix/store/")
        .and_then(|rest| rest.split_once('-'))
    else {
        return false;
    };
    let of_name = |c: char| c.is_ascii_alphanumeric() || "?=_.+-".contains(c);
    hash.len() == 32 && !name.is_empty() && name.chars().all(of_name)
}

/// What nix-output-monitor shows of a derivation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Planned,
    Building,
    Built,
    Failed,
}

/// The states of each derivation, one after the other. The end of an activity is a success, unless a failure was told before: that is
/// how nix-output-monitor learns how long builds take.
pub fn states(lines: &[Line]) -> BTreeMap<String, Vec<State>> {
    let mut states: BTreeMap<String, Vec<State>> = BTreeMap::new();
    let mut building = BTreeMap::new();
    let mut enter = |drv: &str, state, from: &[State]| {
        let states = states.entry(drv.to_owned()).or_default();
        if from.is_empty() || states.last().is_some_and(|last| from.contains(last)) {
            states.push(state);
        }
    };
    for line in lines {
        match line {
            Line::Message { level: 3, text } => {
                let path = text.strip_prefix("  ").filter(|path| is_store_path(path));
                if let Some(drv) = path.filter(|path| path.ends_with(".drv")) {
                    enter(drv, State::Planned, &[]);
                }
            }
            Line::Message { level: 0, text } => {
                if let Some((drv, _)) = failure(text) {
                    enter(drv, State::Failed, &[State::Building, State::Built]);
                }
            }
            Line::Start {
                id,
                kind: 105,
                fields,
                ..
            } => {
                let drv = fields[0].as_str().unwrap_or_default();
                building.insert(*id, drv);
                enter(drv, State::Building, &[]);
            }
            Line::Stop { id } => {
                if let Some(drv) = building.remove(id) {
                    enter(drv, State::Built, &[State::Building]);
                }
            }
            _ => {}
        }
    }
    states
}

/// What nix-output-monitor makes of an error message: the derivation that failed, and its exit code.
pub fn failure(message: &str) -> Option<(&str, i32)> {
    let (drv, rest) = message
        .strip_prefix("error: Cannot build '")?
        .split_once("'.\n")?;
    let (code, _) = rest
        .strip_prefix("       Reason: builder failed with exit code ")?
        .split_once('.')?;
    Some((drv, code.parse().ok()?))
}
