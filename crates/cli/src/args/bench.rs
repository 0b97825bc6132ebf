//! Commands that measure.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// How fast steps are scheduled, or built
    Scheduler(BenchScheduler),
}

#[derive(Debug, Args)]
pub(crate) struct BenchScheduler {
    /// fan (all independent), chain, layered, random; or a file that `realise --dry-run --json` has printed
    #[arg(long, value_name = "SHAPE", default_value = "layered")]
    pub(crate) shape: String,
    /// How many steps a shape has
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) nodes: u32,
    /// null: steps that take no time; sandbox: derivations that write a line, in a new store
    #[arg(long, value_enum, default_value_t = Executor::Null)]
    pub(crate) executor: Executor,
    /// With --executor sandbox: the program that builds, a static shell; default: the busybox in PATH
    #[arg(long, value_name = "FILE")]
    pub(crate) builder: Option<PathBuf>,
    /// How many builds run at once
    #[arg(short = 'j', long = "max-jobs", value_name = "N", default_value = "2")]
    pub(crate) jobs: NonZeroU32,
    /// Where the numbers of layered and random graphs come from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Who runs the steps of a benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Executor {
    /// Nobody.
    Null,
    /// The sandbox.
    Sandbox,
}
