//! Locking: from `flake.nix` and the old lock file to a new one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use xbuild_eval::host::{FetchedTree, HostError, Registries};
use xbuild_eval::{EvalError, Evaluator, Pos, Result};
use xbuild_flake_ref::{FlakeRef, Input, Scheme};
use xbuild_inputs::Inputs;
use xbuild_store_model::STORE_DIR;

use crate::flake_nix::{Flake, FlakeInput, Reader, References, error};
use crate::lock_file::{Edge, InputPath, LockFile, LockedNode, NodeId, show_input_path};

/// What does not depend on the flake; the names of settings are those of `nix.conf`.
#[derive(Debug, Clone)]
pub struct FlakeOptions {
    /// `use-registries`
    pub use_registries: bool,
    /// `allow-dirty-locks`
    pub allow_dirty_locks: bool,
    /// `warn-dirty`
    pub warn_dirty: bool,
    /// `commit-lock-file-summary`
    pub commit_lock_file_summary: String,
}

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

/// Locks flakes.
pub struct Flakes {
    pub(crate) options: FlakeOptions,
    pub(crate) inputs: Rc<Inputs>,
}

fn host_error(failed: &HostError) -> EvalError {
    error(failed.to_string())
}

/// The directory below another; an empty name is the directory itself.
fn below(dir: &Path, name: &str) -> PathBuf {
    if name.is_empty() {
        dir.to_owned()
    } else {
        normal(&dir.join(name))
    }
}

fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::from("/");
    for component in path.components() {
        match component {
            std::path::Component::Normal(name) => normal.push(name),
            std::path::Component::ParentDir => {
                normal.pop();
            }
            _ => {}
        }
    }
    normal
}

/// The store path that a logical path is in.
pub(crate) fn tree_root(path: &Path) -> PathBuf {
    let depth = Path::new(STORE_DIR).components().count() + 1;
    path.components().take(depth).collect()
}

impl Flakes {
    /// `inputs` is who writes lock files, and fetches.
    #[must_use]
    pub fn new(options: FlakeOptions, inputs: Rc<Inputs>) -> Self {
        Self { options, inputs }
    }

    pub(crate) fn warn(&self, ev: &Evaluator, text: &str) {
        ev.host.message(format!("warning: {text}").as_bytes());
    }

    fn fetch(&self, ev: &mut Evaluator, input: &Input) -> Result<FetchedTree> {
        ev.fetch_tree(input).map_err(|failed| {
            host_error(&failed).context(
                Pos::NONE,
                format!("while fetching the input '{}'", input.show()),
            )
        })
    }

    /// What an input stands for, and what is fetched for it.
    fn fetch_resolved(
        &self,
        ev: &mut Evaluator,
        reference: &FlakeRef,
        registries: Registries,
    ) -> Result<(FlakeRef, FetchedTree)> {
        let mut subdir = reference.subdir.clone();
        let mut input = reference.input.clone();
        if !input.is_direct() {
            if registries == Registries::No {
                return Err(error(format!(
                    "'{}' is an indirect flake reference, but registry lookups are not allowed",
                    input.show()
                )));
            }
            let (resolved, dir) = ev
                .host
                .resolve_input(&input, registries)
                .map_err(|failed| host_error(&failed))?;
            input = resolved;
            subdir = dir.unwrap_or(subdir);
        }
        let fetched = self.fetch(ev, &input)?;
        Ok((FlakeRef { input, subdir }, fetched))
    }

