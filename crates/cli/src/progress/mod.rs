//! What the user sees of a run, in the form that was chosen with `--log-format`. Everything goes to stderr.

mod display;

use std::io::IsTerminal as _;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use xbuild_report::terminal::{Colours, printable};
use xbuild_report::{Choice, Event, InternalJson, Level, Observer, Plain, Stamped};

use crate::args::{LogFormat, Talk};
use crate::screen;
use display::Display;

/// How the program talks. Chosen once, by the options.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    form: Form,
    level: Level,
    logs: bool,
    colours: Colours,
    begun: Instant,
}

/// The form of what is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Lines,
    Display,
    Json,
    InternalJson,
}

static MANNER: OnceLock<Manner> = OnceLock::new();

impl Manner {
    /// Chooses; the first choice counts.
    pub(crate) fn choose(options: &Talk) {
        let is_terminal = std::io::stderr().is_terminal();
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let level = match i32::from(options.verbose) - i32::from(options.quiet) {
            ..=-3 => Level::Error,
            -2 => Level::Warning,
            -1 => Level::Notice,
            0 => Level::Info,
            1.. => Level::Talkative,
        };
        let is_capable = is_terminal && variable("TERM").is_none_or(|term| term != "dumb");
        let display = if is_capable && level >= Level::Info {
            Form::Display
        } else {
            Form::Lines
        };
        let form = match options.log_format {
            None | Some(LogFormat::Bar | LogFormat::BarWithLogs) => display,
            Some(LogFormat::Raw | LogFormat::RawWithLogs) => Form::Lines,
            Some(LogFormat::Json) => Form::Json,
            Some(LogFormat::InternalJson) => Form::InternalJson,
        };
        let with_logs = matches!(
            options.log_format,
            Some(LogFormat::BarWithLogs | LogFormat::RawWithLogs)
        );
        let colours = if is_terminal && variable("NO_COLOR").is_none() {
            Colours::Keep
        } else {
            Colours::Drop
        };
        let _ = MANNER.set(Self {
            form,
            level,
            logs: options.print_build_logs || with_logs,
            colours,
            begun: Instant::now(),
        });
    }

    /// What was chosen; before that, plain lines.
    fn chosen() -> Self {
        MANNER.get().copied().unwrap_or(Self {
            form: Form::Lines,
            level: Level::Info,
            logs: false,
            colours: Colours::Drop,
            begun: Instant::now(),
        })
    }

    /// When the program began, as far as the stream of events is concerned.
    pub(crate) fn begun() -> Instant {
        Self::chosen().begun
    }

    /// Who shows a run.
    pub(crate) fn observer() -> Box<dyn Observer> {
        let manner = Self::chosen();
        let choice = Choice {
            level: manner.level,
            logs: manner.logs,
            display: manner.form == Form::Display,
            colours: manner.colours,
        };
        match manner.form {
            Form::Lines => Box::new(Lines(Mutex::new(Plain::new(choice)))),
            Form::Display => Box::new(Display::new(choice, manner.begun)),
            Form::Json => Box::new(Json),
            Form::InternalJson => {
                let lines = InternalJson::new(std::process::id(), true);
                Box::new(NixLines(Mutex::new(lines)))
            }
        }
    }
}

/// Says something that is no part of a run, in the chosen form. Colours that it may have go where they are not wanted, as with Nix.
pub(crate) fn say(level: Level, text: &[u8]) {
    let manner = Manner::chosen();
    if level > manner.level {
        return;
    }
    let lossy = || String::from_utf8_lossy(text);
    match manner.form {
        Form::Json => {
            let stamped = Stamped {
                at: manner.begun.elapsed(),
                event: Event::Message {
                    level,
                    text: lossy().into_owned(),
                },
            };
            screen::print(format!("{}\n", stamped.to_json()).as_bytes());
        }
        Form::InternalJson => {
            let line = InternalJson::message(true, level, &lossy());
            screen::print(format!("{line}\n").as_bytes());
        }
        Form::Lines | Form::Display => {
            let mut printed = Vec::new();
            for line in text.split(|&byte| byte == b'\n') {
                if line.contains(&0x1b) {
                    printed.extend(printable(line, manner.colours));
                } else {
                    printed.extend_from_slice(line);
                }
                printed.push(b'\n');
            }
            screen::print(&printed);
        }
    }
}

fn print(lines: &[Vec<u8>]) {
    if !lines.is_empty() {
        let mut text = lines.join(&b'\n');
        text.push(b'\n');
        screen::print(&text);
    }
}

/// Plain lines.
struct Lines(Mutex<Plain>);

impl Observer for Lines {
    fn event(&self, at: Duration, event: &Event<'_>) {
        let mut plain = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        print(&plain.lines(at, event));
    }
}

/// Each event as a line of JSON.
struct Json;

impl Observer for Json {
    fn event(&self, at: Duration, event: &Event<'_>) {
        let event = event.clone();
        screen::print(format!("{}\n", Stamped { at, event }.to_json()).as_bytes());
    }
}

/// Lines as Nix's programs print them for programs.
struct NixLines(Mutex<InternalJson>);

impl Observer for NixLines {
    fn event(&self, at: Duration, event: &Event<'_>) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = lines.lines(at, event);
        print(
            &lines
                .into_iter()
                .map(String::into_bytes)
                .collect::<Vec<_>>(),
        );
    }
}
