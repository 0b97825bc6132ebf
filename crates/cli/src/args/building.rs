//! Commands that build, and that look at what was built.

use std::path::PathBuf;

use clap::Args;

use super::sources::Source;

#[derive(Debug, Args)]
pub(crate) struct Realise {
    /// FLAKE#attr.path, DIR#attr.path (from DIR/default.nix), a store path, or a .drv; with ^output,… for some outputs, ^* for
    /// all; `.` if none is given
    #[arg(value_name = "INSTALLABLE")]
    pub(crate) installables: Vec<String>,
    #[command(flatten)]
    pub(crate) source: Source,
    /// How many builds run at once (max-jobs)
    #[arg(short = 'j', long = "max-jobs", value_name = "N")]
    pub(crate) jobs: Option<String>,
    /// How many processors one build uses (NIX_BUILD_CORES); 0 means all
    #[arg(long, value_name = "N")]
    pub(crate) cores: Option<usize>,
    /// After a failure, build everything that does not depend on it
    #[arg(short = 'k', long)]
    pub(crate) keep_going: bool,
    /// Keep the directory of a failed build
    #[arg(short = 'K', long)]
    pub(crate) keep_failed: bool,
    /// Write a timeline of the run to FILE, for Perfetto or chrome://tracing
    #[arg(long, value_name = "FILE")]
    pub(crate) timeline: Option<PathBuf>,
    /// Build again what was asked for, and fail if anything differs
    #[arg(long, alias = "check")]
    pub(crate) rebuild: bool,
    /// Say what would be built, and build nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The name of the link to the result, which also keeps it from being collected
    #[arg(short = 'o', long, value_name = "NAME", default_value = "result")]
    pub(crate) out_link: PathBuf,
    /// Make no link
    #[arg(long, alias = "no-link", conflicts_with = "out_link")]
    pub(crate) no_out_link: bool,
    /// Make the output the newest generation of the profile LINK, in place of a link to the result
    #[arg(long, value_name = "LINK", conflicts_with_all = ["out_link", "dry_run"])]
    pub(crate) profile: Option<PathBuf>,
    /// Also check everything that the outputs need, and make again what is damaged
    #[arg(long, conflicts_with_all = ["rebuild", "dry_run"])]
    pub(crate) repair: bool,
    /// Print derivations and outputs as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the paths of the outputs, which is what is done anyway (as `nix build` has it)
    #[arg(long, hide = true, conflicts_with = "json")]
    pub(crate) print_out_paths: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Log {
    /// A .drv, an output, or what else `realise` takes
    #[arg(value_name = "PATH")]
    pub(crate) path: String,
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// The run: its name, the beginning of it, or a recording's file; default: the last one
    #[arg(value_name = "RUN", conflicts_with = "list")]
    pub(crate) run: Option<String>,
    /// List the runs that are recorded in this store
    #[arg(long)]
    pub(crate) list: bool,
    /// Write a page for a browser to FILE; `-` is standard output
    #[arg(long, value_name = "FILE", conflicts_with = "list")]
    pub(crate) html: Option<PathBuf>,
    /// Write a timeline to FILE, for Perfetto or chrome://tracing; `-` is standard output
    #[arg(long, value_name = "FILE", conflicts_with = "list")]
    pub(crate) timeline: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Store paths or links to them
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<String>,
    /// The target to check for; without it, what the derivation says, else any AArch64
    #[arg(long, value_name = "NAME")]
    pub(crate) target: Option<String>,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Targets {
    /// A directory with a default.nix that has an attribute `targets`, or a file
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) directory: PathBuf,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
