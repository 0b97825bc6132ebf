//! Settings: the keys of `nix.conf` that xbuild honours, from files, the environment and `--option`.
//!
//! Syntax and names are Nix's (manual, "nix.conf"): `key = value` lines, `#` comments, `include FILE` and
//! `!include FILE`, `extra-KEY` appends to a list. Keys that Nix knows and xbuild does not need are accepted from
//! files in silence, since such a file is shared with Nix; on the command line an unknown key is an error.

mod error;
mod files;
mod keys;

use std::sync::OnceLock;
use std::time::Duration;

use crate::eval_settings::EvalSettings;
use crate::input_settings::InputSettings;
use crate::platform::is_emulator_entry;
use crate::store_settings::StoreSettings;

pub use error::SettingError;
pub use keys::{KeyKind, kind_of};

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
    /// `system-features`: what this machine has, of what derivations may ask for with `requiredSystemFeatures`.
    pub system_features: Vec<String>,
    /// `max-call-depth`: of the evaluator.
    pub max_call_depth: usize,
    /// `show-trace`: all frames of an evaluation error.
    pub show_trace: bool,
    /// How expressions are evaluated.
    pub eval: EvalSettings,
    /// How inputs are fetched and flakes are locked.
    pub inputs: InputSettings,
    /// How the store is used.
    pub store: StoreSettings,
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
            system_features: default_features(),
            max_call_depth: 10_000,
            show_trace: false,
            eval: EvalSettings::default(),
            inputs: InputSettings::default(),
            store: StoreSettings::default(),
        }
    }
}

/// The features that stock Nix finds on a machine like this one, without `uid-range`, which builds here do not have.
fn default_features() -> Vec<String> {
    let mut features = vec!["benchmark", "big-parallel", "nixos-test"];
    let kvm = rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK;
    if rustix::fs::access("/dev/kvm", kvm).is_ok() {
        features.push("kvm");
    }
    features.into_iter().map(str::to_owned).collect()
}

/// The number of processors this process may use, by affinity and control groups when this is first asked.
#[must_use]
pub fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS
        .get_or_init(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
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

/// A number, perhaps with a binary unit: `64`, `10M` (K, M, G, T), as in Nix.
pub(crate) fn number_with_unit(text: &str) -> Option<u64> {
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
        let (base, append) = match key.strip_prefix("extra-").map(keys::canonical) {
            Some(base) if keys::is_list(base) => (base, true),
            _ => (keys::canonical(key), false),
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
        if let Some(result) = self.store.set(base, value) {
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
            "system-features" => list(&mut self.system_features),
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
            other if keys::is_ignored(other) => {}
            _ => {
                return Err(SettingError::Unknown {
                    key: key.to_owned(),
                    suggestion: keys::similar(key),
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
}
