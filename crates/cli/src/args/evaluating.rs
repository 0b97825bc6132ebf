//! Commands that evaluate.

use std::path::PathBuf;

use clap::Args;

use super::Common;
use super::sources::Inputs;

/// The form in which a value is printed.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Form {
    /// Evaluate everything inside of lists and sets, too
    #[arg(long)]
    pub(crate) strict: bool,
    /// Print as JSON
    #[arg(long, conflicts_with_all = ["raw", "parse", "xml"])]
    pub(crate) json: bool,
    /// Print as XML, as builtins.toXML makes it
    #[arg(long, conflicts_with_all = ["raw", "parse"])]
    pub(crate) xml: bool,
    /// With --xml: without the places of definitions
    #[arg(long)]
    pub(crate) no_location: bool,
    /// Print a string without quotes and line end
    #[arg(long, conflicts_with = "parse")]
    pub(crate) raw: bool,
    /// Only parse, and print the normalised expression
    #[arg(long, alias = "parse-only")]
    pub(crate) parse: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Instantiate {
    /// Files; default.nix if none is given; `-` reads standard input; with -E, expressions
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<String>,
    /// Take the arguments as expressions, not as files
    #[arg(short = 'E', long, overrides_with = "expr")]
    pub(crate) expr: bool,
    /// The attribute to take; may be given several times
    #[arg(short = 'A', long = "attr", value_name = "ATTR", action = clap::ArgAction::Append)]
    pub(crate) attributes: Vec<String>,
    /// Print the value, and instantiate nothing
    #[arg(long, alias = "eval-only")]
    pub(crate) eval: bool,
    #[command(flatten)]
    pub(crate) form: Form,
    /// Print where the arguments are in the search path
    #[arg(long)]
    pub(crate) find_file: bool,
    /// Make NAME a link to the derivation, which keeps it from being collected; of further ones, NAME-2 …
    #[arg(long, value_name = "NAME")]
    pub(crate) add_root: Option<PathBuf>,
    /// Accepted as in nix-instantiate: roots are always indirect
    #[arg(long, requires = "add_root")]
    pub(crate) indirect: bool,
    #[command(flatten)]
    pub(crate) mode: Mode,
    #[command(flatten)]
    pub(crate) inputs: Inputs,
}

/// Whether an evaluation may leave something in the store, and what it may look at.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Mode {
    /// Write the derivations that come up, also where only a value is printed
    #[arg(long, overrides_with = "read_only")]
    pub(crate) read_write_mode: bool,
    /// Write nothing into the store: only compute the paths
    #[arg(long, alias = "readonly-mode", alias = "dry-run")]
    pub(crate) read_only: bool,
    /// Allow what pure evaluation forbids (`--no-pure-eval`)
    #[arg(long)]
    pub(crate) impure: bool,
}

impl Mode {
    /// The common options, as this changes them.
    pub(crate) fn apply(self, common: &Common) -> Common {
        let mut common = common.clone();
        common.read_only = self.read_only;
        if self.impure {
            common
                .option
                .extend(["pure-eval".to_owned(), "false".to_owned()]);
        }
        common
    }
}

#[derive(Debug, Args)]
pub(crate) struct Eval {
    /// FILE, a directory with a default.nix, or `-` for standard input; with `#` an installable (DIR#ATTR); with -f or
    /// -E, an attribute path; if nothing is given, the current directory
    #[arg(value_name = "FILE")]
    pub(crate) what: Vec<String>,
    /// A file whose attributes are named as arguments, as in `nix eval -f`
    #[arg(
        short = 'f',
        long = "file",
        value_name = "FILE",
        id = "eval.file",
        conflicts_with = "expr"
    )]
    pub(crate) file: Option<PathBuf>,
    /// An expression instead of a file
    #[arg(short = 'E', long, value_name = "E", allow_hyphen_values = true)]
    pub(crate) expr: Option<String>,
    /// The attribute to take; may be given several times
    #[arg(short = 'A', long = "attr", value_name = "ATTR", action = clap::ArgAction::Append)]
    pub(crate) attributes: Vec<String>,
    #[command(flatten)]
    pub(crate) form: Form,
    /// Call the function F with the value, and print the result
    #[arg(long, value_name = "F", allow_hyphen_values = true)]
    pub(crate) apply: Option<String>,
    /// Write a string, or a set of strings as a directory, to PATH, which must not exist
    #[arg(long, value_name = "PATH", conflicts_with_all = ["json", "xml", "raw", "parse"])]
    pub(crate) write_to: Option<PathBuf>,
    /// With --json: several lines; the default where stdout is a terminal
    #[arg(long, overrides_with = "no_pretty")]
    pub(crate) pretty: bool,
    /// With --json: one line
    #[arg(long)]
    pub(crate) no_pretty: bool,
    #[command(flatten)]
    pub(crate) mode: Mode,
    #[command(flatten)]
    pub(crate) inputs: Inputs,
}

