//! `xbuild flake check`: whether the outputs of a flake are what their names promise.

use std::collections::BTreeSet;

use xbuild_eval::value::{Attr, Value, ValueKind};
use xbuild_eval::{EvalError, Evaluator, Pos, Result};
use xbuild_store_model::StorePath;

use crate::flake_nix::error;

/// What is checked.
#[derive(Debug, Clone)]
pub struct CheckOptions {
    /// Also what is for other systems.
    pub all_systems: bool,
    /// Go on after an error.
    pub keep_going: bool,
    /// `system`
    pub system: String,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Checked {
    /// The derivations of `checks.SYSTEM`, which are to be built.
    pub checks: Vec<(String, StorePath)>,
    /// Systems whose outputs were not looked at.
    pub omitted: BTreeSet<String>,
    /// Whether there were errors, after which the check went on.
    pub failed: bool,
}

/// What is told while the check goes on.
#[derive(Debug)]
pub enum Told<'a> {
    /// What is worth a warning.
    Warning(&'a str),
    /// An error after which the check goes on.
    Error(&'a EvalError),
}

/// Checks the outputs of a flake, in the order in which their names are first mentioned.
///
/// # Errors
/// If one is wrong; with [`CheckOptions::keep_going`] only if there are no outputs.
pub fn check(
    ev: &mut Evaluator,
    outputs: Value,
    options: &CheckOptions,
    tell: &dyn Fn(&Evaluator, Told<'_>),
) -> Result<Checked> {
    let mut check = Check {
        ev,
        options,
        tell,
        found: Checked::default(),
    };
    let set = attributes(check.ev, outputs)?;
    // First, as stock Nix does: it is evaluated under other rules there.
    let (jobs, others): (Vec<_>, Vec<_>) =
        set.into_iter().partition(|(name, _)| name == "hydraJobs");
    for (name, attr) in jobs.into_iter().chain(others) {
        let checked = check.output(&name, attr).map_err(|error| {
            error.context(attr.pos, format!("while checking flake output '{name}'"))
        });
        check.report(checked)?;
    }
    Ok(check.found)
}

struct Check<'a> {
    ev: &'a mut Evaluator,
    options: &'a CheckOptions,
    tell: &'a dyn Fn(&Evaluator, Told<'_>),
    found: Checked,
}

/// The attributes of a set with their names, in the order in which these are first mentioned.
fn attributes(ev: &mut Evaluator, value: Value) -> Result<Vec<(String, Attr)>> {
    let set = ev.force_attrs(value, Pos::NONE, "")?;
    let named = |attr: Attr| (ev.name(attr.name).into_owned(), attr);
    Ok(set.iter().map(named).collect())
}

/// Outputs that are known and not checked.
const UNCHECKED: &[&str] = &[
    "lib",
    "darwinConfigurations",
    "darwinModules",
    "flakeModule",
    "flakeModules",
    "herculesCI",
    "homeConfigurations",
    "homeModule",
    "homeModules",
    "nixopsConfigurations",
];

/// Outputs whose names have changed.
const DEPRECATED: &[(&str, &str)] = &[
    ("defaultPackage", "packages.<system>.default"),
    ("defaultApp", "apps.<system>.default"),
    ("defaultTemplate", "templates.default"),
    ("defaultBundler", "bundlers.<system>.default"),
    ("overlay", "overlays.default"),
    ("devShell", "devShells.<system>.default"),
    ("nixosModule", "nixosModules.default"),
];

impl Check<'_> {
    fn warn(&self, text: &str) {
        (self.tell)(self.ev, Told::Warning(text));
    }

    fn report(&mut self, checked: Result<()>) -> Result<()> {
        match checked {
            Err(error) if self.options.keep_going => {
                (self.tell)(self.ev, Told::Error(&error));
                self.found.failed = true;
                Ok(())
            }
            other => other,
        }
    }

    /// The attributes for the systems that are checked.
    fn systems(&mut self, value: Value) -> Result<Vec<(String, Attr)>> {
        let mut checked = Vec::new();
        for (system, attr) in attributes(self.ev, value)? {
            if !system.contains('-') {
                let place = self.ev.show_position(attr.pos);
                let wrong = error(format!("'{system}' is not a valid system type, at {place}"));
                self.report(Err(wrong))?;
            }
            if self.options.all_systems || system == self.options.system {
                checked.push((system, attr));
            } else {
                self.found.omitted.insert(system);
            }
        }
        Ok(checked)
    }