    fn get_flake(
        &self,
        ev: &mut Evaluator,
        original: &FlakeRef,
        registries: Registries,
        lock_root: &[String],
    ) -> Result<Flake> {
        let (resolved, fetched) = self.fetch_resolved(ev, original, registries)?;
        let locked_as = |fetched: &FetchedTree| FlakeRef {
            input: fetched.input.clone(),
            subdir: resolved.subdir.clone(),
        };
        let read = |ev: &mut Evaluator, fetched: &FetchedTree| {
            let root = PathBuf::from(fetched.path.to_string());
            let dir = below(&root, &resolved.subdir);
            self.check_flake_nix(ev, &resolved, &fetched.input, &dir)?;
            Reader {
                ev,
                root: &root,
                lock_root,
                dir,
            }
            .read(References {
                original: original.clone(),
                resolved: resolved.clone(),
                locked: locked_as(fetched),
            })
        };
        let flake = read(ev, &fetched)?;
        if flake.self_attrs.is_empty() {
            return Ok(flake);
        }
        // The tree may have to be another one, by what the flake says of itself.
        let mut input = fetched.input.clone();
        for (name, value) in &flake.self_attrs {
            if !["submodules", "lfs"].contains(&name.as_str()) {
                return Err(error(format!(
                    "flake 'self' attribute '{name}' is not supported"
                )));
            }
            input.attrs.insert(name.clone(), value.clone());
        }
        if input == fetched.input {
            return Ok(flake);
        }
        input.attrs.remove("narHash");
        let fetched = self.fetch(ev, &input)?;
        read(ev, &fetched)
    }

    /// Says why there is no `flake.nix`, if there is none.
    fn check_flake_nix(
        &self,
        ev: &Evaluator,
        resolved: &FlakeRef,
        fetched: &Input,
        dir: &Path,
    ) -> Result<()> {
        let file = dir.join("flake.nix");
        if !matches!(ev.host.file_type(&file), Ok(None)) {
            return Ok(());
        }
        let name = below(Path::new("/"), &resolved.subdir).join("flake.nix");
        let name = name.strip_prefix("/").unwrap_or(&name).display();
        let input = &resolved.input;
        let is_work_tree = input.scheme() == Some(Scheme::Git)
            && input.text("ref").is_none()
            && input.text("rev").is_none();
        let work_tree = self
            .inputs
            .git_work_tree(input)
            .ok()
            .flatten()
            .filter(|_| is_work_tree);
        let Some(work_tree) = work_tree else {
            return Err(error(match input.scheme() {
                Some(Scheme::Path) => format!("path '{}' does not exist", file.display()),
                _ => format!("path '«{}»/{name}' does not exist", fetched.show()),
            }));
        };
        let shown = work_tree.display();
        Err(error(
            if work_tree.join(&resolved.subdir).join("flake.nix").exists() {
                format!(
                    "Path '{name}' in the repository \"{shown}\" is not tracked by Git.\n\nTo make it visible to Nix, run:\n\ngit -C \"{shown}\" add \"{name}\""
                )
            } else {
                format!("Path '{name}' does not exist in Git repository \"{shown}\".")
            },
        ))
    }

    fn read_lock_file(&self, ev: &Evaluator, file: &Path, logical: bool) -> Result<LockFile> {
        let text = if logical {
            match ev.host.file_type(file) {
                Ok(Some(_)) => ev
                    .host
                    .read_file(file)
                    .map_err(|failed| host_error(&failed))?,
                _ => return Ok(LockFile::default()),
            }
        } else {
            match std::fs::read(file) {
                Ok(text) => text,
                Err(failed) if failed.kind() == std::io::ErrorKind::NotFound => {
                    return Ok(LockFile::default());
                }
                Err(failed) => {
                    return Err(error(format!("cannot read '{}': {failed}", file.display())));
                }
            }
        };
        let name = file.display().to_string();
        LockFile::parse(&text, &name, &mut |text| self.warn(ev, &text)).map_err(error)
    }

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
        let (new, node_dirs) = (locking.new, locking.node_dirs);
        new.check().map_err(error)?;
        if !new.is_same(&old) || flags.output_file.is_some() {
            self.write_lock_file(ev, top, flags, &mut flake, &old, &new)?;
        }
        // Writing may have made another tree of the flake.
        let mut node_dirs = node_dirs;
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
            self.inputs.forget();
        }
        let before = flake.locked.input.rev().ok().flatten();
        *flake = self.get_flake(ev, top, Registries::All, &[])?;
        let after = flake.locked.input.rev().ok().flatten();
        if flags.commit
            && after != before
            && let Some(rev) = after
        {
            self.warn(ev, &format!("committed new revision '{rev}'"));
        }
        Ok(())
    }
}

