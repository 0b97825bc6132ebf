//! Settings: the keys of `nix.conf` that xbuild honours, from files, the environment and `--option`.
//!
//! Syntax and names are Nix's (manual, "nix.conf"): `key = value` lines, `#` comments, `include FILE` and
//! `!include FILE`, `extra-KEY` appends to a list. Keys that Nix knows and xbuild does not need are accepted from
//! files in silence, since such a file is shared with Nix; on the command line an unknown key is an error.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use crate::eval_settings::{self, EvalSettings};
use crate::input_settings::{self, InputSettings};
use crate::platform::is_emulator_entry;

/// How many steps run at once and how a build is run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `max-jobs`: builds at once. `auto` is the number of processors.
    pub max_jobs: usize,
    /// `cores`: `NIX_BUILD_CORES` of each build; 0 means all processors.
    pub cores: usize,
    /// `http-connections`: downloads at once.
    pub http_connections: usize,
    /// `timeout`: wall time a build may take.
    pub timeout: Option<Duration>,
    /// `max-silent-time`: how long a build may print nothing.
    pub max_silent_time: Option<Duration>,
    /// `max-build-log-size`: bytes a build may print.
    pub max_build_log_size: Option<u64>,
    /// `keep-going`: after a failure, build what does not depend on it.
    pub keep_going: bool,
    /// `keep-failed`: keep the directory of a failed build.
    pub keep_failed: bool,
    /// `log-lines`: lines of a failed build's log shown with the error.
    pub log_lines: usize,
    /// `sandbox-paths`: `TARGET`, `TARGET=SOURCE`, with a trailing `?` when it may be absent.
    pub sandbox_paths: Vec<String>,
    /// `extra-platforms`: other systems whose programs the machine's kernel runs.
    pub extra_platforms: Vec<String>,
    /// `emulators` (xbuild's own): `SYSTEM=PROGRAM`, what runs the programs of a system in place of the emulator that comes with xbuild.
    pub emulators: Vec<String>,
    /// `sandbox-user-namespaces` (xbuild's own): builds may make user namespaces, and mount in them.
    pub sandbox_user_namespaces: bool,
    /// `max-build-processes` (xbuild's own): processes and threads of a build at once; none means as many as the machine allows.
    pub max_build_processes: Option<u64>,
    /// `debian-mirror` (xbuild's own): the base URL behind `mirror://debian/`.
    pub debian_mirror: Option<String>,
    /// `connect-timeout`: of one download.
    pub connect_timeout: Duration,
    /// `stalled-download-timeout`: how long a download may bring nothing.
    pub stalled_download_timeout: Duration,
    /// `download-attempts`: tries of one download.
    pub download_attempts: u32,
    /// `extra-experimental-features`, `experimental-features`.
    pub experimental_features: Vec<String>,
    /// `system`: what `builtins.currentSystem` says and what runs without emulation.
    pub system: String,
    /// `max-call-depth`: of the evaluator.
    pub max_call_depth: usize,
    /// `show-trace`: all frames of an evaluation error.
    pub show_trace: bool,
    /// `keep-outputs`, for garbage collection.
    pub keep_outputs: bool,
    /// `keep-derivations`, for garbage collection.
    pub keep_derivations: bool,
    /// How expressions are evaluated.
    pub eval: EvalSettings,
    /// How inputs are fetched and flakes are locked.
    pub inputs: InputSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_jobs: processors(),
            cores: 0,
            http_connections: 8,
            timeout: None,
            max_silent_time: None,
            max_build_log_size: None,
            keep_going: false,
            keep_failed: false,
            log_lines: 25,
            sandbox_paths: Vec::new(),
            extra_platforms: Vec::new(),
            emulators: Vec::new(),
            sandbox_user_namespaces: false,
            max_build_processes: Some(4096),
            debian_mirror: None,
            connect_timeout: Duration::from_secs(15),
            stalled_download_timeout: Duration::from_secs(300),
            download_attempts: 5,
            experimental_features: Vec::new(),
            system: "x86_64-linux".to_owned(),
            max_call_depth: 10_000,
            show_trace: false,
            keep_outputs: false,
            keep_derivations: true,
            eval: EvalSettings::default(),
            inputs: InputSettings::default(),
        }
    }
}

