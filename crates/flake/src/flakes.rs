//! Flakes by their references: what is fetched, the `flake.nix` and the lock file in it.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use xbuild_eval::host::{FetchedTree, HostError, Registries};
use xbuild_eval::{EvalError, Evaluator, Pos, Result};
use xbuild_flake_ref::{FlakeRef, Input, Scheme};
use xbuild_inputs::Inputs;

use crate::flake_nix::{Flake, Reader, References, error};
use crate::lock_file::LockFile;
use crate::place::below;

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

/// Reads, locks and calls flakes.
pub struct Flakes {
    pub(crate) options: FlakeOptions,
    pub(crate) inputs: Rc<Inputs>,
}

fn host_error(failed: &HostError) -> EvalError {
    EvalError::host(Pos::NONE, failed)
}

impl Flakes {
    /// `inputs` is who writes lock files, and fetches.
    #[must_use]
    pub fn new(options: FlakeOptions, inputs: Rc<Inputs>) -> Self {
        Self { options, inputs }
    }

    /// Makes Git track files of a directory that is a work tree of it.
    ///
    /// # Errors
    /// If `git` fails.
    pub fn track(&self, directory: &Path, files: &[PathBuf]) -> Result<()> {
        self.inputs
            .track_git_files(directory, files)
            .map_err(|failed| error(failed.to_string()))
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
    pub(crate) fn fetch_resolved(
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

    pub(crate) fn get_flake(
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
        let name = name.strip_prefix("/").unwrap_or(&name);
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
                _ => format!(
                    "path '«{}»/{}' does not exist",
                    fetched.show(),
                    name.display()
                ),
            }));
        };
        Err(error(ev.missing_in_work_tree(&work_tree, name)))
    }

    pub(crate) fn read_lock_file(
        &self,
        ev: &Evaluator,
        file: &Path,
        logical: bool,
    ) -> Result<LockFile> {
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
        let name = ev.shown_file(file);
        LockFile::parse(&text, &name, &mut |text| self.warn(ev, &text)).map_err(error)
    }
}
