//! A run in a page of text: what `xbuild report` prints.

use std::fmt::Write as _;
use std::time::Duration;

use crate::event::{Outcome, Pool, StepId, StepKind};
use crate::figures::Figures;
use crate::run::{Run, Step, StepState};
use crate::words;

/// How many of the slowest steps are listed, and how many steps of the critical path.
const LISTED: usize = 10;

/// Names that are longer are not brought into line.
const NAME_WIDTH: usize = 60;

/// The report on `run`, which is recorded as `name`.
#[must_use]
pub fn text(run: &Run, name: &str) -> String {
    let figures = Figures::of(run);
    let mut text = format!("run {name}: {}\n", run.command.join(" "));
    let _ = writeln!(
        text,
        "{} UTC, {} in {}\n",
        words::moment(run.unix_ms),
        outcome(run),
        words::duration(figures.wall)
    );
    totals(run, &figures, &mut text);
    failures(run, &mut text);
    slowest(run, &mut text);
    critical(run, &figures, &mut text);
    slots(&figures, &mut text);
    text
}

/// How it ended, in a word.
pub(crate) fn outcome(run: &Run) -> &'static str {
    match run.outcome {
        Some(Outcome::Success) => "succeeded",
        Some(Outcome::Failure) => "failed",
        Some(Outcome::Interrupted) => "interrupted",
        None => "not ended (it runs, or was killed)",
    }
}

/// A line for `xbuild report --list`.
#[must_use]
pub fn line(run: &Run, name: &str) -> String {
    let figures = Figures::of(run);
    let outcome = match run.outcome {
        Some(Outcome::Success) => "succeeded",
        Some(Outcome::Failure) => "failed",
        Some(Outcome::Interrupted) => "interrupted",
        None => "not ended",
    };
    format!(
        "{name:<24} {outcome:<11} {:>10} {:>5} built {:>5} fetched  {}",
        words::duration(figures.wall),
        figures.built,
        figures.fetched,
        run.command.join(" ")
    )
}

fn totals(run: &Run, figures: &Figures, text: &mut String) {
    let mut parts = vec![words::count(figures.built, "build", "builds")];
    if figures.fetched > 0 {
        parts.push(format!(
            "{} ({})",
            words::count(figures.fetched, "download", "downloads"),
            words::size(figures.downloaded)
        ));
    }
    if figures.failed > 0 {
        parts.push(format!("{} failed", figures.failed));
    }
    if figures.not_run > 0 {
        parts.push(format!("{} not run", figures.not_run));
    }
    let hits = run.present.len() + figures.made_elsewhere;
    if hits > 0 {
        parts.push(format!("{hits} already there"));
    }
    let mut row = |label: &str, value: String| {
        let _ = writeln!(text, "{label:<14} {value}");
    };
    row("steps", parts.join(", "));
    row(
        "parallelism",
        format!(
            "{:.2} builds at a time, of {}",
            figures.parallelism,
            run.jobs.max(1)
        ),
    );
    row(
        "critical path",
        format!(
            "{}, {} of the time",
            words::duration(figures.critical_length),
            percent(figures.critical_length, figures.wall)
        ),
    );
    if !figures.cpu.is_zero() {
        row("processor time", words::duration(figures.cpu));
    }
    if let Some(memory) = figures.peak_memory {
        row(
            "largest build",
            format!("{} of memory", words::size(memory)),
        );
    }
    if !figures.before.is_zero() {
        row(
            "before",
            format!("{} (evaluation)", words::duration(figures.before)),
        );
    }
}

fn failures(run: &Run, text: &mut String) {
    let failed: Vec<&Step> = run
        .steps
        .iter()
        .filter(|step| step.state == StepState::Failed)
        .collect();
    if failed.is_empty() {
        return;
    }
    text.push_str("\nfailed\n");
    for step in failed {
        let reason = step.reason.as_deref().unwrap_or("no reason is recorded");
        let _ = writeln!(text, "  {}: {reason}", step.name());
    }
}

/// The steps that ran, the slowest first.
pub(crate) fn by_duration(run: &Run) -> Vec<(&Step, Duration)> {
    let mut steps: Vec<(&Step, Duration)> = run
        .steps
        .iter()
        .filter_map(|step| Some((step, step.duration(run.last)?)))
        .collect();
    steps.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.id.cmp(&b.0.id)));
    steps
}