/// The number of processors this process may use, by affinity and control groups when this is first asked.
#[must_use]
pub fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS
        .get_or_init(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// No such key.
    #[error("there is no setting `{key}`{}", suggestion.map(|s| format!("; did you mean `{s}`?")).unwrap_or_default())]
    Unknown {
        /// As given.
        key: String,
        /// A known key that looks like it.
        suggestion: Option<&'static str>,
    },
    /// A value of the wrong form.
    #[error("setting `{key}`: `{value}` is not {expected}")]
    Value {
        /// The key.
        key: String,
        /// As given.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A line of a file that is not `key = value`.
    #[error("{}:{line}: expected `key = value`, found `{text}`", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// A setting in a file is wrong.
    #[error("{}:{line}: {source}", file.display())]
    InFile {
        /// The file.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        source: Box<SettingError>,
    },
    /// A file that cannot be read.
    #[error("cannot read the configuration file {}: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

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
    "keep-derivations",
    "keep-failed",
    "keep-going",
    "keep-outputs",
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
    "timeout",
];

/// The settings that are on or off: as options, `--KEY` and `--no-KEY`.
const BOOLEANS: &[&str] = &[
    "keep-derivations",
    "keep-failed",
    "keep-going",
    "keep-outputs",
    "sandbox-user-namespaces",
    "show-trace",
];

/// All keys that this version honours.
fn keys() -> impl Iterator<Item = &'static str> {
    KEYS.iter()
        .chain(eval_settings::BOOLEANS)
        .chain(eval_settings::VALUES)
        .chain(input_settings::BOOLEANS)
        .chain(input_settings::VALUES)
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
    let alias = |key| {
        ALIASES
            .iter()
            .find(|(alias, _)| *alias == key)
            .map_or(key, |(_, canonical)| *canonical)
    };
    let base = alias(key);
    let switches = [BOOLEANS, eval_settings::BOOLEANS, input_settings::BOOLEANS];
    if switches.iter().any(|keys| keys.contains(&base)) {
        return Some(KeyKind::Switch);
    }
    let is_key = keys().any(|known| known == base) || IGNORED_VALUES.contains(&base);
    let is_list = || {
        let list = key.strip_prefix("extra-").map(alias);
        list.is_some_and(|list| LISTS.contains(&list))
    };
    (is_key || is_list()).then_some(KeyKind::Value)
}

pub(crate) fn boolean(key: &str, value: &str) -> Result<bool, SettingError> {
    match value {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err(SettingError::Value {
            key: key.to_owned(),
            value: value.to_owned(),
            expected: "`true` or `false`",
        }),
    }
}

/// Of [`IGNORED`], what is given as an option with a value.
const IGNORED_VALUES: &[&str] = &[
    "builders",
    "substituters",
    "system-features",
    "trusted-public-keys",
];

