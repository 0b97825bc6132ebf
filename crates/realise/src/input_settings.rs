//! The settings of `nix.conf` that are about fetching, and about flakes.

use std::time::Duration;

use crate::settings::SettingError;

/// How inputs are fetched and flakes are locked. The defaults are Nix's.
#[derive(Debug, Clone)]
pub struct InputSettings {
    /// `tarball-ttl`: how long a branch or an archive from a URL is taken to be what it was.
    pub tarball_ttl: Duration,
    /// `allow-dirty`: whether a Git work tree may have changes.
    pub allow_dirty: bool,
    /// `warn-dirty`: whether that is worth a warning.
    pub warn_dirty: bool,
    /// `allow-dirty-locks`: whether a lock file may have inputs that only a hash fixes.
    pub allow_dirty_locks: bool,
    /// `accept-flake-config`: whether `nixConfig` of a flake is followed.
    pub accept_flake_config: bool,
    /// `use-registries`: whether registries say what the names of flakes stand for.
    pub use_registries: bool,
    /// `flake-registry`: the global registry, a file or a URL; "" is none.
    pub flake_registry: String,
    /// `access-tokens`: `HOST=TOKEN`, for forges.
    pub access_tokens: Vec<String>,
    /// `commit-lock-file-summary`: the first line of the commit of a lock file.
    pub commit_lock_file_summary: String,
}

impl Default for InputSettings {
    fn default() -> Self {
        Self {
            tarball_ttl: Duration::from_secs(3600),
            allow_dirty: true,
            warn_dirty: true,
            allow_dirty_locks: false,
            accept_flake_config: false,
            use_registries: true,
            flake_registry: "https://channels.nixos.org/flake-registry.json".to_owned(),
            access_tokens: Vec::new(),
            commit_lock_file_summary: String::new(),
        }
    }
}

/// The keys of [`InputSettings`] that are on or off.
pub(crate) const BOOLEANS: &[&str] = &[
    "accept-flake-config",
    "allow-dirty",
    "allow-dirty-locks",
    "use-registries",
    "warn-dirty",
];

/// Its other keys.
pub(crate) const VALUES: &[&str] = &[
    "access-tokens",
    "commit-lock-file-summary",
    "flake-registry",
    "tarball-ttl",
];

impl InputSettings {
    /// Applies a setting that is about inputs; `None` if `key` is not.
    pub(crate) fn set(
        &mut self,
        key: &str,
        value: &str,
        append: bool,
    ) -> Option<Result<(), SettingError>> {
        if BOOLEANS.contains(&key) {
            let on = crate::settings::boolean(key, value);
            return Some(on.map(|on| *self.switch(key) = on));
        }
        match key {
            "access-tokens" => {
                if !append {
                    self.access_tokens.clear();
                }
                let tokens = value.split_whitespace().map(str::to_owned);
                self.access_tokens.extend(tokens);
            }
            "commit-lock-file-summary" => value.clone_into(&mut self.commit_lock_file_summary),
            "flake-registry" => value.clone_into(&mut self.flake_registry),
            "tarball-ttl" => match value.parse() {
                Ok(seconds) => self.tarball_ttl = Duration::from_secs(seconds),
                Err(_) => {
                    return Some(Err(SettingError::Value {
                        key: key.to_owned(),
                        value: value.to_owned(),
                        expected: "a number of seconds",
                    }));
                }
            },
            _ => return None,
        }
        Some(Ok(()))
    }

    fn switch(&mut self, key: &str) -> &mut bool {
        match key {
            "accept-flake-config" => &mut self.accept_flake_config,
            "allow-dirty" => &mut self.allow_dirty,
            "allow-dirty-locks" => &mut self.allow_dirty_locks,
            "use-registries" => &mut self.use_registries,
            _ => &mut self.warn_dirty,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_taken() {
        let mut settings = InputSettings::default();
        for key in BOOLEANS {
            for (text, on) in [("true", true), ("false", false)] {
                assert!(settings.set(key, text, false).unwrap().is_ok(), "{key}");
                assert_eq!(*settings.switch(key), on, "{key}");
            }
        }
        for key in VALUES {
            assert!(settings.set(key, "7", false).unwrap().is_ok(), "{key}");
        }
        assert_eq!(settings.tarball_ttl, Duration::from_secs(7));
        assert!(settings.set("tarball-ttl", "x", false).unwrap().is_err());
        assert!(settings.set("cores", "1", false).is_none());
    }
}
