//! The command line.

mod bench;
mod building;
mod doctor;
mod evaluating;
mod flake;
mod machine;
mod sources;
mod store;
mod talk;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use bench::{Bench, BenchScheduler, Executor};
pub(crate) use building::{Check, Log, Realise, Report, Targets};
pub(crate) use doctor::Doctor;
pub(crate) use evaluating::{Eval, EvalJobs, Form, Instantiate, Repl};
pub(crate) use flake::Flake;
pub(crate) use machine::{Boot, Guest, Test};
pub(crate) use sources::{Inputs, LockArgs, Source};
pub(crate) use store::{Derivation, Du, Gc, Ls, PathInfo, StoreCommand, WhyDepends};
pub(crate) use talk::{LogFormat, Talk};

/// Evaluates Nix expressions, cross-builds for AArch64 in rootless sandboxes, and proves that the outputs are genuine.
#[derive(Debug, Parser)]
#[command(
    name = "xbuild",
    version,
    disable_help_subcommand = true,
    max_term_width = 100
)]
#[command(
    after_help = "Exit codes: 0 success; 1 error; 2 wrong usage; 130 interrupted. When a build fails: 96, plus 4 \
    for a failed builder or download, 1 for a timeout, 2 for a wrong hash, 8 for an output that differs when built \
    again (--rebuild), 16 for an output that is not genuine AArch64: mostly 100. `xbuild test`: 3 when a check \
    failed, 4 when the machine did not come up or go down.\n\nEvery setting of nix.conf is an option, too: --max-call-depth N, \
    --pure-eval, --no-pure-eval."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// The directory that holds the store (DIR/nix/store, DIR/nix/var); default: xbuild/store in your data directory
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "XBUILD_STORE",
        help_heading = "Global options"
    )]
    pub(crate) store: Option<PathBuf>,
    /// Set a setting of nix.conf for this run
    #[arg(long, global = true, num_args = 2, allow_hyphen_values = true, value_names = ["KEY", "VALUE"], action = clap::ArgAction::Append, help_heading = "Global options")]
    pub(crate) option: Vec<String>,
    /// There is none
    #[arg(long, global = true, hide = true)]
    pub(crate) debugger: bool,
    /// Show all frames of an evaluation error
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) show_trace: bool,
    /// Whether an evaluation writes nothing into the store: [`Mode::read_only`].
    #[arg(skip)]
    pub(crate) read_only: bool,
    /// Whether store paths that an expression names need not be there.
    #[arg(skip)]
    pub(crate) trust_store_paths: bool,
    #[command(flatten)]
    pub(crate) talk: Talk,
}

impl Common {
    /// The settings and the way to talk, for another process of this program. The store is not among them.
    pub(crate) fn for_another_command(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        for pair in self.option.chunks(2) {
            arguments.push("--option".into());
            arguments.extend(pair.iter().map(OsString::from));
        }
        if self.show_trace {
            arguments.push("--show-trace".into());
        }
        self.talk.write_to(&mut arguments);
        arguments
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build installables and print the store paths of their outputs
    #[command(visible_alias = "build")]
    Realise(Realise),
    /// Evaluate an expression to store derivations and print their paths
    Instantiate(Instantiate),
    /// Evaluate an expression and print its value
    Eval(Eval),
    /// Evaluate many attributes at once, and print a line of JSON for each derivation
    EvalJobs(EvalJobs),
    /// Evaluate interactively
    Repl(Repl),
    /// Look at store derivations
    #[command(subcommand)]
    Derivation(Derivation),
    /// Look at flakes, lock their inputs, check them
    #[command(subcommand)]
    Flake(Flake),
    /// Print the log of a build
    Log(Log),
    /// Report on a run: what took how long, where, and what the whole had to wait for
    Report(Report),
    /// Look after the store
    #[command(subcommand)]
    Store(StoreCommand),
    /// Print what the store knows of paths
    PathInfo(PathInfo),
    /// Check that files are genuine AArch64 for a target
    Check(Check),
    /// List the images that an expression offers, and what the store has of them
    Targets(Targets),
    /// Boot an image in QEMU, with its console in this terminal
    Boot(Boot),
    /// Boot an image in QEMU and let it check itself
    Test(Test),
    /// Check whether this machine can build, and say how to mend what is in the way
    Doctor(Doctor),
    /// Measure parts of xbuild on this machine
    #[command(subcommand)]
    Bench(Bench),
}