#[derive(Debug, Args)]
pub(crate) struct EvalJobs {
    /// FILE, a directory with a default.nix, or with `#` an installable (DIR#ATTR)
    #[arg(value_name = "FILE", required_unless_present = "expr")]
    pub(crate) what: Option<String>,
    /// An expression instead of a file
    #[arg(
        short = 'E',
        long,
        value_name = "E",
        allow_hyphen_values = true,
        conflicts_with = "what"
    )]
    pub(crate) expr: Option<String>,
    /// The attribute whose attributes are evaluated; the default is all of it
    #[arg(short = 'A', long = "attr", value_name = "ATTR")]
    pub(crate) attribute: Option<String>,
    /// FILE is a flake, with `#` and an attribute of its outputs
    #[arg(long, conflicts_with = "expr")]
    pub(crate) flake: bool,
    /// Call the function F with the whole, and evaluate the attributes of the result; with all of a flake, F gets its inputs and outputs
    #[arg(long, value_name = "F", allow_hyphen_values = true)]
    pub(crate) select: Option<String>,
    /// How many processes evaluate; the default is as many as processors
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,
    /// The memory of a process, in MiB, after which it is replaced by a fresh one
    #[arg(long, value_name = "MIB", default_value_t = 4096, value_parser = clap::value_parser!(u64).range(16..))]
    pub(crate) max_memory_size: u64,
    /// Look into every set, not only into those with recurseForDerivations = true
    #[arg(long)]
    pub(crate) force_recurse: bool,
    /// Tell the attribute meta
    #[arg(long)]
    pub(crate) meta: bool,
    /// Tell whether the outputs are in the store
    #[arg(long)]
    pub(crate) check_cache_status: bool,
    /// Keep each derivation from being collected by a link in DIR
    #[arg(long, value_name = "DIR", conflicts_with = "no_instantiate")]
    pub(crate) gc_roots_dir: Option<PathBuf>,
    /// There is no other way
    #[arg(long, hide = true)]
    pub(crate) show_input_drvs: bool,
    /// Do not write the derivations into the store
    #[arg(long)]
    pub(crate) no_instantiate: bool,
    /// Call the function F with each derivation, and tell the result as extraValue
    #[arg(long, value_name = "F", allow_hyphen_values = true)]
    pub(crate) apply: Option<String>,
    /// Allow what pure evaluation forbids (`--no-pure-eval`)
    #[arg(long)]
    pub(crate) impure: bool,
    /// This process evaluates for another one
    #[arg(long, hide = true)]
    pub(crate) worker: bool,
    #[command(flatten)]
    pub(crate) inputs: Inputs,
}

#[derive(Debug, Args)]
pub(crate) struct Repl {
    /// Files whose attributes are bound at the start; with `#` an installable (DIR#ATTR); with -f or -E, attributes of it
    #[arg(value_name = "FILE")]
    pub(crate) what: Vec<String>,
    /// A file whose attributes are bound at the start
    #[arg(short = 'f', long = "file", value_name = "FILE", id = "repl.file", action = clap::ArgAction::Append)]
    pub(crate) file: Vec<String>,
    /// An expression whose attributes are bound at the start
    #[arg(short = 'E', long, value_name = "E", allow_hyphen_values = true, action = clap::ArgAction::Append)]
    pub(crate) expr: Vec<String>,
    #[command(flatten)]
    pub(crate) mode: Mode,
    #[command(flatten)]
    pub(crate) inputs: Inputs,
}
