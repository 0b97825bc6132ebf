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
    /// The setting `flake-registry`, if it names a file.
    pub global: Option<PathBuf>,
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
struct Entry {
    from: Input,
    to: Input,
    dir: Option<String>,
    exact: bool,
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

/// What an input stands for by the registries, and the directory there, if a registry names one.
///
/// # Errors
/// If no registry knows it, or they know it in a circle.
pub fn lookup(
    files: &RegistryFiles,
    asked: &Input,
    which: Which,
    warn: &dyn Fn(&str),
) -> Result<(Input, Option<String>)> {
    let mut input = asked.clone();
    let mut dir = None;
    if which == Which::No {
        return Ok((input, dir));
    }
    let personal = [&files.user, &files.system]
        .into_iter()
        .filter(|_| which == Which::All);
    let entries: Vec<Entry> = personal
        .chain([&files.global])
        .flatten()
        .flat_map(|file| read(file, warn))
        .collect();
    for _ in 0..100 {
        let entry = entries.iter().find(|entry| {
            if entry.exact {
                entry.from == input
            } else {
                entry.from.contains(&input)
            }
        });
        let Some(entry) = entry else {
            if input.is_direct() {
                return Ok((input, dir));
            }
            return Err(Error::refused(format!(
                "cannot find flake '{shown}' in the flake registries\n\
                 hint: xbuild comes without a registry; write where the flake is (github:OWNER/REPO, git+https://…, path:/…), \
                 or name a registry file with the setting `flake-registry`",
                shown = input.show(),
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
