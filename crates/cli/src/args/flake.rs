//! `xbuild flake`.

use std::path::PathBuf;

use clap::Subcommand;

use super::sources::LockArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum Flake {
    /// Print the outputs of a flake
    Show {
        /// The flake
        #[arg(value_name = "FLAKE", default_value = ".")]
        flake: String,
        /// Print as JSON
        #[arg(long)]
        json: bool,
        /// Also show legacyPackages
        #[arg(long)]
        legacy: bool,
        /// Also show what is for other systems
        #[arg(long)]
        all_systems: bool,
        /// Allow what pure evaluation forbids
        #[arg(long)]
        impure: bool,
        #[command(flatten)]
        lock: LockArgs,
    },
    /// Copy a template into this directory; no file is overwritten
    Init {
        /// The template: FLAKE#NAME, from the flake's `templates`
        #[arg(short, long, value_name = "FLAKE", default_value = "templates")]
        template: String,
        #[command(flatten)]
        lock: LockArgs,
    },
    /// Copy a template into a new directory
    New {
        /// The directory
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// The template: FLAKE#NAME, from the flake's `templates`
        #[arg(short, long, value_name = "FLAKE", default_value = "templates")]
        template: String,
        #[command(flatten)]
        lock: LockArgs,
    },
    /// Print what is known of a flake and of its inputs
    #[command(alias = "info")]
    Metadata {
        /// The flake
        #[arg(value_name = "FLAKE", default_value = ".")]
        flake: String,
        /// Print as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        lock: LockArgs,
    },
    /// Lock the inputs that are not locked, and write the lock file
    Lock {
        /// The flake
        #[arg(value_name = "FLAKE", default_value = ".")]
        flake: String,
        #[command(flatten)]
        lock: LockArgs,
    },
    /// Lock inputs anew, all if none is named, and write the lock file
    Update {
        /// Inputs, such as `nixpkgs` or `tools/nixpkgs`
        #[arg(value_name = "INPUT")]
        inputs: Vec<String>,
        /// The flake
        #[arg(long, value_name = "FLAKE", default_value = ".")]
        flake: String,
        #[command(flatten)]
        lock: LockArgs,
    },
    /// Bring a flake and all its inputs into the store
    Archive {
        /// The flake
        #[arg(value_name = "FLAKE", default_value = ".")]
        flake: String,
        /// Print where they are, as JSON
        #[arg(long)]
        json: bool,
        /// Fetch no input
        #[arg(long)]
        dry_run: bool,
        /// Refused: give the other store with --store
        #[arg(long, value_name = "STORE", hide = true)]
        to: Option<String>,
        #[command(flatten)]
        lock: LockArgs,
    },
    /// Clone the repository of a flake, or copy its tree, to a new directory
    Clone {
        /// The flake
        #[arg(value_name = "FLAKE", default_value = ".")]
        flake: String,
        /// The directory
        #[arg(short = 'f', long, value_name = "DIR")]
        dest: PathBuf,
    },
    /// Fetch the tree of a flake, or of anything else that a reference names, into the store
    Prefetch {
        /// The reference
        #[arg(value_name = "FLAKE")]
        flake: String,
        /// Print where it is, and its hash, as JSON
        #[arg(long)]
        json: bool,
        /// A link to it, which keeps it from being collected
        #[arg(short, long, value_name = "NAME")]
        out_link: Option<PathBuf>,
    },
    /// Check that the outputs of a flake are what their names promise, and build its checks
    Check {
        /// The flake
        #[arg(value_name = "FLAKE", default_value = ".")]
        flake: String,
        /// Build nothing
        #[arg(long)]
        no_build: bool,
        /// Also check what is for other systems
        #[arg(long)]
        all_systems: bool,
        /// Allow what pure evaluation forbids
        #[arg(long)]
        impure: bool,
        #[command(flatten)]
        lock: LockArgs,
    },
}
