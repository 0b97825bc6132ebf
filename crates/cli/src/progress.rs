//! What the user sees of a run: a status line on a terminal, plain lines elsewhere. Everything goes to stderr.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use xbuild_realise::terminal::{Colours, printable};
use xbuild_realise::{Event, Observer, StepKind};
use xbuild_store_model::StorePath;

/// An [`Observer`] that prints.
pub(crate) struct Printer {
    state: Mutex<State>,
    /// The status line, on a terminal.
    bar: Option<ProgressBar>,
    logs: bool,
    /// Of build logs: they stay on a terminal.
    colours: Colours,
}

#[derive(Default)]
struct State {
    builds: usize,
    fetches: usize,
    built: usize,
    fetched: usize,
    running: Vec<Running>,
}

struct Running {
    drv: StorePath,
    name: String,
    kind: StepKind,
    since: Instant,
    bytes: u64,
    total: Option<u64>,
    last_line: String,
}

impl Printer {
    /// A printer for stderr; `logs` asks for the lines of build logs (`-L`).
    pub(crate) fn new(logs: bool) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(
                ProgressStyle::with_template("{spinner} {wide_msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        let colours = if bar.is_some() {
            Colours::Keep
        } else {
            Colours::Drop
        };
        Self {
            state: Mutex::default(),
            bar,
            logs,
            colours,
        }
    }

    /// Removes the status line.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self, text: &[u8]) {
        let print = || {
            let mut line = text.to_vec();
            line.push(b'\n');
            // A closed stderr is no reason to stop a build.
            let _ = std::io::stderr().lock().write_all(&line);
        };
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refresh(&self, state: &State) {
        if let Some(bar) = &self.bar {
            bar.set_message(state.status());
        }
    }
}

/// `hello-2.10` of `/nix/store/…-hello-2.10.drv`.
fn short(drv: &StorePath) -> String {
    drv.derivation_name().unwrap_or(drv.name()).to_owned()
}

/// Bytes for people, in binary units.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    #[expect(clippy::cast_precision_loss, reason = "a size for people")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

impl State {
    fn status(&self) -> String {
        let mut text = String::new();
        if self.builds > 0 {
            text += &format!("{}/{} built", self.built, self.builds);
        }
        if self.fetches > 0 {
            text += &format!(
                "{}{}/{} fetched",
                if text.is_empty() { "" } else { ", " },
                self.fetched,
                self.fetches
            );
        }
        for (index, running) in self.running.iter().rev().take(4).enumerate() {
            text += if index == 0 { ": " } else { ", " };
            text += &running.name;
            if running.kind == StepKind::Fetch {
                match running.total {
                    Some(total) if total > 0 => {
                        text += &format!(" {}%", running.bytes.min(total) * 100 / total);
                    }
                    _ if running.bytes > 0 => text += &format!(" {}", size(running.bytes)),
                    _ => {}
                }
            } else {
                let seconds = running.since.elapsed().as_secs();
                if seconds >= 2 {
                    text += &format!(" {seconds}s");
                }
            }
        }
        if let [only] = self.running.as_slice()
            && !only.last_line.is_empty()
        {
            text += &format!(" > {}", only.last_line);
        }
        text
    }
}

impl Observer for Printer {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Planned { builds, fetches } => {
                let mut state = self.state();
                state.builds = state.built + builds;
                state.fetches = state.fetched + fetches;
                self.refresh(&state);
            }
            Event::Started { drv, kind } => {
                if self.bar.is_none() {
                    let verb = match kind {
                        StepKind::Build => "building",
                        StepKind::Fetch => "fetching",
                        StepKind::Rebuild => "building again",
                    };
                    self.line(format!("{verb} {drv}").as_bytes());
                }
                let mut state = self.state();
                state.running.push(Running {
                    drv: drv.clone(),
                    name: short(drv),
                    kind,
                    since: Instant::now(),
                    bytes: 0,
                    total: None,
                    last_line: String::new(),
                });
                self.refresh(&state);
            }
            Event::Waiting { drv } => {
                self.line(format!("waiting for another process to build {drv}").as_bytes());
            }
            Event::LogLine { drv, line } => {
                if self.logs {
                    let line = printable(line, self.colours);
                    self.line(&[short(drv).as_bytes(), b"> ", &line].concat());
                } else if self.bar.is_some() {
                    let mut state = self.state();
                    if let Some(running) =
                        state.running.iter_mut().find(|running| running.drv == *drv)
                    {
                        let line = printable(line, Colours::Drop);
                        running.last_line =
                            String::from_utf8_lossy(&line).chars().take(200).collect();
                    }
                    self.refresh(&state);
                }
            }
            Event::Downloaded { drv, bytes, total } => {
                let mut state = self.state();
                if let Some(running) = state.running.iter_mut().find(|running| running.drv == *drv)
                {
                    (running.bytes, running.total) = (bytes, total);
                }
                self.refresh(&state);
            }
            Event::Finished { drv, kind, wall } => {
                let mut state = self.state();
                state.running.retain(|running| running.drv != *drv);
                match kind {
                    StepKind::Fetch => state.fetched += 1,
                    StepKind::Build | StepKind::Rebuild => state.built += 1,
                }
                self.refresh(&state);
                drop(state);
                if kind != StepKind::Fetch && wall >= Duration::from_secs(1) {
                    self.line(
                        format!("built {} in {:.1} s", short(drv), wall.as_secs_f64()).as_bytes(),
                    );
                }
            }
            Event::AlreadyBuilt { drv, kind } => {
                let mut state = self.state();
                match kind {
                    StepKind::Fetch => state.fetched += 1,
                    StepKind::Build | StepKind::Rebuild => state.built += 1,
                }
                self.refresh(&state);
                drop(state);
                if self.bar.is_none() {
                    self.line(format!("already built {drv}").as_bytes());
                }
            }
            Event::Failed { drv, message } => {
                self.state().running.retain(|running| running.drv != *drv);
                self.line(format!("error: {message}").as_bytes());
            }
            Event::Retried { drv, message } => {
                self.state().running.retain(|running| running.drv != *drv);
                self.line(format!("warning: {message}").as_bytes());
            }
            Event::Warning { message } => self.line(format!("warning: {message}").as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(3 << 30), "3.0 GiB");
    }
}
