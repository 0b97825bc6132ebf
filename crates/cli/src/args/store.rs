//! Commands that look at the store and after it.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::sources::Source;

#[derive(Debug, Subcommand)]
pub(crate) enum Derivation {
    /// Print store derivations as JSON
    Show {
        /// Also all derivations that they are built with
        #[arg(short, long)]
        recursive: bool,
        /// .drv paths, or what else `realise` takes; the default is `.`
        #[arg(value_name = "DRV")]
        installables: Vec<String>,
        #[command(flatten)]
        source: Source,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Delete what no root needs
    Gc(Gc),
    /// Check the database against the disk
    Verify {
        /// Also read every file and compare its hash
        #[arg(long)]
        check_contents: bool,
        /// Make damaged paths again, if the store has the derivations that made them
        #[arg(long)]
        repair: bool,
    },
    /// Make damaged store paths again
    Repair {
        /// Store paths
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<String>,
    },
    /// Add files or directories, and print their store paths
    Add {
        /// What to add
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<PathBuf>,
        /// The name in the store path; the file's own name if not given
        #[arg(short, long)]
        name: Option<String>,
        /// `nar` for any tree, `flat` for one file by its plain hash, `text` for one as `builtins.toFile` makes it
        #[arg(long, default_value = "nar", value_parser = ["nar", "flat", "text"])]
        mode: String,
        /// sha256, sha512, sha1, md5 or blake3
        #[arg(long, default_value = "sha256", value_name = "ALGO")]
        hash_algo: String,
        /// Print the store paths, and add nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete store paths, if nothing needs them
    Delete {
        /// Store paths
        #[arg(value_name = "PATH", required_unless_present = "stdin")]
        paths: Vec<String>,
        /// Also what roots reach, but not what other paths refer to
        #[arg(long)]
        ignore_liveness: bool,
        /// Also everything that they need
        #[arg(short, long)]
        recursive: bool,
        /// Read more store paths from standard input, a line each
        #[arg(long)]
        stdin: bool,
    },
    /// Print a file of a store path
    Cat {
        /// A file in a store path
        #[arg(value_name = "PATH")]
        path: PathBuf,
    },
    /// List what is in a store path
    Ls(Ls),
    /// Store identical files once
    #[command(alias = "optimize")]
    Optimise {
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print how much space store paths take
    Du(Du),
    /// Print what packages differ in two closures
    DiffClosures {
        /// A store path, or what else `realise` takes
        before: String,
        /// Another
        after: String,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print why one store path needs another
    WhyDepends(WhyDepends),
    /// Write store paths to standard output, for `import` or `nix-store --import`
    Export {
        /// Store paths, or what else `realise` takes
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<String>,
        /// Also everything that they need
        #[arg(short, long)]
        recursive: bool,
    },
    /// Read from standard input what `export` or `nix-store --export` has written, and print the store paths
    Import,
    /// Print whether the store can be used
    #[command(alias = "info")]
    Ping {
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print what keeps store paths from being collected
    Roots {
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Gc {
    /// Print what would be deleted, and delete nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Stop after that many bytes (K, M, G are understood)
    #[arg(long, alias = "max-freed", value_name = "BYTES")]
    pub(crate) max: Option<String>,
    /// First delete generations of profiles that were no longer current at that time, such as 30d
    #[arg(long, value_name = "AGE")]
    pub(crate) delete_older_than: Option<String>,
    /// First delete all generations of profiles but the current ones
    #[arg(short = 'd', long, conflicts_with = "delete_older_than")]
    pub(crate) delete_old: bool,
    /// Print the roots, and delete nothing
    #[arg(long, conflicts_with_all = ["dry_run", "max", "delete_older_than", "delete_old"])]
    pub(crate) print_roots: bool,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// A store path, or something in one
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// With type and size
    #[arg(short, long)]
    pub(crate) long: bool,
    /// Also what is below
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
    /// A directory itself, not what is in it
    #[arg(short, long, conflicts_with = "json")]
    pub(crate) directory: bool,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Du {
    /// Store paths, or what else `realise` takes; all valid paths if none is given
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<String>,
    /// Only what is named, not everything that it needs
    #[arg(long)]
    pub(crate) no_recursive: bool,
    /// Print only the sums
    #[arg(short, long)]
    pub(crate) summarize: bool,
    /// Print sizes with units
    #[arg(short = 'H', long)]
    pub(crate) human_readable: bool,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WhyDepends {
    /// A store path, or what else `realise` takes
    pub(crate) package: String,
    /// What it needs
    pub(crate) dependency: String,
    /// All ways, not only a shortest one
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Also the files in which the references stand
    #[arg(long)]
    pub(crate) precise: bool,
    /// Print as JSON
    #[arg(long, conflicts_with = "precise")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct PathInfo {
    /// Store paths, or what else `realise` takes
    #[arg(value_name = "PATH", required_unless_present_any = ["all", "stdin"])]
    pub(crate) paths: Vec<String>,
    /// All valid paths
    #[arg(long, conflicts_with_all = ["paths", "stdin"])]
    pub(crate) all: bool,
    /// Read more store paths from standard input
    #[arg(long)]
    pub(crate) stdin: bool,
    /// The whole closure
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The form of the JSON; 2 has no store directory in front of names
    #[arg(long, default_value = "1", value_name = "VERSION", value_parser = ["1", "2"])]
    pub(crate) json_format: String,
    /// Print NAR sizes
    #[arg(short, long)]
    pub(crate) size: bool,
    /// Print the size of each closure
    #[arg(short = 'S', long)]
    pub(crate) closure_size: bool,
    /// Print sizes with units
    #[arg(short, long)]
    pub(crate) human_readable: bool,
    /// Print signatures and content addresses
    #[arg(long)]
    pub(crate) sigs: bool,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}
