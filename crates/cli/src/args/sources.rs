//! Where expressions come from: files, arguments, the search path, and how flakes are locked.

use std::path::PathBuf;

use clap::Args;

/// Where an expression comes from and what it is given.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Source {
    /// A file with an expression, instead of DIR/default.nix
    #[arg(short = 'f', long = "file", value_name = "FILE", id = "source.file")]
    pub(crate) file: Option<PathBuf>,
    /// An expression instead of a file
    #[arg(
        short = 'E',
        long = "expr",
        value_name = "E",
        allow_hyphen_values = true,
        id = "source.expr",
        conflicts_with = "source.file"
    )]
    pub(crate) expr: Option<String>,
    /// The attribute to take from it; may be given several times
    #[arg(short = 'A', long = "attr", value_name = "ATTR", action = clap::ArgAction::Append)]
    pub(crate) attributes: Vec<String>,
    /// Allow what pure evaluation of flakes forbids (`--no-pure-eval`)
    #[arg(long)]
    pub(crate) impure: bool,
    #[command(flatten)]
    pub(crate) inputs: Inputs,
}

/// Arguments and search path of an expression.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Inputs {
    /// Pass the expression E as the argument N of a top-level function
    #[arg(long, num_args = 2, allow_hyphen_values = true, value_names = ["N", "E"], action = clap::ArgAction::Append)]
    pub(crate) arg: Vec<String>,
    /// Pass the string S as the argument N of a top-level function
    #[arg(long, num_args = 2, allow_hyphen_values = true, value_names = ["N", "S"], action = clap::ArgAction::Append)]
    pub(crate) argstr: Vec<String>,
    /// Pass the contents of FILE as the argument N of a top-level function
    #[arg(long, num_args = 2, value_names = ["N", "FILE"], action = clap::ArgAction::Append)]
    pub(crate) arg_from_file: Vec<String>,
    /// Pass what standard input has as the argument N of a top-level function
    #[arg(long, value_name = "N")]
    pub(crate) arg_from_stdin: Option<String>,
    /// Add PATH or NAME=PATH to the places where <…> is looked up
    #[arg(short = 'I', long = "include", value_name = "PATH", action = clap::ArgAction::Append)]
    pub(crate) include: Vec<String>,
    #[command(flatten)]
    pub(crate) lock: LockArgs,
}

/// How flakes are locked.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Options for flakes")]
pub(crate) struct LockArgs {
    /// Use the flake FLAKE in place of an input; implies --no-write-lock-file
    #[arg(long, num_args = 2, value_names = ["INPUT", "FLAKE"], action = clap::ArgAction::Append)]
    pub(crate) override_input: Vec<String>,
    /// Let a name of a registry stand for a flake
    #[arg(long, num_args = 2, value_names = ["NAME", "FLAKE"], action = clap::ArgAction::Append)]
    pub(crate) override_flake: Vec<String>,
    /// Let the names of registries stand for the inputs of FLAKE, as it has them locked
    #[arg(long, value_name = "FLAKE", action = clap::ArgAction::Append)]
    pub(crate) inputs_from: Vec<String>,
    /// Lock an input anew
    #[arg(long, value_name = "INPUT", action = clap::ArgAction::Append)]
    pub(crate) update_input: Vec<String>,
    /// Lock all inputs anew
    #[arg(long)]
    pub(crate) recreate_lock_file: bool,
    /// Fail if the lock file would have to change
    #[arg(long)]
    pub(crate) no_update_lock_file: bool,
    /// Do not write a changed lock file
    #[arg(long)]
    pub(crate) no_write_lock_file: bool,
    /// Commit a changed lock file
    #[arg(long)]
    pub(crate) commit_lock_file: bool,
    /// Read FILE in place of the flake's lock file
    #[arg(long, value_name = "FILE")]
    pub(crate) reference_lock_file: Option<PathBuf>,
    /// Write FILE in place of the flake's lock file
    #[arg(long, value_name = "FILE")]
    pub(crate) output_lock_file: Option<PathBuf>,
    /// Ask no registry (`--no-use-registries`)
    #[arg(long)]
    pub(crate) no_registries: bool,
}
