//! From the inputs that `flake.nix` files declare and the old lock files to a new one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use xbuild_eval::host::Registries;
use xbuild_eval::{Evaluator, Pos, Result};
use xbuild_flake_ref::FlakeRef;

use crate::flake_nix::{Flake, FlakeInput, Reader, References, error};
use crate::flakes::Flakes;
use crate::lock::LockFlags;
use crate::lock_file::{Edge, InputPath, LockFile, LockedNode, NodeId, show_input_path};
use crate::place::{below, tree_root};

/// What an input is to be, by a flake above it or the command line.
#[derive(Clone)]
pub(crate) struct Override {
    pub(crate) input: FlakeInput,
    /// The directory of the flake that says so: relative paths are relative to it.
    pub(crate) dir: PathBuf,
    /// That flake's path; the command line has none.
    pub(crate) parent: Option<InputPath>,
}

/// Which old lock file a node is of.
#[derive(Clone)]
pub(crate) enum OldFile {
    /// That of the flake.
    Top,
    /// That of an input.
    Input(Rc<LockFile>),
}

/// The inputs of one node.
pub(crate) struct Level<'a> {
    pub(crate) inputs: &'a BTreeMap<String, FlakeInput>,
    pub(crate) node: NodeId,
    pub(crate) path: &'a [String],
    /// The node in an old lock file.
    pub(crate) old: Option<(OldFile, NodeId)>,
    /// What `follows` of the old lock file is relative to.
    pub(crate) follows_prefix: &'a [String],
    /// The directory of the flake.
    pub(crate) dir: &'a Path,
    /// Whether `inputs` are from the lock file, and that is known to fit.
    pub(crate) trusted: bool,
}

/// A new lock file in the making.
pub(crate) struct Locking<'a> {
    pub(crate) flakes: &'a Flakes,
    pub(crate) flags: &'a LockFlags,
    pub(crate) registries: Registries,
    pub(crate) old: LockFile,
    pub(crate) new: LockFile,
    pub(crate) overrides: BTreeMap<InputPath, Override>,
    pub(crate) used_overrides: BTreeSet<InputPath>,
    pub(crate) used_updates: BTreeSet<InputPath>,
    pub(crate) node_dirs: BTreeMap<NodeId, PathBuf>,
    /// The flakes that are being locked, outermost first.
    pub(crate) above: Vec<FlakeRef>,
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

    /// Locks the inputs of one node, and theirs.
    pub(crate) fn inputs_of(&mut self, ev: &mut Evaluator, level: &Level<'_>) -> Result<()> {
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
