//! The keys there are: which are honoured, of what kind, and what else Nix calls them.

use crate::{eval_settings, input_settings, store_settings};

/// The keys this version honours. Keys of Nix that change nothing here stand in [`IGNORED`].
const KEYS: &[&str] = &[
    "connect-timeout",
    "cores",
    "debian-mirror",
    "download-attempts",
    "emulators",
    "experimental-features",
    "extra-platforms",
    "http-connections",
    "keep-failed",
    "keep-going",
    "log-lines",
    "max-build-log-size",
    "max-build-processes",
    "max-call-depth",
    "max-jobs",
    "max-silent-time",
    "sandbox-paths",
    "sandbox-user-namespaces",
    "show-trace",
    "stalled-download-timeout",
    "system",
    "system-features",
    "timeout",
];

/// The settings that are on or off: as options, `--KEY` and `--no-KEY`.
const BOOLEANS: &[&str] = &["keep-failed", "keep-going", "show-trace"];

/// All keys that this version honours.
fn keys() -> impl Iterator<Item = &'static str> {
    KEYS.iter()
        .chain(eval_settings::BOOLEANS)
        .chain(eval_settings::VALUES)
        .chain(input_settings::BOOLEANS)
        .chain(input_settings::VALUES)
        .chain(store_settings::BOOLEANS)
        .chain(store_settings::VALUES)
        .copied()
}

/// What kind of value a setting has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// `true` or `false`.
    Switch,
    /// Anything else.
    Value,
}

/// The kind of a setting, if there is one that is called `key` (or, with `extra-`, can be appended to).
#[must_use]
pub fn kind_of(key: &str) -> Option<KeyKind> {
    let base = canonical(key);
    let switches = [
        BOOLEANS,
        eval_settings::BOOLEANS,
        input_settings::BOOLEANS,
        store_settings::BOOLEANS,
    ];
    if IGNORED_SWITCHES.contains(&base) || switches.iter().any(|keys| keys.contains(&base)) {
        return Some(KeyKind::Switch);
    }
    let is_key = keys().any(|known| known == base) || IGNORED_VALUES.contains(&base);
    let is_list = || {
        let list = key.strip_prefix("extra-").map(canonical);
        list.is_some_and(is_list)
    };
    (is_key || is_list()).then_some(KeyKind::Value)
}

/// Of [`IGNORED`], what is given as an option with a value.
const IGNORED_VALUES: &[&str] = &["builders", "substituters", "trusted-public-keys"];

/// Of [`IGNORED`], what is on or off.
const IGNORED_SWITCHES: &[&str] = &[
    "builders-use-substitutes",
    "eval-cache",
    "fallback",
    "require-sigs",
    "substitute",
    "use-xdg-base-directories",
];

/// Keys of Nix that may be given with `--option` and have no effect in this version.
const IGNORED: &[&str] = &[
    "allowed-users",
    "build-users-group",
    "builders",
    "builders-use-substitutes",
    "debugger-on-trace",
    "debugger-on-warn",
    "eval-cache",
    "fallback",
    "require-sigs",
    "substitute",
    "substituters",
    "trusted-public-keys",
    "trusted-users",
    "use-xdg-base-directories",
];

/// The settings that are lists: `extra-KEY` appends to them.
const LISTS: &[&str] = &[
    "access-tokens",
    "allowed-uris",
    "allowed-users",
    "emulators",
    "experimental-features",
    "extra-platforms",
    "nix-path",
    "sandbox-paths",
    "substituters",
    "system-features",
    "trusted-public-keys",
    "trusted-users",
];

/// Other names of keys, as in Nix.
const ALIASES: &[(&str, &str)] = &[
    ("build-chroot-dirs", "sandbox-paths"),
    ("build-cores", "cores"),
    ("build-max-jobs", "max-jobs"),
    ("build-max-log-size", "max-build-log-size"),
    ("build-max-silent-time", "max-silent-time"),
    ("build-sandbox-paths", "sandbox-paths"),
    ("build-timeout", "timeout"),
    ("build-use-chroot", "sandbox"),
    ("build-use-sandbox", "sandbox"),
    ("gc-keep-derivations", "keep-derivations"),
    ("gc-keep-outputs", "keep-outputs"),
];

/// What Nix calls `key` today.
pub(super) fn canonical(key: &str) -> &str {
    ALIASES
        .iter()
        .find(|(alias, _)| *alias == key)
        .map_or(key, |(_, canonical)| *canonical)
}

/// Whether `extra-KEY` appends to it.
pub(super) fn is_list(key: &str) -> bool {
    LISTS.contains(&key)
}

/// Whether `key` is one of Nix's that changes nothing here.
pub(super) fn is_ignored(key: &str) -> bool {
    IGNORED.contains(&key)
}

/// A key that looks like `key`.
pub(super) fn similar(key: &str) -> Option<&'static str> {
    keys()
        .min_by_key(|known| distance(known, key))
        .filter(|known| distance(known, key) <= 1 + key.len() / 4)
}

/// Edit distance (Levenshtein), for suggestions.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
