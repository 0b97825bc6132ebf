//! Settings from files and the environment.

use std::fs;
use std::path::{Path, PathBuf};

use super::{SettingError, Settings};

impl Settings {
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

#[cfg(test)]
mod tests {
    use super::*;

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
