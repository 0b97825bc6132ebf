//! `--log-format internal-json`: lines `@nix {…}` as stock Nix prints them, for programs such as nix-output-monitor.
//!
//! The numbers are those of `ActivityType`, `ResultType` and `Verbosity` in Nix 2.34 (`src/libutil/include/nix/util/logging.hh`);
//! keys are in the order in which Nix prints them.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::event::{Cause, Event, Level, StepId, StepKind};
use crate::run::Run;
use crate::terminal::{Colours, printable};

/// Activities (`ActivityType`).
mod activity {
    pub(super) const COPY_PATH: u32 = 100;
    pub(super) const FILE_TRANSFER: u32 = 101;
    pub(super) const REALISE: u32 = 102;
    pub(super) const COPY_PATHS: u32 = 103;
    pub(super) const BUILDS: u32 = 104;
    pub(super) const BUILD: u32 = 105;
    pub(super) const BUILD_WAITING: u32 = 111;
}

/// Results (`ResultType`).
mod result {
    pub(super) const BUILD_LOG_LINE: u32 = 101;
    pub(super) const SET_PHASE: u32 = 104;
    pub(super) const PROGRESS: u32 = 105;
    pub(super) const SET_EXPECTED: u32 = 106;
}

/// Turns events into lines.
#[derive(Debug)]
pub struct InternalJson {
    prefix: &'static str,
    next: u64,
    run: Run,
    /// The activities that go on as long as a plan runs: all, builds, copies.
    whole: Option<[u64; 3]>,
    /// Activities of running steps.
    steps: HashMap<StepId, u64>,
    /// Of steps that wait for another process.
    waiting: HashMap<StepId, u64>,
    transfers: HashMap<StepId, u64>,
    /// Bytes of all downloads that began.
    expected: u64,
    lines: Vec<String>,
}

impl InternalJson {
    /// For the process `pid`, of which the numbers of activities are made. `prefix`: whether lines begin with `@nix `, as on a
    /// terminal, or not, as in the file of the setting `json-log-path`.
    #[must_use]
    pub fn new(pid: u32, prefix: bool) -> Self {
        Self {
            prefix: if prefix { "@nix " } else { "" },
            next: u64::from(pid) << 32,
            run: Run::default(),
            whole: None,
            steps: HashMap::new(),
            waiting: HashMap::new(),
            transfers: HashMap::new(),
            expected: 0,
            lines: Vec::new(),
        }
    }

    /// A message, as a line.
    #[must_use]
    pub fn message(prefix: bool, level: Level, text: &str) -> String {
        let prefix = if prefix { "@nix " } else { "" };
        let message = json!({ "action": "msg", "level": level as u8, "msg": text });
        format!("{prefix}{message}")
    }

