//! `xbuild flake show`: the outputs of a flake, with the names of its derivations.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use xbuild_eval::value::{Attr, Value, ValueKind};
use xbuild_eval::{EvalError, Evaluator, Pos, Result};

use crate::flake_nix::error;
use crate::outputs::members;

/// What is shown.
#[derive(Debug, Clone)]
pub struct ShowOptions {
    /// As JSON.
    pub json: bool,
    /// Also `legacyPackages`.
    pub legacy: bool,
    /// Also what is for other systems.
    pub all_systems: bool,
    /// `system`
    pub system: String,
}

/// Something to be printed.
#[derive(Debug)]
pub enum Told {
    /// A line for people, of the tree.
    Line(String),
    /// What is worth a warning.
    Warning(String),
}

/// Shows the outputs of a flake whose locked reference is `title`, each line as soon as it is known, and gives them as JSON.
///
/// # Errors
/// If an output cannot be evaluated, or `tell` fails.
pub fn show(
    ev: &mut Evaluator,
    outputs: impl FnOnce(&mut Evaluator) -> Result<Value>,
    title: &str,
    options: &ShowOptions,
    tell: &mut dyn FnMut(Told) -> Result<()>,
) -> Result<Json> {
    let mut visit = Visit { ev, options, tell };
    visit.line(title.to_owned())?;
    let outputs = outputs(visit.ev)?;
    visit.recurse(outputs, &[], "")
}

struct Visit<'a> {
    ev: &'a mut Evaluator,
    options: &'a ShowOptions,
    tell: &'a mut dyn FnMut(Told) -> Result<()>,
}

/// Whether the error is that a derivation would have to be built.
fn is_import_from_derivation(error: &EvalError) -> bool {
    error
        .data()
        .message
        .contains("because the option 'allow-import-from-derivation' is disabled")
}

/// Sets that are there for each system.
const BY_SYSTEM: &[&str] = &["apps", "checks", "devShells", "legacyPackages", "packages"];

