//! Commands that look at the store and after it.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Derivation {
    /// Print store derivations as JSON
    Show {
        /// Also all derivations that they are built with
        #[arg(short, long)]
        recursive: bool,
        /// .drv paths, or what else `realise` takes
        #[arg(value_name = "DRV", required = true)]
        installables: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Delete what no root needs
    Gc {
        /// Print what would be deleted, and delete nothing
        #[arg(long)]
        dry_run: bool,
        /// Stop after that many bytes (K, M, G are understood)
        #[arg(long, value_name = "BYTES")]
        max: Option<String>,
        /// Print the roots, and delete nothing
        #[arg(long, conflicts_with_all = ["dry_run", "max"])]
        print_roots: bool,
    },
    /// Check the database against the disk
    Verify {
        /// Also read every file and compare its hash
        #[arg(long)]
        check_contents: bool,
    },
    /// Add files or directories, and print their store paths
    Add {
        /// What to add
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<PathBuf>,
        /// The name in the store path; the file's own name if not given
        #[arg(long)]
        name: Option<String>,
        /// `nar` for any tree, `flat` for one file by its plain hash
        #[arg(long, default_value = "nar", value_parser = ["nar", "flat"])]
        mode: String,
        /// sha256, sha512, sha1, md5 or blake3
        #[arg(long, default_value = "sha256", value_name = "ALGO")]
        hash_algo: String,
    },
    /// Delete store paths, if nothing needs them
    Delete {
        /// Store paths
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct PathInfo {
    /// Store paths, or what else `realise` takes
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<String>,
    /// The whole closure
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Print NAR sizes
    #[arg(short, long)]
    pub(crate) size: bool,
    /// Print the size of each closure
    #[arg(short = 'S', long)]
    pub(crate) closure_size: bool,
}