/// What an input is to be, by a flake above it or the command line.
#[derive(Clone)]
struct Override {
    input: FlakeInput,
    /// The directory of the flake that says so: relative paths are relative to it.
    dir: PathBuf,
    /// That flake's path; the command line has none.
    parent: Option<InputPath>,
}

/// Which old lock file a node is of.
#[derive(Clone)]
enum OldFile {
    /// That of the flake.
    Top,
    /// That of an input.
    Input(Rc<LockFile>),
}

/// The inputs of one node.
struct Level<'a> {
    inputs: &'a BTreeMap<String, FlakeInput>,
    node: NodeId,
    path: &'a [String],
    /// The node in an old lock file.
    old: Option<(OldFile, NodeId)>,
    /// What `follows` of the old lock file is relative to.
    follows_prefix: &'a [String],
    /// The directory of the flake.
    dir: &'a Path,
    /// Whether `inputs` are from the lock file, and that is known to fit.
    trusted: bool,
}

struct Locking<'a> {
    flakes: &'a Flakes,
    flags: &'a LockFlags,
    registries: Registries,
    old: LockFile,
    new: LockFile,
    overrides: BTreeMap<InputPath, Override>,
    used_overrides: BTreeSet<InputPath>,
    used_updates: BTreeSet<InputPath>,
    node_dirs: BTreeMap<NodeId, PathBuf>,
    /// The flakes that are being locked, outermost first.
    above: Vec<FlakeRef>,
}

/// How deep inputs may be nested.
const MAX_DEPTH: usize = 1000;