    /// The lines for an event, without their line ends.
    pub fn lines(&mut self, at: Duration, event: &Event<'_>) -> Vec<String> {
        let first_new = self.run.steps.len();
        self.run.apply(at, event);
        match event {
            Event::Planned { .. } => self.planned(first_new),
            Event::Waiting { step } => {
                if let Some(drv) = self.drv(*step) {
                    let text = format!("waiting for lock on '{drv}'");
                    let id =
                        self.start(Level::Warning, activity::BUILD_WAITING, &text, json!([]), 0);
                    self.waiting.insert(*step, id);
                }
            }
            Event::Started { step, .. } => self.started(*step),
            Event::Phase { step, phase } => self.result_of(*step, result::SET_PHASE, phase),
            Event::LogLine { step, line } => {
                let line = printable(line, Colours::Keep);
                let line = String::from_utf8_lossy(&line);
                self.result_of(*step, result::BUILD_LOG_LINE, &line);
            }
            Event::Downloaded {
                step,
                url,
                bytes,
                total,
            } => self.downloaded(*step, url, *bytes, total.unwrap_or(0)),
            Event::Done { step, .. } | Event::Stopped { step } => self.ended(*step),
            Event::Retried { message, .. } => {
                // The activity goes on: an end would be taken for a success.
                self.progress();
                self.say(Level::Warning, &format!("warning: {message}"));
            }
            Event::Failed {
                step,
                reason,
                cause,
                message,
            } => {
                // Told before the end, which would be taken for a success.
                self.failed(*step, reason, *cause, message);
                self.ended(*step);
            }
            Event::Message { level, text } => {
                let text = match level {
                    Level::Error => format!("error: {text}"),
                    Level::Warning => format!("warning: {text}"),
                    _ => text.clone(),
                };
                self.say(*level, &text);
            }
            Event::Ended { .. } => {
                // Whatever was left open ends with the run.
                let mut open: Vec<u64> = self
                    .transfers
                    .drain()
                    .chain(self.waiting.drain())
                    .chain(self.steps.drain())
                    .map(|(_, id)| id)
                    .collect();
                open.sort_unstable();
                if let Some([all, builds, copies]) = self.whole.take() {
                    open.extend([copies, builds, all]);
                }
                for id in open {
                    self.stop(id);
                }
            }
            Event::Begun { .. } | Event::Built { .. } | Event::Skipped { .. } | Event::Unknown => {}
        }
        std::mem::take(&mut self.lines)
    }

    fn planned(&mut self, first_new: usize) {
        if self.run.steps.len() == first_new {
            return;
        }
        let new: Vec<String> = self
            .run
            .in_order(first_new)
            .into_iter()
            .filter(|step| step.kind != StepKind::Rebuild)
            .map(|step| format!("  {}", step.drv))
            .collect();
        match new.len() {
            0 => {}
            1 => self.say(Level::Info, "this derivation will be built:"),
            n => self.say(
                Level::Info,
                &format!("these {n} derivations will be built:"),
            ),
        }
        for line in new {
            self.say(Level::Info, &line);
        }
        if self.whole.is_none() {
            let kinds = [activity::REALISE, activity::BUILDS, activity::COPY_PATHS];
            self.whole = Some(kinds.map(|kind| self.start(Level::Error, kind, "", json!([]), 0)));
        }
        self.progress();
    }

    fn started(&mut self, step: StepId) {
        if let Some(id) = self.waiting.remove(&step) {
            self.stop(id);
        }
        if self.steps.contains_key(&step) {
            return self.progress();
        }
        let Some(drv) = self.drv(step) else { return };
        let what = match self.run.step(step).map(|step| step.kind) {
            Some(StepKind::Rebuild) => "checking outputs of",
            _ => "building",
        };
        let text = format!("{what} '{drv}'");
        let id = self.start(
            Level::Info,
            activity::BUILD,
            &text,
            json!([drv, "", 1, 1]),
            0,
        );
        self.steps.insert(step, id);
        self.progress();
    }

    fn downloaded(&mut self, step: StepId, url: &str, bytes: u64, total: u64) {
        let Some(&parent) = self.steps.get(&step) else {
            return;
        };
        let id = match self.transfers.get(&step) {
            Some(id) => *id,
            None => {
                let text = format!("downloading '{url}'");
                let fields = json!([url]);
                let id = self.start(
                    Level::Talkative,
                    activity::FILE_TRANSFER,
                    &text,
                    fields,
                    parent,
                );
                self.transfers.insert(step, id);
                self.expected += total;
                self.progress();
                id
            }
        };
        self.result(id, result::PROGRESS, &json!([bytes, total, 0, 0]));
    }

    fn ended(&mut self, step: StepId) {
        for id in [self.waiting.remove(&step), self.transfers.remove(&step)]
            .into_iter()
            .flatten()
        {
            self.stop(id);
        }
        self.progress();
        if let Some(id) = self.steps.remove(&step) {
            self.stop(id);
        }
    }

