//! Commands that boot an image.

use std::path::PathBuf;

use clap::Args;

/// What `boot` and `test` build and run.
#[derive(Debug, Args)]
pub(crate) struct Guest {
    /// DIR#target, or what else has an attribute `vm`; or the store path of such a `vm`
    #[arg(value_name = "INSTALLABLE")]
    pub(crate) installable: String,
    /// Memory of the machine in MiB
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(64..))]
    pub(crate) memory: Option<u32>,
    /// Number of CPUs of the machine
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) cpus: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Boot {
    #[command(flatten)]
    pub(crate) guest: Guest,
    /// The port of this machine that leads to the guest's ssh
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) ssh_port: Option<u16>,
    /// Keep the disk in FILE; if there is one already, boot from it in place of a fresh copy of the image
    #[arg(long, value_name = "FILE")]
    pub(crate) keep_disk: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Test {
    #[command(flatten)]
    pub(crate) guest: Guest,
    /// How long the machine may take to come up, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: Option<u64>,
    /// Where the transcript is written; default: xbuild/tests in your state directory
    #[arg(long, value_name = "FILE")]
    pub(crate) transcript: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