impl Locking<'_> {
    fn old_file<'b>(&'b self, file: &'b OldFile) -> &'b LockFile {
        match file {
            OldFile::Top => &self.old,
            OldFile::Input(file) => file,
        }
    }

    fn add_overrides(&mut self, input: &FlakeInput, path: &[String], level: &Level<'_>) {
        for (name, inner) in &input.overrides {
            let mut path = path.to_vec();
            path.push(name.clone());
            if inner.reference.is_some() || inner.follows.is_some() {
                // What is above counts more.
                self.overrides
                    .entry(path.clone())
                    .or_insert_with(|| Override {
                        input: inner.clone(),
                        dir: level.dir.to_owned(),
                        parent: Some(level.path.to_vec()),
                    });
            }
            self.add_overrides(inner, &path, level);
        }
    }

    fn inputs_of(&mut self, ev: &mut Evaluator, level: &Level<'_>) -> Result<()> {
        if level.path.len() > MAX_DEPTH {
            return Err(error("the inputs of this flake are nested too deeply"));
        }
        let below = |name: &String| {
            let mut path = level.path.to_vec();
            path.push(name.clone());
            path
        };
        for (name, input) in level.inputs {
            self.add_overrides(input, &below(name), level);
        }
        for path in self.overrides.keys() {
            if let Some((name, parent)) = path.split_last()
                && parent == level.path
                && !level.inputs.contains_key(name)
            {
                self.flakes.warn(
                    ev,
                    &format!(
                        "input '{}' has an override for a non-existent input '{name}'",
                        show_input_path(level.path)
                    ),
                );
            }
        }
        for (name, input) in level.inputs {
            let path = below(name);
            self.one_input(ev, level, name, input, &path)
                .map_err(|failed| {
                    failed.context(
                        Pos::NONE,
                        format!(
                            "while updating the flake input '{}'",
                            show_input_path(&path)
                        ),
                    )
                })?;
        }
        Ok(())
    }

    fn one_input(
        &mut self,
        ev: &mut Evaluator,
        level: &Level<'_>,
        name: &str,
        declared: &FlakeInput,
        path: &[String],
    ) -> Result<()> {
        let overriding = self.overrides.get(path).cloned();
        let by_user = self.flags.overrides.contains_key(path);
        if overriding.is_some() {
            self.used_overrides.insert(path.to_vec());
        }
        let mut input = match &overriding {
            Some(other) => FlakeInput {
                is_flake: declared.is_flake,
                ..other.input.clone()
            },
            None => declared.clone(),
        };
        if let Some(target) = input.follows.take() {
            self.new.set_input(level.node, name, Edge::Follows(target));
            return Ok(());
        }
        let reference = match input.reference.take() {
            Some(reference) => reference,
            None => indirect(name)?,
        };
        let relative = reference.input.relative_path().map(str::to_owned);
        let parent = relative.as_ref().and_then(|_| match &overriding {
            Some(other) => other.parent.clone(),
            None => Some(level.path.to_vec()),
        });
        let base = overriding.as_ref().map_or(level.dir, |other| &other.dir);
        let relative_dir = relative.map(|relative| below(base, &relative));
        self.used_updates.insert(path.to_vec());

        let old = level
            .old
            .as_ref()
            .filter(|_| !self.flags.updates.contains(path));
        let old = old.and_then(
            |(file, node)| match self.old_file(file).inputs(*node).get(name) {
                Some(Edge::Node(old)) => Some((file.clone(), *old)),
                _ => None,
            },
        );
        let kept = old.filter(|(file, old)| {
            self.old_file(file).locked(*old).is_some_and(|old| {
                old.original.canonical() == reference.canonical() && old.parent == parent
            }) && !by_user
        });
        match kept {
            Some((file, old)) => {
                self.keep(ev, level, name, path, relative_dir.as_deref(), file, old)
            }
            None => {
                let original = match &declared.reference {
                    Some(declared) if by_user => declared.clone(),
                    _ => reference.clone(),
                };
                let wanted = Wanted {
                    reference,
                    original,
                    is_flake: input.is_flake,
                    parent,
                    relative_dir,
                    by_user,
                };
                self.create(ev, level, name, path, wanted)
            }
        }
    }

    /// The flake of an input, in the tree of a flake above if it is relative.
    fn input_flake(
        &self,
        ev: &mut Evaluator,
        reference: &FlakeRef,
        relative_dir: Option<&Path>,
        registries: Registries,
        path: &[String],
    ) -> Result<Flake> {
        let Some(dir) = relative_dir else {
            return self.flakes.get_flake(ev, reference, registries, path);
        };
        let root = tree_root(dir);
        let dir = below(dir, &reference.subdir);
        if !dir.starts_with(&root) || root.components().count() < 4 {
            return Err(error(format!(
                "the relative path '{}' leads out of the tree of the flake",
                reference.show()
            )));
        }
        Reader {
            ev,
            root: &root,
            lock_root: path,
            dir,
        }
        .read(References {
            original: reference.clone(),
            resolved: reference.clone(),
            locked: reference.clone(),
        })
    }

    /// An input whose lock still fits.
    #[allow(clippy::too_many_arguments)]
    fn keep(
        &mut self,
        ev: &mut Evaluator,
        level: &Level<'_>,
        name: &str,
        path: &[String],
        relative_dir: Option<&Path>,
        file: OldFile,
        old: NodeId,
    ) -> Result<()> {
        let old_file = self.old_file(&file);
        let Some(locked) = old_file.locked(old).cloned() else {
            return Ok(());
        };
        let old_inputs = old_file.inputs(old).clone();
        let old_locks: BTreeMap<String, LockedNode> = old_inputs
            .iter()
            .filter_map(|(name, edge)| match edge {
                Edge::Node(node) => Some((name.clone(), old_file.locked(*node)?.clone())),
                Edge::Follows(_) => None,
            })
            .collect();
        let child = self.new.add(locked.clone());
        self.new.set_input(level.node, name, Edge::Node(child));
        // An update of an input of this input needs its `flake.nix`.
        let mut fetch = self
            .flags
            .updates
            .iter()
            .any(|update| update.len() > path.len() && update.starts_with(path));
        let mut inputs = BTreeMap::new();
        if !fetch {
            for (name, edge) in &old_inputs {
                let input = match edge {
                    Edge::Node(_) => {
                        let Some(lock) = old_locks.get(name) else {
                            continue;
                        };
                        FlakeInput {
                            reference: Some(lock.original.clone()),
                            is_flake: lock.is_flake,
                            ..FlakeInput::default()
                        }
                    }
                    Edge::Follows(target) => {
                        let mut overridden = path.to_vec();
                        overridden.push(name.clone());
                        // What made it follow has gone: then only `flake.nix` says what it is.
                        if !level.trusted && !self.overrides.contains_key(&overridden) {
                            fetch = true;
                            break;
                        }
                        let prefix = level.follows_prefix.iter().cloned();
                        FlakeInput {
                            follows: Some(prefix.chain(target.iter().cloned()).collect()),
                            ..FlakeInput::default()
                        }
                    }
                };
                inputs.insert(name.clone(), input);
            }
        }
        if fetch {
            let flake =
                self.input_flake(ev, &locked.locked, relative_dir, self.registries, path)?;
            self.node_dirs.insert(child, flake.dir().to_owned());
            let dir = flake.dir().to_owned();
            return self.inputs_of(
                ev,
                &Level {
                    inputs: &flake.inputs,
                    node: child,
                    path,
                    old: Some((file, old)),
                    follows_prefix: level.follows_prefix,
                    dir: &dir,
                    trusted: false,
                },
            );
        }
        self.inputs_of(
            ev,
            &Level {
                inputs: &inputs,
                node: child,
                path,
                old: Some((file, old)),
                follows_prefix: level.follows_prefix,
                dir: level.dir,
                trusted: true,
            },
        )
    }

    /// An input that is locked now.
    fn create(
        &mut self,
        ev: &mut Evaluator,
        level: &Level<'_>,
        name: &str,
        path: &[String],
        wanted: Wanted,
    ) -> Result<()> {
        let reference = &wanted.reference;
        if !self.flags.allow_unlocked
            && !reference.input.is_locked()
            && reference.input.relative_path().is_none()
        {
            return Err(error(format!(
                "cannot update unlocked flake input '{}' in pure mode",
                show_input_path(path)
            )));
        }
        if !wanted.is_flake {
            let (dir, locked) = match &wanted.relative_dir {
                Some(dir) => (dir.clone(), reference.clone()),
                None => {
                    let (_, fetched) =
                        self.flakes.fetch_resolved(ev, reference, self.registries)?;
                    let locked = FlakeRef {
                        input: fetched.input,
                        subdir: reference.subdir.clone(),
                    };
                    (PathBuf::from(fetched.path.to_string()), locked)
                }
            };
            let child = self.new.add(LockedNode {
                locked,
                original: wanted.original,
                is_flake: false,
                parent: wanted.parent,
            });
            self.node_dirs.insert(child, dir);
            self.new.set_input(level.node, name, Edge::Node(child));
            return Ok(());
        }
        let registries = if wanted.by_user {
            Registries::All
        } else {
            self.registries
        };
        let flake = self.input_flake(
            ev,
            reference,
            wanted.relative_dir.as_deref(),
            registries,
            path,
        )?;
        let child = self.new.add(LockedNode {
            locked: flake.locked.clone(),
            original: wanted.original,
            is_flake: true,
            parent: wanted.parent,
        });
        self.new.set_input(level.node, name, Edge::Node(child));
        if self.above.contains(reference) {
            return Err(error(format!(
                "found circular import of flake '{}'",
                reference.show()
            )));
        }
        self.above.push(reference.clone());
        let dir = flake.dir().to_owned();
        self.node_dirs.insert(child, dir.clone());
        let own = self
            .flakes
            .read_lock_file(ev, &dir.join("flake.lock"), true)?;
        let done = self.inputs_of(
            ev,
            &Level {
                inputs: &flake.inputs,
                node: child,
                path,
                old: Some((OldFile::Input(Rc::new(own)), LockFile::ROOT)),
                follows_prefix: path,
                dir: &dir,
                trusted: false,
            },
        );
        self.above.pop();
        done
    }
}

/// An input that is to be locked.
struct Wanted {
    reference: FlakeRef,
    original: FlakeRef,
    is_flake: bool,
    parent: Option<InputPath>,
    relative_dir: Option<PathBuf>,
    by_user: bool,
}

/// A flake that only has a name.
fn indirect(name: &str) -> Result<FlakeRef> {
    let attrs = [
        ("type".to_owned(), "indirect".into()),
        ("id".to_owned(), name.into()),
    ];
    FlakeRef::from_attrs(attrs.into()).map_err(|failed| error(failed.to_string()))
}
