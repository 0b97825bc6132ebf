//! `nixConfig` of a flake: settings that it would like to have.

/// The value of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigValue {
    /// A string, or the store path of a path.
    Text(String),
    /// A number.
    Int(i64),
    /// A truth value.
    Bool(bool),
    /// Words.
    List(Vec<String>),
}

impl ConfigValue {
    /// As in `nix.conf`.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Int(number) => number.to_string(),
            Self::Bool(value) => value.to_string(),
            Self::List(words) => words.join(" "),
        }
    }
}

/// Settings that do no harm.
const HARMLESS: &[&str] = &[
    "bash-prompt",
    "bash-prompt-prefix",
    "bash-prompt-suffix",
    "flake-registry",
    "commit-lock-file-summary",
    "commit-lockfile-summary",
];

/// Those settings that may be applied: all if the user accepts them (`accept-flake-config`), otherwise harmless ones. `warn` hears
/// of the others. Nobody is asked: xbuild is mostly started by programs.
pub fn apply_config(
    config: &[(String, ConfigValue)],
    accept: bool,
    warn: &mut dyn FnMut(String),
) -> Vec<(String, String)> {
    let mut applied = Vec::new();
    for (name, value) in config {
        let base = name.strip_prefix("extra-").unwrap_or(name);
        if accept || HARMLESS.contains(&base) {
            applied.push((name.clone(), value.to_text()));
        } else {
            warn(format!(
                "ignoring untrusted flake configuration setting '{name}'.\nPass '--accept-flake-config' to trust it"
            ));
        }
    }
    applied
}
