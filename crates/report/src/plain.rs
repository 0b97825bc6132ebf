//! Lines for people: what is printed where there is no progress display, and what stays above one.

use std::time::Duration;

use crate::event::{Event, How, Level, Outcome, StepId, StepKind};
use crate::figures::Figures;
use crate::run::Run;
use crate::terminal::{Colours, printable};
use crate::words;

/// What is printed.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    /// The least important messages that are printed.
    pub level: Level,
    /// Whether lines of build logs are.
    pub logs: bool,
    /// Whether a progress display shows what runs, so that lines need not tell.
    pub display: bool,
    /// What becomes of colours in build logs.
    pub colours: Colours,
}

/// A build that takes longer is reported when it ends.
const LONG: Duration = Duration::from_secs(1);
/// A run that takes longer is summed up at its end.
const LONG_RUN: Duration = Duration::from_secs(10);

/// Turns events into lines.
#[derive(Debug)]
pub struct Plain {
    choice: Choice,
    run: Run,
}

impl Plain {
    /// For a run that begins.
    #[must_use]
    pub fn new(choice: Choice) -> Self {
        Self {
            choice,
            run: Run::default(),
        }
    }

    /// The lines for an event, without their line ends.
    pub fn lines(&mut self, at: Duration, event: &Event<'_>) -> Vec<Vec<u8>> {
        let first_new = self.run.steps.len();
        self.run.apply(at, event);
        let mut lines = Vec::new();
        let level = self.choice.level;
        let mut say = |of: Level, text: String| {
            if of <= level {
                lines.push(text.into_bytes());
            }
        };
        match event {
            Event::Planned { present, .. } => {
                if level >= Level::Talkative {
                    for line in self.plan(first_new, present.len()) {
                        say(Level::Talkative, line);
                    }
                }
            }
            Event::Waiting { step } => say(
                Level::Info,
                format!("waiting for another process to build {}", self.drv(*step)),
            ),
            Event::Started { step, .. } if !self.choice.display => {
                let verb = match self.run.step(*step).map(|step| step.kind) {
                    Some(StepKind::Fetch) => "fetching",
                    Some(StepKind::Rebuild) => "building again",
                    _ => "building",
                };
                say(Level::Info, format!("{verb} {}", self.drv(*step)));
            }
            Event::Phase { step, phase } if self.choice.logs => say(
                Level::Info,
                format!("{}> phase: {phase}", self.run.name(*step)),
            ),
            Event::LogLine { step, line } if self.choice.logs => {
                let line = printable(line, self.choice.colours);
                lines.push([self.run.name(*step).as_bytes(), b"> ", &line].concat());
            }
            Event::Done { step, how } => {
                if let Some((level, text)) = self.done(*step, *how) {
                    say(level, text);
                }
            }
            Event::Failed { message, .. } => say(Level::Error, format!("error: {message}")),
            Event::Retried { message, .. } => say(Level::Warning, format!("warning: {message}")),
            Event::Stopped { step } => say(
                Level::Talkative,
                format!("stopped {}", self.run.name(*step)),
            ),
            Event::Message { level, text } => {
                let prefix = match level {
                    Level::Error => "error: ",
                    Level::Warning => "warning: ",
                    _ => "",
                };
                say(*level, format!("{prefix}{text}"));
            }
            Event::Ended { outcome } => {
                if let Some(text) = self.summary(*outcome) {
                    say(Level::Info, text);
                }
            }
            Event::Started { .. }
            | Event::Phase { .. }
            | Event::LogLine { .. }
            | Event::Begun { .. }
            | Event::Downloaded { .. }
            | Event::Built { .. }
            | Event::Skipped { .. }
            | Event::Unknown => {}
        }
        lines
    }

    fn drv(&self, step: StepId) -> String {
        self.run
            .step(step)
            .map(|step| step.drv.to_string())
            .unwrap_or_default()
    }

    fn plan(&self, first_new: usize, present: usize) -> Vec<String> {
        let order = self.run.in_order(first_new);
        let mut lines = Vec::new();
        for (is_fetch, what) in [(false, "built"), (true, "fetched")] {
            let chosen = order
                .iter()
                .filter(|step| (step.kind == StepKind::Fetch) == is_fetch);
            match chosen.clone().count() {
                0 => continue,
                1 => lines.push(format!("this derivation will be {what}:")),
                n => lines.push(format!("these {n} derivations will be {what}:")),
            }
            lines.extend(chosen.map(|step| format!("  {}", step.drv)));
        }
        if present > 0 && !order.is_empty() {
            lines.push(format!(
                "{} valid already",
                words::count(
                    present,
                    "derivation's outputs are",
                    "derivations' outputs are"
                )
            ));
        }
        lines
    }

    fn done(&self, step: StepId, how: How) -> Option<(Level, String)> {
        let step = self.run.step(step)?;
        if how == How::Present {
            return Some((Level::Info, format!("already built {}", step.name())));
        }
        let took = step.duration(self.run.last)?;
        let mut text = match step.kind {
            StepKind::Fetch => format!("fetched {}", step.name()),
            StepKind::Build => format!("built {}", step.name()),
            StepKind::Rebuild => format!("built {} again", step.name()),
        };
        text += &format!(" in {}", words::duration(took));
        if let Some(memory) = step.usage.and_then(|usage| usage.peak_memory)
            && self.choice.level >= Level::Talkative
        {
            text += &format!(", {} of memory", words::size(memory));
        }
        if let Some(download) = &step.download {
            text += &format!(", {}", words::size(download.bytes));
        }
        let level = if step.kind != StepKind::Fetch && took >= LONG {
            Level::Info
        } else {
            Level::Talkative
        };
        Some((level, text))
    }

    /// What a long run came to.
    fn summary(&self, outcome: Outcome) -> Option<String> {
        let (begin, end) = self.run.span();
        if end - begin < LONG_RUN || outcome == Outcome::Interrupted {
            return None;
        }
        let figures = Figures::of(&self.run);
        let mut parts = Vec::new();
        if figures.built > 0 {
            parts.push(format!("{} built", figures.built));
        }
        if figures.fetched > 0 {
            parts.push(format!("{} fetched", figures.fetched));
        }
        if figures.failed > 0 {
            parts.push(format!("{} failed", figures.failed));
        }
        let mut text = format!("{} in {}", parts.join(", "), words::duration(figures.wall));
        if figures.built > 1 {
            text += &format!(", {:.1} builds at a time", figures.parallelism);
        }
        text += "; `xbuild report` tells more";
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script;

    fn printed(level: Level, logs: bool, display: bool) -> String {
        let mut plain = Plain::new(Choice {
            level,
            logs,
            display,
            colours: Colours::Drop,
        });
        let mut printed = String::new();
        for (at, event) in script::run() {
            for line in plain.lines(at, &event) {
                printed += &String::from_utf8(line).unwrap();
                printed.push('\n');
            }
        }
        printed
    }

    #[test]
    fn lines() {
        insta::assert_snapshot!(printed(Level::Info, false, false));
    }

    #[test]
    fn lines_above_a_display() {
        insta::assert_snapshot!(printed(Level::Info, false, true));
    }

    #[test]
    fn more_lines_and_logs() {
        insta::assert_snapshot!(printed(Level::Talkative, true, false));
    }

    #[test]
    fn fewer_lines() {
        assert_eq!(
            printed(Level::Warning, false, false).lines().next(),
            Some("warning: Git tree '/src' is dirty")
        );
        assert!(printed(Level::Error, false, false).starts_with("error: build of "));
    }
}
