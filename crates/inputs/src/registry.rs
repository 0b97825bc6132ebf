//! Registries: files that say what a name stands for (version 2; manual, "nix registry").

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use xbuild_flake_ref::{Input, attrs_from_json};

use crate::error::{Error, Result};

/// Where the registries are. One that does not exist is empty.
#[derive(Debug, Clone, Default)]
pub struct RegistryFiles {
    /// The user's: `~/.config/nix/registry.json`.
    pub user: Option<PathBuf>,
    /// The machine's: `/etc/nix/registry.json`.
    pub system: Option<PathBuf>,
    /// The setting `flake-registry`: a file, or a URL it is downloaded from when it is needed; "" is none.
    pub global: String,
}

/// Which registries are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// None.
    No,
    /// The global one.
    Limited,
    /// All.
    All,
}

/// One line of a registry.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) from: Input,
    pub(crate) to: Input,
    pub(crate) dir: Option<String>,
    pub(crate) exact: bool,
}

impl Entry {
    fn is_for(&self, input: &Input) -> bool {
        if self.exact {
            self.from == *input
        } else {
            self.from.contains(input)
        }
    }
}

fn read(file: &Path, warn: &dyn Fn(&str)) -> Vec<Entry> {
    let Ok(text) = fs::read(file) else {
        return Vec::new();
    };
    let shown = file.display();
    let json: Value = match serde_json::from_slice(&text) {
        Ok(json) => json,
        Err(error) => {
            warn(&format!("cannot parse flake registry '{shown}': {error}"));
            return Vec::new();
        }
    };
    match entries(&json, file) {
        Ok(entries) => entries,
        Err(error) => {
            warn(&format!("cannot read flake registry '{shown}': {error}"));
            Vec::new()
        }
    }
}

fn entries(json: &Value, file: &Path) -> Result<Vec<Entry>> {
    let version = json.get("version").and_then(Value::as_u64).unwrap_or(0);
    if version != 2 {
        return Err(Error::refused(format!(
            "flake registry '{}' has unsupported version {version}",
            file.display()
        )));
    }
    let lines = json.get("flakes").and_then(Value::as_array);
    lines
        .into_iter()
        .flatten()
        .map(|line| {
            let attrs = |name| attrs_from_json(line.get(name).unwrap_or(&Value::Null));
            let mut to = attrs("to")?;
            let dir = match to.remove("dir") {
                Some(xbuild_flake_ref::AttrValue::Str(dir)) => Some(dir),
                _ => None,
            };
            Ok(Entry {
                from: Input::from_attrs(attrs("from")?)?,
                to: Input::from_attrs(to)?,
                dir,
                exact: line.get("exact") == Some(&Value::Bool(true)),
            })
        })
        .collect()
}

/// Registries as they are asked, each read once.
pub(crate) struct Registries<'a> {
    /// What counts before all files.
    pub(crate) overrides: &'a [Entry],
    pub(crate) files: &'a RegistryFiles,
    /// Brings the global registry here.
    pub(crate) download: &'a dyn Fn(&str) -> Result<PathBuf>,
    pub(crate) warn: &'a dyn Fn(&str),
}

impl Registries<'_> {
    fn personal(&self) -> Vec<Entry> {
        let files = [&self.files.user, &self.files.system];
        files
            .into_iter()
            .flatten()
            .flat_map(|file| read(file, self.warn))
            .collect()
    }

    fn global(&self) -> Result<Vec<Entry>> {
        let place = self.files.global.as_str();
        Ok(if place.is_empty() {
            Vec::new()
        } else if place.starts_with('/') {
            read(Path::new(place), self.warn)
        } else {
            read(&(self.download)(place)?, self.warn)
        })
    }

    /// What an input stands for, and the directory there, if a registry names one.
    pub(crate) fn resolve(&self, asked: &Input, which: Which) -> Result<(Input, Option<String>)> {
        let mut input = asked.clone();
        let mut dir = None;
        if which == Which::No {
            return Ok((input, dir));
        }
        let mut entries = self.overrides.to_vec();
        if which == Which::All {
            entries.extend(self.personal());
        }
        let mut global = None;
        for _ in 0..100 {
            let mut entry = entries.iter().find(|entry| entry.is_for(&input));
            // What is where it says needs no download.
            if entry.is_none() && !input.is_direct() {
                if global.is_none() {
                    global = Some(self.global()?);
                }
                entry = global.iter().flatten().find(|entry| entry.is_for(&input));
            }
            let Some(entry) = entry else {
                if input.is_direct() {
                    return Ok((input, dir));
                }
                return Err(Error::refused(format!(
                    "cannot find flake '{}' in the flake registries\n\
                     hint: write where the flake is (github:OWNER/REPO, git+https://…, path:/…), or name it in a registry \
                     (~/.config/nix/registry.json, or the setting `flake-registry`)",
                    input.show(),
                )));
            };
            dir.clone_from(&entry.dir);
            input = if entry.exact {
                entry.to.clone()
            } else {
                let reference = input
                    .text("ref")
                    .filter(|_| entry.from.text("ref").is_none());
                let rev = input
                    .text("rev")
                    .filter(|_| entry.from.text("rev").is_none());
                entry.to.with_overrides(reference, rev)?
            };
        }
        Err(Error::refused(format!(
            "cycle detected in flake registry for '{}'",
            asked.show()
        )))
    }
}

/// Whether a registry that is a file knows an input. Nothing is downloaded to find out.
#[must_use]
pub fn is_known(files: &RegistryFiles, asked: &Input) -> bool {
    let registries = Registries {
        overrides: &[],
        files,
        download: &|_| Err(Error::refused("")),
        warn: &|_| {},
    };
    registries.resolve(asked, Which::All).is_ok()
}