    /// In Nix's words, which programs look for, and then in ours.
    fn failed(&mut self, step: StepId, reason: &str, cause: Cause, message: &str) {
        let Some(drv) = self.drv(step) else { return };
        let rest = message.split_once('\n').map_or("", |(_, rest)| rest);
        let mut text = match cause {
            Cause::Exit(code) => format!(
                "error: Cannot build '{drv}'.\n       Reason: builder failed with exit code {code}."
            ),
            Cause::HashMismatch => {
                format!("error: hash mismatch in fixed-output derivation '{drv}':")
            }
            Cause::Other => format!("error: Cannot build '{drv}'.\n       Reason: {reason}."),
        };
        for line in rest.lines() {
            text += "\n       ";
            text += line;
        }
        let message = json!({
            "action": "msg",
            "column": null,
            "file": null,
            "level": Level::Error as u8,
            "line": null,
            "msg": text,
            "raw_msg": text.strip_prefix("error: ").unwrap_or(&text),
        });
        self.put(&message);
    }

    fn drv(&self, step: StepId) -> Option<String> {
        self.run.step(step).map(|step| step.drv.to_string())
    }

    /// What Nix tells after each change.
    fn progress(&mut self) {
        let Some([all, builds, copies]) = self.whole else {
            return;
        };
        let (a, b) = (self.run.builds, self.run.fetches);
        let (done, total) = (a.done + b.done, a.total + b.total);
        let (running, failed) = (a.running + b.running, a.failed + b.failed);
        let expected = self.expected;
        self.result(
            builds,
            result::PROGRESS,
            &json!([done, total, running, failed]),
        );
        self.result(copies, result::PROGRESS, &json!([0, 0, 0, 0]));
        self.result(
            all,
            result::SET_EXPECTED,
            &json!([activity::FILE_TRANSFER, expected]),
        );
        self.result(all, result::SET_EXPECTED, &json!([activity::COPY_PATH, 0]));
    }

    fn say(&mut self, level: Level, text: &str) {
        let line = Self::message(!self.prefix.is_empty(), level, text);
        self.lines.push(line);
    }

    fn start(&mut self, level: Level, kind: u32, text: &str, fields: Value, parent: u64) -> u64 {
        let id = self.next;
        self.next += 1;
        let level = level as u8;
        let mut line = json!({ "action": "start" });
        if fields.as_array().is_some_and(|fields| !fields.is_empty()) {
            line["fields"] = fields;
        }
        for (key, value) in [
            ("id", json!(id)),
            ("level", json!(level)),
            ("parent", json!(parent)),
            ("text", json!(text)),
            ("type", json!(kind)),
        ] {
            line[key] = value;
        }
        self.put(&line);
        id
    }

    fn stop(&mut self, id: u64) {
        self.put(&json!({ "action": "stop", "id": id }));
    }

    fn result_of(&mut self, step: StepId, kind: u32, text: &str) {
        if let Some(&id) = self.steps.get(&step) {
            self.result(id, kind, &json!([text]));
        }
    }

    fn result(&mut self, id: u64, kind: u32, fields: &Value) {
        self.put(&json!({ "action": "result", "fields": fields, "id": id, "type": kind }));
    }

    fn put(&mut self, line: &Value) {
        self.lines.push(format!("{}{line}", self.prefix));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script;

    #[test]
    fn as_nix_prints_it() {
        let mut lines = InternalJson::new(7, true);
        let mut printed = String::new();
        for (at, event) in script::run() {
            for line in lines.lines(at, &event) {
                printed += &line;
                printed.push('\n');
            }
        }
        insta::assert_snapshot!(printed);
    }

    #[test]
    fn without_the_prefix() {
        assert_eq!(
            InternalJson::message(false, Level::Warning, "a\n\"b\""),
            r#"{"action":"msg","level":1,"msg":"a\n\"b\""}"#
        );
        let mut lines = InternalJson::new(1, false);
        let (at, event) = &script::run()[1];
        assert_eq!(
            lines.lines(*at, event),
            [r#"{"action":"msg","level":1,"msg":"warning: Git tree '/src' is dirty"}"#]
        );
    }
}
