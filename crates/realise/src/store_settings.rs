//! The settings of `nix.conf` that are about the store: what is written to disk when, sharing of files, garbage.

use std::time::Duration;

use xbuild_store::{AutoGc, GcOptions};

use crate::settings::{SettingError, number_with_unit};

/// How the store is used. The defaults are Nix's, except that identical files are stored once.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// `fsync-metadata`: the database is written so that a crash of the machine does not harm it.
    pub fsync_metadata: bool,
    /// `fsync-store-paths`: the files of a path are on disk before it is registered.
    pub fsync_store_paths: bool,
    /// `sync-before-registering`: everything is on disk before a path is registered.
    pub sync_before_registering: bool,
    /// `auto-optimise-store`: files become links to identical ones when they come into the store.
    pub auto_optimise: bool,
    /// `keep-outputs`, for garbage collection.
    pub keep_outputs: bool,
    /// `keep-derivations`, for garbage collection.
    pub keep_derivations: bool,
    /// `min-free`: collect garbage before a build when fewer bytes are free; 0: never.
    pub min_free: u64,
    /// `max-free`: and stop when so many are.
    pub max_free: u64,
    /// `min-free-check-interval`: how often to look.
    pub min_free_check_interval: Duration,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            fsync_metadata: true,
            fsync_store_paths: false,
            sync_before_registering: false,
            auto_optimise: true,
            keep_outputs: false,
            keep_derivations: true,
            min_free: 0,
            max_free: u64::MAX,
            min_free_check_interval: Duration::from_secs(5),
        }
    }
}

/// The keys of [`StoreSettings`] that are on or off.
pub(crate) const BOOLEANS: &[&str] = &[
    "auto-optimise-store",
    "fsync-metadata",
    "fsync-store-paths",
    "keep-derivations",
    "keep-outputs",
    "sync-before-registering",
];

/// Its other keys.
pub(crate) const VALUES: &[&str] = &["max-free", "min-free", "min-free-check-interval"];

impl StoreSettings {
    /// Applies a setting that is about the store; `None` if `key` is not.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Option<Result<(), SettingError>> {
        if BOOLEANS.contains(&key) {
            let on = crate::settings::boolean(key, value);
            return Some(on.map(|on| *self.switch(key) = on));
        }
        if !VALUES.contains(&key) {
            return None;
        }
        let Some(number) = number_with_unit(value) else {
            return Some(Err(SettingError::Value {
                key: key.to_owned(),
                value: value.to_owned(),
                expected: if key == "min-free-check-interval" {
                    "a number of seconds"
                } else {
                    "a number of bytes"
                },
            }));
        };
        match key {
            "max-free" => self.max_free = number,
            "min-free" => self.min_free = number,
            _ => self.min_free_check_interval = Duration::from_secs(number),
        }
        Some(Ok(()))
    }

    fn switch(&mut self, key: &str) -> &mut bool {
        match key {
            "auto-optimise-store" => &mut self.auto_optimise,
            "fsync-metadata" => &mut self.fsync_metadata,
            "fsync-store-paths" => &mut self.fsync_store_paths,
            "keep-derivations" => &mut self.keep_derivations,
            "keep-outputs" => &mut self.keep_outputs,
            _ => &mut self.sync_before_registering,
        }
    }

    /// When garbage is collected without being asked for.
    #[must_use]
    pub fn auto_gc(&self) -> AutoGc {
        AutoGc {
            min_free: self.min_free,
            max_free: self.max_free,
            interval: self.min_free_check_interval,
            options: GcOptions {
                keep_outputs: self.keep_outputs,
                keep_derivations: self.keep_derivations,
                ..GcOptions::default()
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_taken() {
        let mut settings = StoreSettings::default();
        for key in BOOLEANS {
            for (text, on) in [("true", true), ("false", false)] {
                assert!(settings.set(key, text).unwrap().is_ok(), "{key}");
                assert_eq!(*settings.switch(key), on, "{key}");
            }
        }
        for key in VALUES {
            assert!(settings.set(key, "7").unwrap().is_ok(), "{key}");
            assert!(settings.set(key, "x").unwrap().is_err(), "{key}");
        }
        settings.set("min-free", "2G").unwrap().unwrap();
        let auto = settings.auto_gc();
        assert_eq!((auto.min_free, auto.max_free), (2 << 30, 7));
        assert!(settings.set("cores", "1").is_none());
    }
}