fn slowest(run: &Run, text: &mut String) {
    let steps = by_duration(run);
    if steps.is_empty() {
        return;
    }
    let rest = steps.len().saturating_sub(LISTED);
    text.push_str("\nslowest\n");
    let names = steps
        .iter()
        .take(LISTED)
        .map(|(step, _)| step.name().chars().count());
    let width = names.max().unwrap_or(0).min(NAME_WIDTH);
    for (step, took) in steps.iter().take(LISTED) {
        let _ = writeln!(text, "{}", row(step, *took, width));
    }
    if rest > 0 {
        let _ = writeln!(text, "  … and {rest} more");
    }
}

fn row(step: &Step, took: Duration, width: usize) -> String {
    let mut notes = Vec::new();
    if step.kind == StepKind::Fetch {
        let bytes = step.download.as_ref().map_or(0, |download| download.bytes);
        notes.push(format!("download, {}", words::size(bytes)));
    }
    if let Some(memory) = step.usage.and_then(|usage| usage.peak_memory) {
        notes.push(words::size(memory));
    }
    if let Some(expected) = step.expected {
        notes.push(format!("earlier {}", words::duration(expected)));
    }
    if !step.attempts.is_empty() {
        notes.push("tried again".to_owned());
    }
    if !matches!(step.state, StepState::Made) {
        notes.push(step.state.name().to_owned());
    }
    let line = format!(
        "  {:>10}  {:<width$}  {}",
        words::duration(took),
        step.name(),
        notes.join(", ")
    );
    line.trim_end().to_owned()
}

fn critical(run: &Run, figures: &Figures, text: &mut String) {
    if figures.critical.len() < 2 {
        return;
    }
    text.push_str("\ncritical path, in the order of its steps\n");
    // The longest ones matter; the others are counted.
    let mut listed: Vec<StepId> = figures.critical.clone();
    let took = |id: &StepId| {
        let step = run.step(*id);
        step.map_or(Duration::ZERO, |step| step.occupied(run.last))
    };
    listed.sort_by_key(|id| std::cmp::Reverse(took(id)));
    listed.truncate(LISTED);
    for id in figures.critical.iter().filter(|id| listed.contains(id)) {
        let _ = writeln!(
            text,
            "  {:>10}  {}",
            words::duration(took(id)),
            run.name(*id)
        );
    }
    let rest = figures.critical.len() - listed.len();
    if rest > 0 {
        let _ = writeln!(text, "  … and {rest} shorter ones");
    }
}

fn slots(figures: &Figures, text: &mut String) {
    if figures.slots.is_empty() {
        return;
    }
    text.push_str("\nslots\n");
    for used in &figures.slots {
        let name = format!("{} {}", used.slot.pool.name(), used.slot.index + 1);
        let steps = words::count(used.steps, "step", "steps");
        let idle = figures.wall.saturating_sub(used.busy);
        let mut line = format!(
            "  {name:<12} {steps:>10}  busy {:>4}",
            percent(used.busy, figures.wall)
        );
        // A download costs no processor: that nothing is fetched is no loss.
        if used.slot.pool == Pool::Build {
            let _ = write!(line, ", idle for {}", words::duration(idle));
        }
        let _ = writeln!(text, "{line}");
    }
    if figures.unused > 0 {
        let slots = words::count(figures.unused, "build slot was", "build slots were");
        let _ = writeln!(text, "  {slots} never used");
    }
}

/// A part in percent, for people.
pub(crate) fn percent(part: Duration, whole: Duration) -> String {
    if whole.is_zero() {
        return "0%".to_owned();
    }
    format!("{:.0}%", part.as_secs_f64() / whole.as_secs_f64() * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script;

    #[test]
    fn a_run() {
        let run = script::recorded();
        insta::assert_snapshot!(text(&run, "20261127-224510-7"));
        insta::assert_snapshot!(line(&run, "20261127-224510-7"));
    }

    #[test]
    fn nothing() {
        let run = Run::default();
        assert!(text(&run, "x").contains("not ended"));
    }
}