impl Visit<'_> {
    /// A line of the tree.
    fn line(&mut self, line: String) -> Result<()> {
        if self.options.json {
            return Ok(());
        }
        (self.tell)(Told::Line(line))
    }

    fn warn(&mut self, warning: String) -> Result<()> {
        (self.tell)(Told::Warning(warning))
    }

    /// The attributes of an output that must be a set.
    fn members(&mut self, value: Value, path: &[String]) -> Result<Vec<(String, Attr)>> {
        let value = self.ev.force(value, Pos::NONE)?;
        if value.as_attrs().is_none() {
            return Err(error(format!(
                "'{}' is not an attribute set",
                path.join(".")
            )));
        }
        members(self.ev, value)
    }

    fn get(&mut self, value: Value, name: &str) -> Result<Option<Value>> {
        let value = self.ev.force(value, Pos::NONE)?;
        let Some(set) = value.as_attrs() else {
            return Ok(None);
        };
        let name = self.ev.intern(name.as_bytes());
        match set.get(name) {
            Some(attr) => self.ev.force(attr.value, attr.pos).map(Some),
            None => Ok(None),
        }
    }

    fn text(&mut self, value: Value, path: &str) -> Result<String> {
        match value.as_string() {
            Some(text) => Ok(String::from_utf8_lossy(text.bytes()).into_owned()),
            None => Err(error(format!(
                "'{path}' is not a string but {}",
                value.kind().type_name()
            ))),
        }
    }

    /// Sets without anything in them are left out: some flakes have them only to be lazy.
    fn has_content(&mut self, value: Value, path: &[String]) -> bool {
        let Some(first) = path.first() else {
            return true;
        };
        let looked_into = match path.len() {
            1 => {
                BY_SYSTEM.contains(&first.as_str())
                    || [
                        "formatter",
                        "nixosConfigurations",
                        "nixosModules",
                        "overlays",
                    ]
                    .contains(&first.as_str())
            }
            2 => BY_SYSTEM.contains(&first.as_str()),
            _ => false,
        };
        if !looked_into {
            return true;
        }
        let Ok(attrs) = members(self.ev, value) else {
            return true;
        };
        attrs.into_iter().any(|(name, attr)| {
            let mut path = path.to_vec();
            path.push(name);
            self.has_content(attr.value, &path)
        })
    }

    /// What is below an output whose own line is printed.
    fn recurse(&mut self, value: Value, path: &[String], next: &str) -> Result<Json> {
        let mut attrs = Vec::new();
        for (name, attr) in self.members(value, path)? {
            let mut path = path.to_vec();
            path.push(name.clone());
            if self.has_content(attr.value, &path) {
                attrs.push((name, attr, path));
            }
        }
        let mut json = BTreeMap::new();
        let count = attrs.len();
        for (index, (name, attr, path)) in attrs.into_iter().enumerate() {
            let last = index + 1 == count;
            let (branch, more) = if last {
                ("└───", "    ")
            } else {
                ("├───", "│   ")
            };
            let head = format!("{next}{branch}{name}");
            let below = self.output(attr.value, &path, &head, &format!("{next}{more}"))?;
            json.insert(name, below);
        }
        Ok(Json::Object(json.into_iter().collect()))
    }

    /// One output, and what is below it.
    fn output(&mut self, value: Value, path: &[String], head: &str, next: &str) -> Result<Json> {
        let shown = self.output_or_error(value, path, head, next);
        match shown {
            // Of nixpkgs, not everything can be evaluated.
            Err(_) if path.first().is_some_and(|name| name == "legacyPackages") => {
                Ok(Json::Object(serde_json::Map::new()))
            }
            other => other,
        }
    }

    fn output_or_error(
        &mut self,
        value: Value,
        path: &[String],
        head: &str,
        next: &str,
    ) -> Result<Json> {
        let first = path.first().map(String::as_str).unwrap_or_default();
        let is = |names: &[&str]| names.contains(&first);
        let length = path.len();
        let recursed = (length == 1
            && is(&[
                "defaultPackage",
                "devShell",
                "formatter",
                "nixosConfigurations",
                "nixosModules",
                "defaultApp",
                "templates",
                "overlays",
            ]))
            || (length <= 2 && is(&["checks", "packages", "devShells", "apps"]));
        if recursed {
            self.line(head.to_owned())?;
            return self.recurse(value, path, next);
        }
        if (length == 2 && is(&["defaultPackage", "devShell", "formatter"]))
            || (length == 3 && is(&["checks", "packages", "devShells"]))
        {
            if self.is_foreign(path) {
                return self.omitted(path, head, "(use '--all-systems' to show)");
            }
            return self.derivation_or(value, path, head, |visit| {
                let dotted = path.join(".");
                visit.warn(format!("{dotted}.name is not a derivation"))?;
                Ok(Json::Object(serde_json::Map::new()))
            });
        }
        if is(&["hydraJobs"]) {
            return self.derivation_or(value, path, head, |visit| {
                visit.line(head.to_owned())?;
                visit.recurse(value, path, next)
            });
        }
        if is(&["legacyPackages"]) {
            if length == 1 {
                self.line(head.to_owned())?;
                return self.recurse(value, path, next);
            }
            if !self.options.legacy {
                return self.omitted(path, head, "(use '--legacy' to show)");
            }
            if self.is_foreign(path) {
                return self.omitted(path, head, "(use '--all-systems' to show)");
            }
            return self.derivation_or(value, path, head, |visit| {
                if length <= 2 {
                    visit.line(head.to_owned())?;
                    visit.recurse(value, path, next)
                } else {
                    Ok(Json::Object(serde_json::Map::new()))
                }
            });
        }
        if (length == 2 && is(&["defaultApp"])) || (length == 3 && is(&["apps"])) {
            return self.app(value, path, head);
        }
        if (length == 1 && is(&["defaultTemplate"])) || (length == 2 && is(&["templates"])) {
            let dotted = format!("{}.description", path.join("."));
            let description = match self.get(value, "description")? {
                Some(description) => self.text(description, &dotted)?,
                None => return Err(error(format!("attribute '{dotted}' does not exist"))),
            };
            self.line(format!("{head}: template: {description}"))?;
            return Ok(object(&[
                ("description", Json::from(description)),
                ("type", Json::from("template")),
            ]));
        }
        let (kind, text) = match (length, first) {
            (1, "overlay") | (2, "overlays") => ("nixpkgs-overlay", "Nixpkgs overlay"),
            (2, "nixosConfigurations") => ("nixos-configuration", "NixOS configuration"),
            (1, "nixosModule") | (2, "nixosModules") => ("nixos-module", "NixOS module"),
            _ => ("unknown", "unknown"),
        };
        self.line(format!("{head}: {text}"))?;
        Ok(object(&[("type", Json::from(kind))]))
    }

    fn is_foreign(&self, path: &[String]) -> bool {
        !self.options.all_systems && path.get(1).is_some_and(|name| *name != self.options.system)
    }

    fn omitted(&mut self, path: &[String], head: &str, why: &str) -> Result<Json> {
        if self.options.json {
            let path = path.join(".");
            self.warn(format!("{path} omitted {why}"))?;
        } else {
            self.line(format!("{head} omitted {why}"))?;
        }
        Ok(Json::Object(serde_json::Map::new()))
    }

    /// A derivation, or something else. What would have to be built first is left out.
    fn derivation_or(
        &mut self,
        value: Value,
        path: &[String],
        head: &str,
        other: impl FnOnce(&mut Self) -> Result<Json>,
    ) -> Result<Json> {
        let shown = self.derivation(value, path, head);
        let shown = match shown {
            Ok(Some(json)) => Ok(json),
            Ok(None) => other(self),
            Err(error) => Err(error),
        };
        match shown {
            Err(error) if is_import_from_derivation(&error) => {
                self.omitted(path, head, "due to use of import from derivation")
            }
            other => other,
        }
    }

    fn derivation(&mut self, value: Value, path: &[String], head: &str) -> Result<Option<Json>> {
        let value = self.ev.force(value, Pos::NONE)?;
        let ValueKind::Attrs(set) = value.kind() else {
            return Ok(None);
        };
        if !self.ev.is_derivation(set, Pos::NONE)? {
            return Ok(None);
        }
        let dotted = path.join(".");
        let name = match self.get(value, "name")? {
            Some(name) => self.text(name, &format!("{dotted}.name"))?,
            None => {
                return Err(error(format!("attribute '{dotted}.name' does not exist")));
            }
        };
        if !self.options.json {
            let what = match (path.len(), path[0].as_str()) {
                (2, "devShell") | (2.., "devShells") => "development environment",
                (3, "checks") | (1.., "hydraJobs") => "derivation",
                _ => "package",
            };
            self.line(format!("{head}: {what} '{name}'"))?;
            return Ok(Some(Json::Null));
        }
        let description = self.description(value, path)?.unwrap_or_default();
        Ok(Some(object(&[
            ("description", Json::from(description)),
            ("name", Json::from(name)),
            ("type", Json::from("derivation")),
        ])))
    }

    fn description(&mut self, value: Value, path: &[String]) -> Result<Option<String>> {
        let Some(meta) = self.get(value, "meta")? else {
            return Ok(None);
        };
        match self.get(meta, "description")? {
            Some(text) => {
                let path = format!("{}.meta.description", path.join("."));
                self.text(text, &path).map(Some)
            }
            None => Ok(None),
        }
    }

    fn app(&mut self, value: Value, path: &[String], head: &str) -> Result<Json> {
        let kind = match self.get(value, "type")? {
            Some(kind) => self.text(kind, &format!("{}.type", path.join(".")))?,
            None => String::new(),
        };
        let description = self.description(value, path)?;
        if kind != "app" {
            return Err(error("not an app definition"));
        }
        let shown = description.as_deref().unwrap_or("no description");
        self.line(format!("{head}: app: {shown}"))?;
        let mut json = vec![("type", Json::from("app"))];
        if let Some(description) = description {
            json.insert(0, ("description", Json::from(description)));
        }
        Ok(object(&json))
    }
}

fn object(fields: &[(&str, Json)]) -> Json {
    Json::Object(
        fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
    )
}
