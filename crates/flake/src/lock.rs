//! Locking: a new lock file by the flags, and whether and where it is written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use xbuild_eval::host::Registries;
use xbuild_eval::{Evaluator, Pos, Result};
use xbuild_flake_ref::{FlakeRef, Input, Scheme};

use crate::flake_nix::{Flake, FlakeInput, error};
use crate::flakes::Flakes;
use crate::lock_file::{InputPath, LockFile, NodeId, show_input_path};
use crate::locking::{Level, Locking, OldFile, Override};
use crate::place::below;

/// How a flake is locked.
#[derive(Debug, Clone)]
pub struct LockFlags {
    /// The old lock file counts for nothing.
    pub recreate: bool,
    /// The lock file may change (without `--no-update-lock-file`).
    pub update: bool,
    /// A changed lock file is written (without `--no-write-lock-file`).
    pub write: bool,
    /// That it cannot be, because an input is not locked, is an error and no warning.
    pub fail_on_unlocked: bool,
    /// Whether registries are asked; otherwise as [`FlakeOptions::use_registries`] says.
    pub use_registries: Option<bool>,
    /// Inputs may be locked that were not (without pure evaluation).
    pub allow_unlocked: bool,
    /// A changed lock file is committed.
    pub commit: bool,
    /// The lock file to read in place of the flake's.
    pub reference_file: Option<PathBuf>,
    /// The lock file to write in place of the flake's.
    pub output_file: Option<PathBuf>,
    /// What inputs are to be, whatever `flake.nix` says.
    pub overrides: BTreeMap<InputPath, FlakeRef>,
    /// Inputs whose locks count for nothing.
    pub updates: BTreeSet<InputPath>,
    /// Flakes whose inputs count before the registries.
    pub inputs_from: Vec<FlakeRef>,
    /// What counts before the registries: a name, and what it stands for.
    pub registry: Vec<(FlakeRef, FlakeRef)>,
}

impl Default for LockFlags {
    fn default() -> Self {
        Self {
            recreate: false,
            update: true,
            write: true,
            fail_on_unlocked: false,
            use_registries: None,
            allow_unlocked: true,
            commit: false,
            reference_file: None,
            output_file: None,
            overrides: BTreeMap::new(),
            updates: BTreeSet::new(),
            inputs_from: Vec::new(),
            registry: Vec::new(),
        }
    }
}

/// A flake with all of its inputs known.
#[derive(Debug, Clone)]
pub struct LockedFlake {
    /// The flake.
    pub flake: Flake,
    /// Its inputs.
    pub lock_file: LockFile,
    /// The directories, in the store, of those that were fetched.
    pub node_dirs: BTreeMap<NodeId, PathBuf>,
}

impl Flakes {
    /// Locks a flake: fetches what is not locked, and writes the lock file if it changes and can be written.
    ///
    /// # Errors
    /// If something cannot be fetched or read, or the flags do not allow what would have to be done.
    pub fn lock(
        &self,
        ev: &mut Evaluator,
        top: &FlakeRef,
        flags: &LockFlags,
    ) -> Result<LockedFlake> {
        top.input
            .require_features(ev.settings.has_feature("flakes"))
            .and_then(|()| {
                if ev.settings.has_feature("flakes") {
                    Ok(())
                } else {
                    Err(xbuild_flake_ref::RefError::Feature("flakes"))
                }
            })
            .map_err(|failed| error(failed.to_string()))?;
        let use_registries = flags.use_registries.unwrap_or(self.options.use_registries);
        let registries = |which| {
            if use_registries {
                which
            } else {
                Registries::No
            }
        };
        for (from, to) in &flags.registry {
            let dir = Some(to.subdir.clone()).filter(|dir| !dir.is_empty());
            let (from, to) = (from.input.clone(), to.input.clone());
            self.inputs.override_registry(from, to, dir);
        }
        for reference in &flags.inputs_from {
            self.take_inputs_from(ev, reference, flags)?;
        }
        let flake = self.get_flake(ev, top, registries(Registries::All), &[])?;
        let shown = flake.locked.show();
        self.lock_flake(ev, top, flags, flake, registries(Registries::Limited))
            .map_err(|failed| {
                failed.context(
                    Pos::NONE,
                    format!("while updating the lock file of flake '{shown}'"),
                )
            })
    }

    /// Lets the names of a flake's inputs stand for what they are locked to.
    fn take_inputs_from(
        &self,
        ev: &mut Evaluator,
        reference: &FlakeRef,
        flags: &LockFlags,
    ) -> Result<()> {
        let flags = LockFlags {
            write: false,
            use_registries: flags.use_registries,
            ..LockFlags::default()
        };
        let locked = self.lock(ev, reference, &flags)?;
        for (name, locked) in locked.lock_file.root_inputs() {
            let attrs = [("type", "indirect"), ("id", name)];
            let attrs = attrs.map(|(name, value)| (name.to_owned(), value.to_owned().into()));
            let from = Input::from_attrs(attrs.into_iter().collect())
                .map_err(|failed| error(failed.to_string()))?;
            let dir = Some(locked.subdir.clone()).filter(|dir| !dir.is_empty());
            self.inputs
                .override_registry(from, locked.input.clone(), dir);
        }
        Ok(())
    }

