//! How the program talks.

use std::ffi::OsString;

use clap::{Args, ValueEnum};

/// Options of every command for what it says on stderr.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Talk {
    /// How messages and the progress of builds are shown; default: bar on a terminal, raw elsewhere
    #[arg(long, global = true, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
    /// Print build logs as they come
    #[arg(short = 'L', long, global = true)]
    pub(crate) print_build_logs: bool,
    /// Say more
    #[arg(short = 'v', long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say less: no progress; twice, only warnings and errors; three times, only errors
    #[arg(short = 'q', long, global = true, action = clap::ArgAction::Count)]
    pub(crate) quiet: u8,
}

impl Talk {
    /// Adds these options to the arguments of another process.
    pub(super) fn write_to(&self, arguments: &mut Vec<OsString>) {
        let format = self
            .log_format
            .and_then(|format| format.to_possible_value());
        if let Some(format) = format {
            arguments.push("--log-format".into());
            arguments.push(format.get_name().into());
        }
        if self.print_build_logs {
            arguments.push("--print-build-logs".into());
        }
        arguments.extend((0..self.verbose).map(|_| "--verbose".into()));
        arguments.extend((0..self.quiet).map(|_| "--quiet".into()));
    }
}

/// The forms of messages, by Nix's names; `json` is xbuild's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines
    Raw,
    /// Lines, and those of build logs
    RawWithLogs,
    /// Lines `@nix {…}` as Nix prints them for programs such as nix-output-monitor
    InternalJson,
    /// A line of JSON for each event
    Json,
    /// On a terminal, a display of what runs
    Bar,
    /// The same, with the lines of build logs above it
    BarWithLogs,
}
