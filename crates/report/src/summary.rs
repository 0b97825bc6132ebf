//! A run in JSON, for programs: `xbuild report --json`. The form is described in `docs/formats.md`.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::event::StepId;
use crate::figures::Figures;
use crate::run::{Attempt, Run, Step, StepState};

/// The run with its figures and all its steps.
#[must_use]
pub fn summary(run: &Run) -> Value {
    let figures = Figures::of(run);
    let critical: HashSet<StepId> = figures.critical.iter().copied().collect();
    let slots: Vec<Value> = figures
        .slots
        .iter()
        .map(|used| {
            json!({
                "pool": used.slot.pool, "index": used.slot.index, "steps": used.steps,
                "busy": micros(used.busy), "idle": micros(figures.wall.saturating_sub(used.busy)),
            })
        })
        .collect();
    let present: Vec<String> = run.present.iter().map(ToString::to_string).collect();
    let steps = run.steps.iter();
    let steps: Vec<Value> = steps
        .map(|s| step(s, run.last, critical.contains(&s.id)))
        .collect();
    let mut object = with_totals(run, &figures);
    object["criticalPath"] = json!(figures.critical);
    object["slots"] = json!(slots);
    object["present"] = json!(present);
    object["steps"] = json!(steps);
    object
}

/// The run in sum, without its steps.
#[must_use]
pub fn head(run: &Run) -> Value {
    with_totals(run, &Figures::of(run))
}

fn with_totals(run: &Run, figures: &Figures) -> Value {
    json!({
        "version": run.version,
        "unixMs": run.unix_ms,
        "command": run.command,
        "jobs": run.jobs,
        "cores": run.cores,
        "outcome": run.outcome,
        "totals": {
            "wall": micros(figures.wall),
            "before": micros(figures.before),
            "work": micros(figures.work),
            "cpu": micros(figures.cpu),
            "parallelism": (figures.parallelism * 1000.0).round() / 1000.0,
            "criticalPath": micros(figures.critical_length),
            "peakMemory": figures.peak_memory,
            "downloaded": figures.downloaded,
            "built": figures.built,
            "fetched": figures.fetched,
            "present": run.present.len(),
            "madeElsewhere": figures.made_elsewhere,
            "failed": figures.failed,
            "notRun": figures.not_run,
        },
    })
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A step; what is not known of it is left out. `last` is the end of the recording.
fn step(step: &Step, last: Duration, critical: bool) -> Value {
    let mut object = json!({
        "step": step.id,
        "name": step.name(),
        "drvPath": step.drv.to_string(),
        "kind": step.kind,
        "state": state(step.state),
        "after": step.after,
        "critical": critical,
    });
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            object[key] = value;
        }
    };
    put("slot", step.slot.map(|slot| json!(slot)));
    let time = |at: Option<Duration>| at.map(|at| json!(micros(at)));
    put("started", time(step.started));
    put("builderEnded", time(step.built));
    put("ended", time(step.ended));
    put("duration", time(step.duration(last)));
    put("expected", time(step.expected));
    let waited = step.waiting.map(|since| {
        let until = step.started.or(step.ended).unwrap_or(last);
        json!(micros(until.saturating_sub(since)))
    });
    put("waited", waited);
    put("user", step.usage.map(|usage| json!(micros(usage.user))));
    put(
        "system",
        step.usage.map(|usage| json!(micros(usage.system))),
    );
    let memory = step.usage.and_then(|usage| usage.peak_memory);
    put("peakMemory", memory.map(|memory| json!(memory)));
    let download = step.download.as_ref();
    put("url", download.map(|download| json!(download.url)));
    put("bytes", download.map(|download| json!(download.bytes)));
    let phases = || {
        let phase = |(at, name): &(Duration, String)| json!({ "at": micros(*at), "phase": name });
        json!(step.phases.iter().map(phase).collect::<Vec<_>>())
    };
    put("phases", (!step.phases.is_empty()).then(phases));
    put("reason", step.reason.as_ref().map(|reason| json!(reason)));
    put("because", step.because.map(|because| json!(because)));
    let attempts = || {
        let attempt = |attempt: &Attempt| {
            json!({
                "slot": attempt.slot, "started": micros(attempt.started), "ended": micros(attempt.ended),
                "message": attempt.message,
            })
        };
        json!(step.attempts.iter().map(attempt).collect::<Vec<_>>())
    };
    put("attempts", (!step.attempts.is_empty()).then(attempts));
    object
}

fn state(state: StepState) -> &'static str {
    match state {
        StepState::Waiting => "waiting",
        StepState::Running => "running",
        StepState::Made => "made",
        StepState::Present => "present",
        StepState::Failed => "failed",
        StepState::Stopped => "stopped",
        StepState::Skipped => "skipped",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script;

    #[test]
    fn a_run() {
        let text = serde_json::to_string_pretty(&summary(&script::recorded())).unwrap();
        insta::assert_snapshot!(text);
    }
}
