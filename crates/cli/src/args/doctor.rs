//! The options of `xbuild doctor`.

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Leave the network alone: do not ask whether the mirror answers
    #[arg(long)]
    pub(crate) offline: bool,
    /// Print the checks as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
