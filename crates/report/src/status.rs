//! The progress display: a line with counts and times, and one for each step that runs, made to fit a terminal of any size.

use std::collections::HashMap;
use std::time::Duration;

use unicode_width::UnicodeWidthChar as _;

use crate::estimate;
use crate::event::{Event, StepId, StepKind};
use crate::run::{Run, Step};
use crate::terminal::{Colours, printable};
use crate::words;

/// Characters of a log line that are kept: no terminal is wider.
const LINE_LIMIT: usize = 500;
/// How old an estimate may be. It looks at every step.
const ESTIMATE_AGE: Duration = Duration::from_secs(1);
/// A step that has run for less is not worth a line of its own: it would flicker.
const SHORT: Duration = Duration::from_millis(200);
/// A terminal that is narrower gets the first line only.
const NARROW: usize = 24;

/// What the display shows.
#[derive(Debug, Default)]
pub struct Status {
    run: Run,
    last_lines: HashMap<StepId, String>,
    estimate: Option<(Duration, Option<Duration>)>,
}

/// How it is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Columns.
    pub width: usize,
    /// The lines that it may have at most.
    pub height: usize,
    /// Whether it may have colours.
    pub colours: bool,
}

impl Status {
    /// Takes in an event.
    pub fn apply(&mut self, at: Duration, event: &Event<'_>) {
        self.run.apply(at, event);
        match event {
            Event::LogLine { step, line } => {
                let line = printable(line, Colours::Drop);
                let line = String::from_utf8_lossy(&line);
                if !line.trim().is_empty() {
                    let line = line.trim_start().chars().take(LINE_LIMIT).collect();
                    self.last_lines.insert(*step, line);
                }
            }
            Event::Done { step, .. }
            | Event::Failed { step, .. }
            | Event::Retried { step, .. }
            | Event::Stopped { step } => {
                self.last_lines.remove(step);
            }
            Event::Planned { .. } => self.estimate = None,
            _ => {}
        }
    }

    /// Whether there is something to show.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.run.running.is_empty()
    }

    /// The lines at `now`. None is wider than the terminal.
    pub fn lines(&mut self, now: Duration, size: Size) -> Vec<String> {
        if self.run.steps.is_empty() || size.height == 0 {
            return Vec::new();
        }
        let paint = Paint(size.colours);
        // The last column stays free: some terminals wrap there.
        let width = size.width.saturating_sub(1);
        let mut lines = vec![self.head(now, width, paint)];
        if width < NARROW {
            return lines;
        }
        let shown: Vec<&Step> = self
            .run
            .running
            .iter()
            .filter_map(|step| self.run.step(*step))
            .filter(|step| step.duration(now).unwrap_or_default() >= SHORT)
            .collect();
        let room = size.height - 1;
        let (count, hidden) = if shown.len() <= room {
            (shown.len(), 0)
        } else {
            let count = room.saturating_sub(1);
            (count, shown.len() - count)
        };
        let longest = shown.iter().take(count).map(|step| text_width(step.name()));
        let name_width = longest.max().unwrap_or(0).min(width * 2 / 5);
        let times: Vec<String> = shown
            .iter()
            .take(count)
            .map(|step| time(step, now))
            .collect();
        let time_width = times.iter().map(String::len).max().unwrap_or(0);
        for (step, time) in shown.iter().zip(&times) {
            let name = pad(&fit(step.name(), name_width), name_width);
            let start = fit(&format!("  {name}  {time:<time_width$}"), width);
            lines.push(self.running(step, &start, name.len() + 2, width, paint));
        }
        if hidden > 0 && room > 0 {
            lines.push(fit(&format!("  … and {hidden} more"), width));
        }
        lines
    }

    fn head(&mut self, now: Duration, width: usize, paint: Paint) -> String {
        let (builds, fetches) = (self.run.builds, self.run.fetches);
        let mut parts = Vec::new();
        if builds.total > 0 {
            parts.push(format!("{}/{} built", builds.done, builds.total));
        }
        if fetches.total > 0 {
            parts.push(format!("{}/{} fetched", fetches.done, fetches.total));
        }
        let failed = builds.failed + fetches.failed;
        if failed > 0 {
            parts.push(format!("{failed} failed"));
        }
        let (begin, _) = self.run.span();
        let elapsed = if begin.is_zero() {
            Duration::ZERO
        } else {
            now.saturating_sub(begin)
        };
        if elapsed >= Duration::from_secs(1) {
            parts.push(words::seconds(elapsed));
        }
        if let Some(left) = self.remaining(now)
            && left >= Duration::from_secs(2)
        {
            parts.push(format!("about {} left", words::seconds(left)));
        }
        let mut text = format!("[{}]", parts.join(" · "));
        // What is least important goes first.
        while text_width(&text) > width && parts.len() > 1 {
            parts.pop();
            text = format!("[{}]", parts.join(" · "));
        }
        let text = fit(&text, width);
        match failed {
            0 => paint.bold(&text),
            _ => paint.red(&text),
        }
    }

    fn remaining(&mut self, now: Duration) -> Option<Duration> {
        match self.estimate {
            Some((at, left)) if now.saturating_sub(at) < ESTIMATE_AGE => left,
            _ => {
                let left = estimate::remaining(&self.run, now);
                self.estimate = Some((now, left));
                left
            }
        }
    }

    /// `  name  1m02s of 3m  phase  last line`, of which `start` is what comes before the phase; the name ends at `name_end`.
    fn running(
        &self,
        step: &Step,
        start: &str,
        name_end: usize,
        width: usize,
        paint: Paint,
    ) -> String {
        let mut rest = String::new();
        if let Some(download) = &step.download {
            rest = match download.total {
                Some(total) if total > 0 => format!(
                    "{}% of {}",
                    u128::from(download.bytes.min(total)) * 100 / u128::from(total),
                    words::size(total)
                ),
                _ => words::size(download.bytes),
            };
        }
        if step.built.is_some() {
            "checking and registering".clone_into(&mut rest);
        } else if step.kind != StepKind::Fetch {
            if let Some((_, phase)) = step.phases.last() {
                rest += phase;
            }
            if let Some(line) = self.last_lines.get(&step.id) {
                if !rest.is_empty() {
                    rest += "  ";
                }
                rest += line;
            }
        }
        let room = width.saturating_sub(text_width(start) + 2);
        let mut line = match start.split_at_checked(name_end) {
            Some((name, time)) => format!("{}{time}", paint.bold(name)),
            None => start.to_owned(),
        };
        if room >= 8 && !rest.is_empty() {
            line += "  ";
            line += &paint.faint(&fit(&rest, room));
        }
        line
    }
}

