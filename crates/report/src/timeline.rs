//! A run in the trace event format of Chrome ("JSON Object Format"), which Perfetto and chrome://tracing open.
//!
//! Builds and downloads are a process each, with a thread for each slot. A step is a complete event (`X`); its phases lie inside. Flows
//! (`s`, `f`) join the steps of the critical path; counters (`C`) show how many builds run and how much memory they take.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::event::{Pool, StepId, StepKind};
use crate::figures::Figures;
use crate::run::{Run, Step, StepState};
use crate::words;

/// The trace as JSON.
#[must_use]
pub fn timeline(run: &Run) -> String {
    let figures = Figures::of(run);
    let critical: HashSet<StepId> = figures.critical.iter().copied().collect();
    let mut events = Vec::new();
    for pool in [Pool::Build, Pool::Fetch] {
        let name = match pool {
            Pool::Build => "builds",
            Pool::Fetch => "downloads",
        };
        events.push(meta("process_name", pool, None, &json!({ "name": name })));
        let order = json!({ "sort_index": process(pool) });
        events.push(meta("process_sort_index", pool, None, &order));
    }
    for used in &figures.slots {
        let name = format!("{} slot {}", used.slot.pool.name(), used.slot.index + 1);
        let thread = Some(used.slot.index);
        events.push(meta(
            "thread_name",
            used.slot.pool,
            thread,
            &json!({ "name": name }),
        ));
        let order = json!({ "sort_index": used.slot.index });
        events.push(meta("thread_sort_index", used.slot.pool, thread, &order));
    }
    if let Some(planned) = run.planned.filter(|planned| !planned.is_zero()) {
        events.push(json!({
            "ph": "X", "name": "before the first plan (evaluation)", "cat": "evaluation",
            "pid": EVALUATION, "tid": 0, "ts": 0, "dur": micros(planned),
        }));
        for (kind, name) in [
            ("process_name", "evaluation"),
            ("thread_name", "before the first plan"),
        ] {
            events.push(json!({
                "ph": "M", "name": kind, "pid": EVALUATION, "tid": 0, "args": { "name": name },
            }));
        }
    }
    for step in &run.steps {
        if let (Some(begin), Some(slot)) = (step.started, step.slot) {
            let end = step.ended.unwrap_or(run.last);
            let place = json!({ "pid": process(slot.pool), "tid": slot.index });
            events.push(complete(
                &place,
                step.name(),
                step.state.category(step.kind),
                begin,
                end,
                &arguments(run, step, critical.contains(&step.id)),
            ));
            parts(step, &place, end, &mut events);
        }
        for attempt in &step.attempts {
            let place = json!({ "pid": process(attempt.slot.pool), "tid": attempt.slot.index });
            let arguments = json!({ "drvPath": step.drv.to_string(), "message": attempt.message });
            let (begin, end) = (attempt.started, attempt.ended);
            events.push(complete(
                &place,
                step.name(),
                "retried",
                begin,
                end,
                &arguments,
            ));
        }
    }
    flows(run, &figures.critical, &mut events);
    counters(run, &mut events);
    let other = json!({
        "command": run.command.join(" "),
        "version": run.version,
        "begun": words::moment(run.unix_ms),
    });
    // A line for each event: one can look at it with a pager.
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    format!(
        "{{\"displayTimeUnit\":\"ms\",\"otherData\":{other},\"traceEvents\":[\n{}\n]}}\n",
        lines.join(",\n")
    )
}

impl StepState {
    fn category(self, kind: StepKind) -> &'static str {
        match (self, kind) {
            (Self::Failed, _) => "failed",
            (Self::Stopped, _) => "stopped",
            (_, StepKind::Fetch) => "download",
            (_, StepKind::Build) => "build",
            (_, StepKind::Rebuild) => "rebuild",
        }
    }
}

/// The process that has what comes before builds and downloads.
const EVALUATION: u32 = 3;