    /// What is below `NAME.SYSTEM.…`.
    fn each_of_systems(
        &mut self,
        name: &str,
        value: Value,
        check: fn(&mut Self, &str, Attr) -> Result<()>,
    ) -> Result<()> {
        for (system, attr) in self.systems(value)? {
            for (inner, attr) in attributes(self.ev, attr.value)? {
                check(self, &format!("{name}.{system}.{inner}"), attr)?;
            }
        }
        Ok(())
    }

    /// What is below `NAME.…`.
    fn each(
        &mut self,
        name: &str,
        value: Value,
        check: fn(&mut Self, &str, Attr) -> Result<()>,
    ) -> Result<()> {
        for (inner, attr) in attributes(self.ev, value)? {
            check(self, &format!("{name}.{inner}"), attr)?;
        }
        Ok(())
    }

    fn output(&mut self, name: &str, attr: Attr) -> Result<()> {
        let value = self.ev.force(attr.value, attr.pos)?;
        if let Some((_, better)) = DEPRECATED.iter().find(|(old, _)| *old == name) {
            self.warn(&format!(
                "flake output attribute '{name}' is deprecated; use '{better}' instead"
            ));
        }
        match name {
            "checks" => self.each_of_systems(name, value, Self::built_derivation),
            "packages" | "devShells" => self.each_of_systems(name, value, Self::derivation),
            "formatter" | "defaultPackage" | "devShell" => {
                for (system, attr) in self.systems(value)? {
                    self.derivation(&format!("{name}.{system}"), attr)?;
                }
                Ok(())
            }
            "apps" => self.each_of_systems(name, value, Self::app),
            "defaultApp" => {
                for (system, attr) in self.systems(value)? {
                    self.app(&format!("{name}.{system}"), attr)?;
                }
                Ok(())
            }
            "legacyPackages" => self.systems(value).map(|_| ()),
            "overlay" => self.overlay(name, attr),
            "overlays" => self.each(name, value, Self::overlay),
            "nixosModule" => self.module(name, attr),
            "nixosModules" => self.each(name, value, Self::module),
            "nixosConfigurations" => self.each(name, value, Self::nixos_configuration),
            "hydraJobs" => self.hydra_jobs(name, attr),
            "defaultTemplate" => self.template(name, attr),
            "templates" => self.each(name, value, Self::template),
            "defaultBundler" => {
                for (system, attr) in self.systems(value)? {
                    self.bundler(&format!("{name}.{system}"), attr)?;
                }
                Ok(())
            }
            "bundlers" => self.each_of_systems(name, value, Self::bundler),
            _ => {
                if !UNCHECKED.contains(&name) {
                    self.warn(&format!("unknown flake output '{name}'"));
                }
                Ok(())
            }
        }
    }

    /// Runs one check and says of what it is.
    fn named(
        &mut self,
        what: &str,
        path: &str,
        attr: Attr,
        check: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let checked = check(self).map_err(|error| {
            error.context(attr.pos, format!("while checking the {what} '{path}'"))
        });
        self.report(checked)
    }

    fn drv_path(&mut self, path: &str, attr: Attr) -> Result<StorePath> {
        let value = self.ev.force(attr.value, attr.pos)?;
        let is_derivation = match value.kind() {
            ValueKind::Attrs(set) => self.ev.is_derivation(set, attr.pos)?,
            _ => false,
        };
        let not = || error(format!("flake attribute '{path}' is not a derivation"));
        if !is_derivation {
            return Err(not());
        }
        let found = self.ev.derivations(value, &[])?.pop().ok_or_else(not)?;
        Ok(found.drv_path)
    }

    fn derivation(&mut self, path: &str, attr: Attr) -> Result<()> {
        self.named("derivation", path, attr, |check| {
            check.drv_path(path, attr).map(|_| ())
        })
    }

    fn built_derivation(&mut self, path: &str, attr: Attr) -> Result<()> {
        self.named("derivation", path, attr, |check| {
            let drv = check.drv_path(path, attr)?;
            let ours = path.split('.').nth(1) == Some(check.options.system.as_str());
            if ours {
                check.found.checks.push((path.to_owned(), drv));
            }
            Ok(())
        })
    }

