//! How a store is opened.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};

/// Settings of [`crate::Store::open`]. The defaults are those of stock Nix.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Do not create or change anything.
    pub read_only: bool,
    /// Why it is read-only, if that is so because it could not be opened otherwise: for messages.
    pub read_only_because: Option<Arc<Error>>,
    /// Nix's `fsync-metadata`: let SQLite sync what it must for its database to survive a crash of the machine.
    pub fsync_metadata: bool,
    /// Nix's `fsync-store-paths`: sync the contents of each path before it is registered.
    pub fsync_store_paths: bool,
    /// Nix's `sync-before-registering`: have the system write everything to disk before paths are registered.
    pub sync_before_registering: bool,
    /// Nix's `auto-optimise-store`: files that come into the store become links to identical ones that are there already.
    pub auto_optimise: bool,
    /// When the database cannot be opened because the disk is full, give it the space that is set aside for that: for those
    /// who open the store to delete from it.
    pub use_reserve: bool,
    /// How long to wait for a database that others keep locked.
    pub busy_limit: Duration,
    /// Called with a line of text when something makes the user wait, or when something odd is found and repaired.
    pub notify: Option<Notify>,
    /// Asked now and then during long operations; true makes them end with [`Error::Interrupted`].
    pub cancelled: Option<Cancelled>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            read_only: false,
            read_only_because: None,
            fsync_metadata: true,
            fsync_store_paths: false,
            sync_before_registering: false,
            auto_optimise: false,
            use_reserve: false,
            busy_limit: Duration::from_secs(600),
            notify: None,
            cancelled: None,
        }
    }
}

/// A function that shows a line of text to the user.
#[derive(Clone)]
pub struct Notify(pub Arc<dyn Fn(&str) + Send + Sync>);

/// A function that says whether to stop.
#[derive(Clone)]
pub struct Cancelled(pub Arc<dyn Fn() -> bool + Send + Sync>);

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notify(..)")
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cancelled(..)")
    }
}

/// The two call-backs, as the inner modules use them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hooks {
    pub(crate) notify: Option<Notify>,
    pub(crate) cancelled: Option<Cancelled>,
}

impl Hooks {
    pub(crate) fn notice(&self, line: &str) {
        if let Some(Notify(notify)) = &self.notify {
            notify(line);
        }
    }

    pub(crate) fn check_cancelled(&self) -> Result<()> {
        match &self.cancelled {
            Some(Cancelled(cancelled)) if cancelled() => Err(Error::Interrupted),
            _ => Ok(()),
        }
    }
}