fn process(pool: Pool) -> u32 {
    match pool {
        Pool::Build => 1,
        Pool::Fetch => 2,
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn meta(name: &str, pool: Pool, thread: Option<u32>, arguments: &Value) -> Value {
    json!({ "ph": "M", "name": name, "pid": process(pool), "tid": thread.unwrap_or(0), "args": arguments })
}

fn complete(
    place: &Value,
    name: &str,
    category: &str,
    begin: Duration,
    end: Duration,
    arguments: &Value,
) -> Value {
    json!({
        "ph": "X", "name": name, "cat": category, "pid": place["pid"], "tid": place["tid"],
        "ts": micros(begin), "dur": micros(end.saturating_sub(begin)), "args": arguments,
    })
}

fn arguments(run: &Run, step: &Step, critical: bool) -> Value {
    let mut arguments = json!({
        "drvPath": step.drv.to_string(),
        "state": step.state.name(),
        "critical": critical,
    });
    if let Some(usage) = &step.usage {
        arguments["user"] = words::duration(usage.user).into();
        arguments["system"] = words::duration(usage.system).into();
        if let Some(memory) = usage.peak_memory {
            arguments["peakMemory"] = words::size(memory).into();
        }
    }
    if let Some(download) = &step.download {
        arguments["url"] = download.url.clone().into();
        arguments["bytes"] = words::size(download.bytes).into();
    }
    if let Some(reason) = &step.reason {
        arguments["reason"] = reason.clone().into();
    }
    if !step.after.is_empty() {
        let names: Vec<&str> = step.after.iter().map(|before| run.name(*before)).collect();
        arguments["after"] = names.into();
    }
    arguments
}

/// The phases of a step, and what comes after its builder.
fn parts(step: &Step, place: &Value, end: Duration, events: &mut Vec<Value>) {
    let builder_end = step.built.unwrap_or(end);
    for (index, (begin, phase)) in step.phases.iter().enumerate() {
        let next = step.phases.get(index + 1).map(|(at, _)| *at);
        let end = next.unwrap_or(builder_end);
        events.push(complete(place, phase, "phase", *begin, end, &json!({})));
    }
    if let Some(built) = step.built {
        let name = "checking and registering";
        events.push(complete(place, name, "registering", built, end, &json!({})));
    }
}

fn flows(run: &Run, critical: &[StepId], events: &mut Vec<Value>) {
    for (number, pair) in critical.windows(2).enumerate() {
        let (Some(from), Some(to)) = (run.step(pair[0]), run.step(pair[1])) else {
            continue;
        };
        let (Some(end), Some(begin)) = (from.ended, to.started) else {
            continue;
        };
        // An arrow belongs to the slice around it, and at a slice's very end there is none.
        let least = from.started.unwrap_or_default();
        let end = end.saturating_sub(Duration::from_micros(1)).max(least);
        let (Some(a), Some(b)) = (from.slot, to.slot) else {
            continue;
        };
        let flow = |phase: &str, pool, thread: u32, at| {
            json!({
                "ph": phase, "name": "critical path", "cat": "critical", "id": number,
                "pid": process(pool), "tid": thread, "ts": micros(at), "bp": "e",
            })
        };
        events.push(flow("s", a.pool, a.index, end));
        events.push(flow("f", b.pool, b.index, begin));
    }
}

/// Builds that run, and the memory that they take at most: each counts with its peak, all the time.
fn counters(run: &Run, events: &mut Vec<Value>) {
    for (at, running, memory) in load(run) {
        let counter = |name: &str, key: &str, value: u64| {
            json!({
                "ph": "C", "name": name, "cat": "load", "pid": process(Pool::Build), "tid": 0,
                "ts": micros(at), "args": { key: value },
            })
        };
        events.push(counter("running builds", "builds", running));
        if run
            .steps
            .iter()
            .any(|step| step.usage.is_some_and(|usage| usage.peak_memory.is_some()))
        {
            events.push(counter("memory (peaks)", "bytes", memory));
        }
    }
}

/// For each change: when, how many builds run from then on, and the sum of their peaks of memory.
pub(crate) fn load(run: &Run) -> Vec<(Duration, u64, u64)> {
    let mut changes: Vec<(Duration, bool, u64)> = Vec::new();
    for step in run.steps.iter().filter(|step| step.kind != StepKind::Fetch) {
        for attempt in &step.attempts {
            changes.push((attempt.started, true, 0));
            changes.push((attempt.ended, false, 0));
        }
        if let Some(begin) = step.started {
            let memory = step.usage.and_then(|usage| usage.peak_memory).unwrap_or(0);
            changes.push((begin, true, memory));
            changes.push((step.ended.unwrap_or(run.last), false, memory));
        }
    }
    changes.sort_unstable();
    let (mut running, mut memory) = (0u64, 0u64);
    let mut load: Vec<(Duration, u64, u64)> = Vec::new();
    for (at, begins, of_step) in changes {
        if begins {
            (running, memory) = (running + 1, memory.saturating_add(of_step));
        } else {
            (running, memory) = (running.saturating_sub(1), memory.saturating_sub(of_step));
        }
        match load.last_mut() {
            Some(last) if last.0 == at => (last.1, last.2) = (running, memory),
            _ => load.push((at, running, memory)),
        }
    }
    load
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script;

    #[test]
    fn a_trace() {
        let trace = timeline(&script::recorded());
        let parsed: Value = serde_json::from_str(&trace).unwrap();
        assert!(parsed["traceEvents"].as_array().unwrap().len() > 20);
        insta::assert_snapshot!(trace);
    }

    #[test]
    fn nothing() {
        let trace = timeline(&Run::default());
        let parsed: Value = serde_json::from_str(&trace).unwrap();
        assert_eq!(parsed["traceEvents"].as_array().unwrap().len(), 4);
    }
}