    fn lock_flake(
        &self,
        ev: &mut Evaluator,
        top: &FlakeRef,
        flags: &LockFlags,
        mut flake: Flake,
        registries: Registries,
    ) -> Result<LockedFlake> {
        let old = match &flags.reference_file {
            Some(file) => self.read_lock_file(ev, file, false)?,
            None => self.read_lock_file(ev, &flake.dir().join("flake.lock"), true)?,
        };
        let mut locking = Locking {
            flakes: self,
            flags,
            registries,
            old: old.clone(),
            new: LockFile::default(),
            overrides: BTreeMap::new(),
            used_overrides: BTreeSet::new(),
            used_updates: BTreeSet::new(),
            node_dirs: BTreeMap::from([(LockFile::ROOT, flake.dir().to_owned())]),
            above: Vec::new(),
        };
        for (path, reference) in &flags.overrides {
            locking.overrides.insert(
                path.clone(),
                Override {
                    input: FlakeInput {
                        reference: Some(reference.clone()),
                        ..FlakeInput::default()
                    },
                    dir: flake.dir().to_owned(),
                    parent: None,
                },
            );
        }
        let old_root = (!flags.recreate).then_some((OldFile::Top, LockFile::ROOT));
        let dir = flake.dir().to_owned();
        let inputs = flake.inputs.clone();
        locking.inputs_of(
            ev,
            &Level {
                inputs: &inputs,
                node: LockFile::ROOT,
                path: &[],
                old: old_root,
                follows_prefix: &[],
                dir: &dir,
                trusted: false,
            },
        )?;
        for (path, reference) in &flags.overrides {
            if !locking.used_overrides.contains(path) {
                self.warn(
                    ev,
                    &format!(
                        "the flag '--override-input {} {}' does not match any input",
                        show_input_path(path),
                        reference.show()
                    ),
                );
            }
        }
        for path in &flags.updates {
            if !locking.used_updates.contains(path) {
                let shown = show_input_path(path);
                self.warn(
                    ev,
                    &format!("'{shown}' does not match any input of this flake"),
                );
            }
        }
        let (new, mut node_dirs) = (locking.new, locking.node_dirs);
        new.check().map_err(error)?;
        if !new.is_same(&old) || flags.output_file.is_some() {
            self.write_lock_file(ev, top, flags, &mut flake, &old, &new)?;
        }
        node_dirs.insert(LockFile::ROOT, flake.dir().to_owned());
        Ok(LockedFlake {
            flake,
            lock_file: new,
            node_dirs,
        })
    }

    fn write_lock_file(
        &self,
        ev: &mut Evaluator,
        top: &FlakeRef,
        flags: &LockFlags,
        flake: &mut Flake,
        old: &LockFile,
        new: &LockFile,
    ) -> Result<()> {
        let diff = new.diff(old);
        let shown = top.show();
        if !flags.write {
            self.warn(
                ev,
                &format!(
                    "not writing modified lock file of flake '{shown}':\n{}",
                    diff.trim_end()
                ),
            );
            flake.force_dirty = true;
            return Ok(());
        }
        let source = match top.input.scheme() {
            Some(Scheme::Path) => top
                .input
                .text("path")
                .filter(|path| path.starts_with('/'))
                .map(PathBuf::from),
            Some(Scheme::Git) => self
                .inputs
                .git_work_tree(&top.input)
                .map_err(|failed| error(failed.to_string()))?,
            _ => None,
        };
        if source.is_none() && flags.output_file.is_none() {
            return Err(error(format!(
                "cannot write modified lock file of flake '{shown}' (use '--no-write-lock-file' to ignore)"
            )));
        }
        if let Some(unlocked) = new.unlocked(self.options.allow_dirty_locks) {
            let unlocked = unlocked.show();
            if flags.fail_on_unlocked {
                return Err(error(format!(
                    "Not writing lock file of flake '{shown}' because it has an unlocked input ('{unlocked}'). Use '--allow-dirty-locks' to allow this anyway."
                )));
            }
            if self.options.warn_dirty {
                self.warn(ev, &format!("not writing lock file of flake '{shown}' because it has an unlocked input ('{unlocked}')"));
            }
            return Ok(());
        }
        if !flags.update {
            return Err(error(format!(
                "flake '{shown}' requires lock file changes but they're not allowed due to '--no-update-lock-file'"
            )));
        }
        let text = format!("{}\n", new.to_text());
        let write = |file: &Path| {
            std::fs::write(file, &text)
                .map_err(|failed| error(format!("cannot write '{}': {failed}", file.display())))
        };
        if let Some(file) = &flags.output_file {
            if flags.commit {
                return Err(error(
                    "'--commit-lock-file' and '--output-lock-file' are incompatible",
                ));
            }
            write(file)?;
        } else if let Some(source) = source {
            let name = below(Path::new("/"), &top.subdir).join("flake.lock");
            let name = name.strip_prefix("/").unwrap_or(&name);
            let file = source.join(name);
            let existed = file.exists();
            let changes = diff.trim_end();
            let quoted = format!("\"{}\"", file.display());
            self.warn(
                ev,
                &match (existed, changes.is_empty()) {
                    (false, _) => format!("creating lock file {quoted}: \n{changes}"),
                    (true, true) => format!("updating lock file {quoted}"),
                    (true, false) => format!("updating lock file {quoted}:\n{changes}"),
                },
            );
            let name = name.display().to_string();
            let message = flags.commit.then(|| {
                let summary = match self.options.commit_lock_file_summary.as_str() {
                    "" => format!("{name}: {}", if existed { "Update" } else { "Add" }),
                    summary => summary.to_owned(),
                };
                format!("{summary}\n\nFlake lock file updates:\n\n{diff}")
            });
            if top.input.scheme() == Some(Scheme::Git) {
                self.inputs
                    .put_git_file(&top.input, &name, text.as_bytes(), message.as_deref())
                    .map_err(|failed| error(failed.to_string()))?;
            } else {
                write(&file)?;
            }
        }
        // As in Nix 2.34, this evaluation goes on with the tree as it was before.
        Ok(())
    }
}