/// How long a step runs, and how long it took earlier.
fn time(step: &Step, now: Duration) -> String {
    let took = words::seconds(step.duration(now).unwrap_or_default());
    match step.expected {
        Some(expected) if expected >= Duration::from_secs(2) => {
            format!("{took} of {}", words::seconds(expected))
        }
        _ => took,
    }
}

/// Colours, where they are wanted.
#[derive(Debug, Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    fn faint(self, text: &str) -> String {
        self.with("2", text)
    }

    fn red(self, text: &str) -> String {
        self.with("1;31", text)
    }
}

/// Columns that a text takes. Tabs and other control characters are none of it.
fn text_width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// A text cut to `width` columns, with `…` for what is missing; tabs become blanks.
fn fit(text: &str, width: usize) -> String {
    let text = text.replace('\t', " ");
    if text_width(&text) <= width {
        return text;
    }
    let mut cut = String::new();
    let mut used = 0;
    for c in text.chars() {
        let next = c.width().unwrap_or(0);
        if used + next + 1 > width {
            break;
        }
        used += next;
        cut.push(c);
    }
    if width > 0 {
        cut.push('…');
    }
    cut
}

fn pad(text: &str, width: usize) -> String {
    let blanks = width.saturating_sub(text_width(text));
    format!("{text}{}", " ".repeat(blanks))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script;

    fn screen(at: u64, width: usize, height: usize) -> String {
        let at = Duration::from_millis(at);
        let mut status = Status::default();
        for (when, event) in script::run() {
            if when <= at {
                status.apply(when, &event);
            }
        }
        let size = Size {
            width,
            height,
            colours: false,
        };
        let lines = status.lines(at, size);
        for line in &lines {
            assert!(text_width(line) < width, "{line}");
        }
        assert!(lines.len() <= height);
        lines.join("\n")
    }

    #[test]
    fn a_wide_terminal() {
        insta::assert_snapshot!(screen(100, 80, 10));
        insta::assert_snapshot!(screen(2_500, 80, 10));
        insta::assert_snapshot!(screen(9_000, 80, 10));
        insta::assert_snapshot!(screen(70_000, 80, 10));
    }

    #[test]
    fn a_narrow_one_and_a_low_one() {
        insta::assert_snapshot!(screen(9_000, 44, 10));
        insta::assert_snapshot!(screen(9_000, 30, 10));
        insta::assert_snapshot!(screen(9_000, 16, 10));
        insta::assert_snapshot!(screen(9_000, 80, 2));
        for width in 0..120 {
            for height in 0..5 {
                if width > 1 {
                    screen(9_000, width, height);
                }
            }
        }
    }

    #[test]
    fn texts_are_cut_by_their_width() {
        assert_eq!(fit("abc", 3), "abc");
        assert_eq!(fit("abcd", 3), "ab…");
        assert_eq!(fit("日本語", 4), "日…");
        assert_eq!(fit("a\tb", 9), "a b");
        assert_eq!(fit("abc", 0), "");
    }
}
