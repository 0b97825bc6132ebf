//! `xbuild flake clone`: a flake to work on, in a directory of the user's.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use xbuild_eval::host::Registries;
use xbuild_eval::{EvalError, Evaluator, Result};
use xbuild_flake_ref::{FlakeRef, Scheme};

use crate::flake_nix::error;
use crate::flakes::Flakes;

impl Flakes {
    /// Clones the repository of a flake, or copies its tree, to `to`, which must not be there (an empty directory may be, for Git).
    ///
    /// # Errors
    /// If it cannot be fetched, or `to` cannot be made.
    pub fn clone_to(&self, ev: &mut Evaluator, reference: &FlakeRef, to: &Path) -> Result<()> {
        let resolved = self.resolve(ev, reference, Registries::All)?;
        if resolved.input.scheme() == Some(Scheme::Git) {
            return self
                .inputs
                .clone_git(&resolved.input, to)
                .map_err(|failed| error(failed.to_string()));
        }
        let fetched = self.fetch(ev, &resolved.input)?;
        copy(&ev.host.physical(&fetched.path), to)
    }
}

fn failed<'a>(action: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> EvalError + 'a {
    move |failed| error(format!("cannot {action} '{}': {failed}", path.display()))
}

/// Copies a tree of the store such that the user may change it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let metadata = fs::symlink_metadata(from).map_err(failed("read", from))?;
    if metadata.is_symlink() {
        let target = fs::read_link(from).map_err(failed("read", from))?;
        return symlink(target, to).map_err(failed("create", to));
    }
    if !metadata.is_dir() {
        if to.symlink_metadata().is_ok() {
            return Err(error(format!("'{}' exists already", to.display())));
        }
        fs::copy(from, to).map_err(failed("write", to))?;
        let mode = metadata.permissions().mode() & 0o111 | 0o644;
        return fs::set_permissions(to, fs::Permissions::from_mode(mode))
            .map_err(failed("write", to));
    }
    fs::create_dir(to).map_err(failed("create", to))?;
    for entry in fs::read_dir(from).map_err(failed("read", from))? {
        let entry = entry.map_err(failed("read", from))?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}
