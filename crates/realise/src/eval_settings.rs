//! The settings of `nix.conf` that are about evaluation.

use xbuild_eval::settings::LintLevel;
use xbuild_eval::settings::LintLevels;

use crate::settings::SettingError;

/// How expressions are evaluated. The defaults are Nix's.
#[derive(Debug, Clone, Default)]
pub struct EvalSettings {
    /// `nix-path`: where `<…>` is looked up, as `NAME=PATH` or `PATH`; `NIX_PATH` takes its place.
    pub nix_path: Vec<String>,
    /// `pure-eval`
    pub pure: bool,
    /// Whether `pure-eval` was set to false: then flakes are not evaluated purely, either.
    pub impure_flakes: bool,
    /// `restrict-eval`
    pub restrict: bool,
    /// `allowed-uris`
    pub allowed_uris: Vec<String>,
    /// `allow-import-from-derivation`, where something sets it: what it is by itself depends on the command.
    pub allow_import_from_derivation: Option<bool>,
    /// `trace-import-from-derivation`
    pub trace_import_from_derivation: bool,
    /// `trace-verbose`
    pub trace_verbose: bool,
    /// `abort-on-warn`
    pub abort_on_warn: bool,
    /// `eval-system`: `builtins.currentSystem`, if it is not `system`.
    pub system: Option<String>,
    /// `lint-…`
    pub lints: LintLevels,
}

/// The keys of [`EvalSettings`] that are on or off.
pub(crate) const BOOLEANS: &[&str] = &[
    "abort-on-warn",
    "allow-import-from-derivation",
    "pure-eval",
    "restrict-eval",
    "trace-import-from-derivation",
    "trace-verbose",
    "warn-short-path-literals",
];

/// Its other keys.
pub(crate) const VALUES: &[&str] = &[
    "allowed-uris",
    "eval-system",
    "lint-absolute-path-literals",
    "lint-short-path-literals",
    "lint-url-literals",
    "nix-path",
];

impl EvalSettings {
    /// Applies a setting that is about evaluation; `None` if `key` is not.
    pub(crate) fn set(
        &mut self,
        key: &str,
        value: &str,
        append: bool,
    ) -> Option<Result<(), SettingError>> {
        if BOOLEANS.contains(&key) {
            return Some(crate::settings::boolean(key, value).map(|on| self.switch(key, on)));
        }
        match key {
            "allowed-uris" => list(&mut self.allowed_uris, value, append),
            "nix-path" => list(&mut self.nix_path, value, append),
            "eval-system" => self.system = Some(value.to_owned()).filter(|v| !v.is_empty()),
            "lint-url-literals" => return Some(level(&mut self.lints.url_literals, key, value)),
            "lint-short-path-literals" => {
                return Some(level(&mut self.lints.short_path_literals, key, value));
            }
            "lint-absolute-path-literals" => {
                return Some(level(&mut self.lints.absolute_path_literals, key, value));
            }
            _ => return None,
        }
        Some(Ok(()))
    }

    fn switch(&mut self, key: &str, on: bool) {
        match key {
            "pure-eval" => {
                self.pure = on;
                self.impure_flakes = !on;
            }
            "restrict-eval" => self.restrict = on,
            "allow-import-from-derivation" => self.allow_import_from_derivation = Some(on),
            "trace-import-from-derivation" => self.trace_import_from_derivation = on,
            "trace-verbose" => self.trace_verbose = on,
            "abort-on-warn" => self.abort_on_warn = on,
            // The name it had before it was a lint.
            "warn-short-path-literals" => {
                self.lints.short_path_literals = if on {
                    LintLevel::Warn
                } else {
                    LintLevel::Ignore
                };
            }
            _ => {}
        }
    }
}

fn list(current: &mut Vec<String>, value: &str, append: bool) {
    if !append {
        current.clear();
    }
    current.extend(value.split_whitespace().map(str::to_owned));
}

fn level(lint: &mut LintLevel, key: &str, value: &str) -> Result<(), SettingError> {
    *lint = match value {
        "ignore" => LintLevel::Ignore,
        "warn" => LintLevel::Warn,
        "fatal" => LintLevel::Fatal,
        _ => {
            return Err(SettingError::Value {
                key: key.to_owned(),
                value: value.to_owned(),
                expected: "`ignore`, `warn` or `fatal`",
            });
        }
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_taken() {
        let mut settings = EvalSettings::default();
        for key in BOOLEANS {
            assert!(
                matches!(settings.set(key, "true", false), Some(Ok(()))),
                "{key}"
            );
            assert!(
                matches!(settings.set(key, "maybe", false), Some(Err(_))),
                "{key}"
            );
        }
        for key in VALUES {
            assert!(
                matches!(settings.set(key, "warn", false), Some(Ok(()))),
                "{key}"
            );
        }
        assert!(settings.set("cores", "1", false).is_none());
        assert!(matches!(
            settings.set("lint-url-literals", "loud", false),
            Some(Err(_))
        ));
        assert_eq!(settings.lints.url_literals, LintLevel::Warn);
    }
}