/// Keys of Nix that may be given with `--option` and have no effect in this version.
const IGNORED: &[&str] = &[
    "allowed-users",
    "auto-optimise-store",
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
    "system-features",
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

/// A number, perhaps with a binary unit: `64`, `10M` (K, M, G, T), as in Nix.
fn number_with_unit(text: &str) -> Option<u64> {
    let (digits, shift) = match text.bytes().last()?.to_ascii_uppercase() {
        b'K' => (&text[..text.len() - 1], 10),
        b'M' => (&text[..text.len() - 1], 20),
        b'G' => (&text[..text.len() - 1], 30),
        b'T' => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

impl Settings {
    /// Applies one setting, as `--option KEY VALUE` gives it.
    ///
    /// # Errors
    /// An unknown key, or a value of the wrong form.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), SettingError> {
        let value = value.trim();
        let canonical = |key| {
            ALIASES
                .iter()
                .find(|(alias, _)| *alias == key)
                .map_or(key, |(_, canonical)| *canonical)
        };
        let (base, append) = match key.strip_prefix("extra-").map(canonical) {
            Some(base) if LISTS.contains(&base) => (base, true),
            _ => (canonical(key), false),
        };
        let number = |expected| {
            number_with_unit(value).ok_or_else(|| SettingError::Value {
                key: key.to_owned(),
                value: value.to_owned(),
                expected,
            })
        };
        let seconds = |zero_is_none: bool| -> Result<Option<Duration>, SettingError> {
            let n = number("a number of seconds")?;
            Ok((n != 0 || !zero_is_none).then(|| Duration::from_secs(n)))
        };
        let boolean = || boolean(key, value);
        let list = |current: &mut Vec<String>| {
            if !append {
                current.clear();
            }
            current.extend(value.split_whitespace().map(str::to_owned));
        };
        let size = |expected| {
            Ok::<_, SettingError>(usize::try_from(number(expected)?).unwrap_or(usize::MAX))
        };
        if let Some(result) = self.inputs.set(base, value, append) {
            return result;
        }
        if let Some(result) = self.eval.set(base, value, append) {
            return result;
        }
        match base {
            "max-jobs" if value == "auto" => self.max_jobs = processors(),
            "max-jobs" => self.max_jobs = size("a number or `auto`")?,
            "cores" => self.cores = size("a number (0: all processors)")?,
            "http-connections" => self.http_connections = size("a number")?.max(1),
            "timeout" => self.timeout = seconds(true)?,
            "max-silent-time" => self.max_silent_time = seconds(true)?,
            "max-build-log-size" => {
                let bytes = number("a number of bytes")?;
                self.max_build_log_size = (bytes != 0).then_some(bytes);
            }
            "max-build-processes" => {
                let processes = number("a number of processes")?;
                self.max_build_processes = (processes != 0).then_some(processes);
            }
            "sandbox-user-namespaces" => self.sandbox_user_namespaces = boolean()?,
            "keep-going" => self.keep_going = boolean()?,
            "keep-failed" => self.keep_failed = boolean()?,
            "keep-outputs" => self.keep_outputs = boolean()?,
            "keep-derivations" => self.keep_derivations = boolean()?,
            "show-trace" => self.show_trace = boolean()?,
            "log-lines" => self.log_lines = size("a number of lines")?,
            "max-call-depth" => self.max_call_depth = size("a number")?,
            "connect-timeout" => {
                self.connect_timeout = seconds(true)?.unwrap_or(Duration::from_secs(300));
            }
            "stalled-download-timeout" => {
                self.stalled_download_timeout = seconds(true)?.unwrap_or(Duration::from_secs(3600));
            }
            "download-attempts" => {
                self.download_attempts = u32::try_from(number("a number")?)
                    .unwrap_or(u32::MAX)
                    .max(1);
            }
            "system" => value.clone_into(&mut self.system),
            "debian-mirror" => {
                if !(value.starts_with("http://")
                    || value.starts_with("https://")
                    || value.starts_with("file://"))
                {
                    return Err(SettingError::Value {
                        key: key.to_owned(),
                        value: value.to_owned(),
                        expected: "an http, https or file URL",
                    });
                }
                self.debian_mirror = Some(value.trim_end_matches('/').to_owned());
            }
            "extra-platforms" => list(&mut self.extra_platforms),
            "emulators" => {
                if !value.split_whitespace().all(is_emulator_entry) {
                    return Err(SettingError::Value {
                        key: key.to_owned(),
                        value: value.to_owned(),
                        expected: "a list of `aarch64-linux=/PROGRAM`",
                    });
                }
                list(&mut self.emulators);
            }
            "sandbox-paths" => list(&mut self.sandbox_paths),
            "experimental-features" => list(&mut self.experimental_features),
            "sandbox" => {
                if value != "true" {
                    return Err(SettingError::Value {
                        key: key.to_owned(),
                        value: value.to_owned(),
                        expected: "`true`: xbuild always builds in a sandbox",
                    });
                }
            }
            other if IGNORED.contains(&other) => {}
            _ => {
                let suggestion = keys().min_by_key(|known| distance(known, key));
                return Err(SettingError::Unknown {
                    key: key.to_owned(),
                    suggestion: suggestion
                        .filter(|known| distance(known, key) <= 1 + key.len() / 4),
                });
            }
        }
        Ok(())
    }

    /// The cores of one build: `cores`, or all processors.
    #[must_use]
    pub fn build_cores(&self) -> usize {
        if self.cores == 0 {
            processors()
        } else {
            self.cores
        }
    }

    /// The settings of this machine and user: `/etc/nix/nix.conf` (`$NIX_CONF_DIR/nix.conf`), then
    /// the user's files (`$NIX_USER_CONF_FILES`, else `nix/nix.conf` in the XDG configuration directories), then the lines of
    /// `$NIX_CONFIG`; `env` looks up a variable.
    ///
    /// # Errors
    /// A file that exists but cannot be read, a line that is no setting, a value of the wrong form.
    pub fn load(env: &dyn Fn(&str) -> Option<String>) -> Result<Self, SettingError> {
        let mut settings = Self::default();
        if env("NIX_ABORT_ON_WARN")
            .is_some_and(|value| ["1", "yes", "true"].contains(&value.as_str()))
        {
            settings.eval.abort_on_warn = true;
        }
        let system = PathBuf::from(env("NIX_CONF_DIR").unwrap_or_else(|| "/etc/nix".to_owned()))
            .join("nix.conf");
        for file in std::iter::once(system).chain(user_files(env).into_iter().rev()) {
            settings.include(&file, false, 0)?;
        }
        if let Some(text) = env("NIX_CONFIG") {
            settings.apply_text(&text, Path::new("$NIX_CONFIG"), 0)?;
        }
        Ok(settings)
    }

    fn include(&mut self, file: &Path, required: bool, depth: usize) -> Result<(), SettingError> {
        match fs::read_to_string(file) {
            Ok(text) => self.apply_text(&text, file, depth),
            Err(_) if !required && !file.is_file() => Ok(()),
            Err(source) => Err(SettingError::Read {
                file: file.to_owned(),
                source,
            }),
        }
    }

    fn apply_text(&mut self, text: &str, file: &Path, depth: usize) -> Result<(), SettingError> {
        for (index, raw) in text.lines().enumerate() {
            let line = index + 1;
            let content = raw.split('#').next().unwrap_or_default().trim();
            if content.is_empty() {
                continue;
            }
            let bad_line = || SettingError::Line {
                file: file.to_owned(),
                line,
                text: raw.trim().to_owned(),
            };
            if let Some((word, target)) = content.split_once(char::is_whitespace)
                && matches!(word, "include" | "!include")
            {
                if depth >= 16 {
                    return Err(bad_line());
                }
                let target = file.parent().unwrap_or(Path::new("/")).join(target.trim());
                self.include(&target, word == "include", depth + 1)?;
                continue;
            }
            let (key, value) = content.split_once('=').ok_or_else(bad_line)?;
            let (key, value) = (key.trim(), value.trim());
            if key.is_empty() || key.contains(char::is_whitespace) {
                return Err(bad_line());
            }
            match self.set(key, value) {
                // The file is Nix's as well: its other keys are none of our business.
                Ok(()) | Err(SettingError::Unknown { .. }) => {}
                Err(SettingError::Value { key, .. })
                    if matches!(
                        key.as_str(),
                        "sandbox" | "build-use-sandbox" | "build-use-chroot"
                    ) => {}
                Err(source) => {
                    return Err(SettingError::InFile {
                        file: file.to_owned(),
                        line,
                        source: Box::new(source),
                    });
                }
            }
        }
        Ok(())
    }
}

/// The user's configuration files, the most important one first.
fn user_files(env: &dyn Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    let list = |text: String| {
        text.split(':')
            .filter(|part| !part.is_empty())
            .map(PathBuf::from)
            .collect::<Vec<_>>()
    };
    if let Some(files) = env("NIX_USER_CONF_FILES") {
        return list(files);
    }
    let own = env("XDG_CONFIG_HOME")
        .filter(|dir| !dir.is_empty())
        .map(PathBuf::from)
        .or_else(|| env("HOME").map(|home| Path::new(&home).join(".config")));
    let shared = env("XDG_CONFIG_DIRS")
        .filter(|dirs| !dirs.is_empty())
        .unwrap_or_else(|| "/etc/xdg".to_owned());
    own.into_iter()
        .chain(list(shared))
        .map(|dir| dir.join("nix/nix.conf"))
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let mut settings = Settings::default();
        settings.set("max-jobs", "7").unwrap();
        settings.set("timeout", "0").unwrap();
        settings.set("sandbox-paths", "/bin/sh=/x /y?").unwrap();
        settings.set("extra-sandbox-paths", "/z").unwrap();
        assert_eq!(settings.max_jobs, 7);
        assert_eq!(settings.timeout, None);
        assert_eq!(settings.sandbox_paths, ["/bin/sh=/x", "/y?", "/z"]);
    }

    #[test]
    fn mistakes_are_named() {
        let mut settings = Settings::default();
        let text = |r: Result<(), SettingError>| r.unwrap_err().to_string();
        assert_eq!(
            text(settings.set("max-job", "1")),
            "there is no setting `max-job`; did you mean `max-jobs`?"
        );
        assert_eq!(
            text(settings.set("max-jobs", "many")),
            "setting `max-jobs`: `many` is not a number or `auto`"
        );
        assert_eq!(
            text(settings.set("keep-going", "maybe")),
            "setting `keep-going`: `maybe` is not `true` or `false`"
        );
    }

    #[test]
    fn files() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(
            dir.path().join("nix.conf"),
            "# c\nmax-jobs = 3 # three\nsubstituters = x\nunknown = 1\n!include no\ninclude b\n",
        )
        .unwrap();
        fs::write(dir.path().join("b"), "cores = 2\n").unwrap();
        let conf = dir.path().to_str().unwrap().to_owned();
        let load = |extra: Option<&str>| {
            let conf = conf.clone();
            let extra = extra.map(str::to_owned);
            Settings::load(&move |key| match key {
                "NIX_CONF_DIR" => Some(conf.clone()),
                "NIX_CONFIG" => extra.clone(),
                "XDG_CONFIG_DIRS" => Some("/nowhere".to_owned()),
                _ => None,
            })
        };
        let settings = load(Some("keep-going = true")).unwrap();
        assert_eq!(
            (settings.max_jobs, settings.cores, settings.keep_going),
            (3, 2, true)
        );
        assert_eq!(
            load(Some("\nmax-jobs 3")).unwrap_err().to_string(),
            "$NIX_CONFIG:2: expected `key = value`, found `max-jobs 3`"
        );
    }

    #[test]
    fn numbers_lists_and_other_names_as_in_nix() {
        let mut settings = Settings::default();
        settings.set("max-build-log-size", "10M").unwrap();
        assert_eq!(settings.max_build_log_size, Some(10 << 20));
        settings.set("build-max-jobs", "3").unwrap();
        settings.set("build-sandbox-paths", "/a").unwrap();
        settings.set("extra-build-sandbox-paths", "/b").unwrap();
        settings
            .set("extra-substituters", "https://example.org")
            .unwrap();
        assert_eq!(
            (settings.max_jobs, settings.sandbox_paths.join(" ")),
            (3, "/a /b".to_owned())
        );
        for bad in ["-1", "K", "", "1.5", "20000000000G", "1 K"] {
            assert!(settings.set("timeout", bad).is_err(), "{bad}");
        }
        assert!(
            settings.set("extra-max-jobs", "3").is_err(),
            "only lists can be appended to"
        );
    }

    #[test]
    fn files_of_the_user() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let (first, second) = (
            file("first", "cores = 1"),
            file("second", "cores = 2\nmax-jobs = 2"),
        );
        file("own/nix/nix.conf", "cores = 3");
        file("shared/nix/nix.conf", "cores = 4\nmax-jobs = 4");
        let path = |name: &str| dir.path().join(name).display().to_string();
        let load = |variables: &[(&str, String)]| {
            let settings = Settings::load(&|key| match key {
                "NIX_CONF_DIR" => Some("/nowhere".to_owned()),
                key => variables
                    .iter()
                    .find(|(name, _)| *name == key)
                    .map(|(_, value)| value.clone()),
            });
            settings.map(|settings| (settings.cores, settings.max_jobs))
        };
        let xdg = [
            ("XDG_CONFIG_HOME", path("own")),
            ("XDG_CONFIG_DIRS", path("shared")),
        ];
        assert_eq!(
            load(&xdg).unwrap(),
            (3, 4),
            "the user's own file counts most"
        );
        let named = [
            xdg[0].clone(),
            ("NIX_USER_CONF_FILES", format!("{first}:{second}")),
        ];
        assert_eq!(load(&named).unwrap(), (1, 2), "the first one counts most");
        file("own/nix/nix.conf", "cores 3 = 4");
        let message = load(&xdg).unwrap_err().to_string();
        assert!(
            message.ends_with("nix.conf:1: expected `key = value`, found `cores 3 = 4`"),
            "{message}"
        );
    }
}