    fn app(&mut self, path: &str, attr: Attr) -> Result<()> {
        self.named("app definition", path, attr, |check| {
            let attrs = attributes(check.ev, attr.value)?;
            for needed in ["type", "program"] {
                let Some((_, attr)) = attrs.iter().find(|(name, _)| name == needed) else {
                    return Err(error(format!("app '{path}' lacks attribute '{needed}'")));
                };
                check.ev.force_string(attr.value, attr.pos, "")?;
            }
            match attrs.iter().find(|(name, _)| name == "meta") {
                None => check.warn(&format!("app '{path}' lacks attribute 'meta'")),
                Some((_, meta)) => {
                    let meta = attributes(check.ev, meta.value)?;
                    match meta.iter().find(|(name, _)| name == "description") {
                        Some((_, attr)) => {
                            check.ev.force_string_no_context(attr.value, attr.pos, "")?;
                        }
                        None => {
                            check.warn(&format!("app '{path}' lacks attribute 'meta.description'"));
                        }
                    }
                }
            }
            match attrs
                .iter()
                .find(|(name, _)| !["type", "program", "meta"].contains(&name.as_str()))
            {
                Some((name, _)) => Err(error(format!(
                    "app '{path}' has unsupported attribute '{name}'"
                ))),
                None => Ok(()),
            }
        })
    }

    fn overlay(&mut self, path: &str, attr: Attr) -> Result<()> {
        self.named("overlay", path, attr, |check| {
            let value = check.ev.force(attr.value, attr.pos)?;
            let Some(function) = value.as_lambda() else {
                return Err(error(format!(
                    "overlay is not a function, but {} instead",
                    value.kind().type_name()
                )));
            };
            let name = function.code.arg.map(|name| check.ev.name(name));
            let fits = name.is_some_and(|name| matches!(&*name, "final" | "_final" | "_"));
            if function.code.formals.is_some() || !fits {
                return Err(error("overlay does not take an argument named 'final'"));
            }
            Ok(())
        })
    }

    fn module(&mut self, path: &str, attr: Attr) -> Result<()> {
        self.named("NixOS module", path, attr, |check| {
            check.ev.force(attr.value, attr.pos).map(|_| ())
        })
    }

    fn nixos_configuration(&mut self, path: &str, attr: Attr) -> Result<()> {
        self.named("NixOS configuration", path, attr, |check| {
            let value = check
                .ev
                .select_path(attr.value, "config.system.build.toplevel")?;
            match value.kind() {
                ValueKind::Attrs(set) if check.ev.is_derivation(set, attr.pos)? => Ok(()),
                _ => Err(error(
                    "attribute 'config.system.build.toplevel' is not a derivation",
                )),
            }
        })
    }

    fn hydra_jobs(&mut self, path: &str, attr: Attr) -> Result<()> {
        self.named("Hydra jobset", path, attr, |check| {
            let set = check.ev.force_attrs(attr.value, attr.pos, "")?;
            if check.ev.is_derivation(set, attr.pos)? {
                return Err(error("jobset should not be a derivation at top-level"));
            }
            for (name, inner) in attributes(check.ev, attr.value)? {
                let path = format!("{path}.{name}");
                let set = check.ev.force_attrs(inner.value, inner.pos, "")?;
                if check.ev.is_derivation(set, inner.pos)? {
                    check.derivation(&path, inner)?;
                } else {
                    check.hydra_jobs(&path, inner)?;
                }
            }
            Ok(())
        })
    }

    fn template(&mut self, path: &str, attr: Attr) -> Result<()> {
        self.named("template", path, attr, |check| {
            let attrs = attributes(check.ev, attr.value)?;
            let get = |wanted: &str| attrs.iter().find(|(name, _)| name == wanted);
            let lacks = |name: &str| error(format!("template '{path}' lacks attribute '{name}'"));
            let (_, place) = get("path").ok_or_else(|| lacks("path"))?;
            let place = check.ev.coerce_to_real_path(place.value, place.pos, "")?;
            if !matches!(check.ev.host.file_type(&place), Ok(Some(_))) {
                return Err(error(format!(
                    "template '{path}' refers to a non-existent path '{}'",
                    place.display()
                )));
            }
            let (_, text) = get("description").ok_or_else(|| lacks("description"))?;
            check.ev.force_string_no_context(text.value, text.pos, "")?;
            let known = ["path", "description", "welcomeText"];
            match attrs
                .iter()
                .find(|(name, _)| !known.contains(&name.as_str()))
            {
                Some((name, _)) => Err(error(format!(
                    "template '{path}' has unsupported attribute '{name}'"
                ))),
                None => Ok(()),
            }
        })
    }

    fn bundler(&mut self, path: &str, attr: Attr) -> Result<()> {
        self.named("bundler", path, attr, |check| {
            let value = check.ev.force(attr.value, attr.pos)?;
            if value.as_lambda().is_some() {
                Ok(())
            } else {
                Err(error("bundler must be a function"))
            }
        })
    }
}
