//! What is in a store without being valid: left by processes that died, or by the optimiser.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use xbuild_store_model::store_path::StorePath;

use crate::error::{Error, Result};
use crate::gc::{Collector, GcOptions, GcReport, foreign_owner};
use crate::locks;
use crate::removal::remove_tree;
use crate::scratch;
use crate::temp_roots;

/// Something in `nix/store` that is not valid.
pub(crate) struct Leftover {
    pub(crate) path: PathBuf,
    /// A scratch directory, which may only be deleted once it is claimed.
    pub(crate) is_scratch: bool,
}

impl Collector<'_> {
    /// What is in `nix/store` without being valid or needed, and what builds have left.
    pub(crate) fn leftovers(&self) -> Result<Vec<Leftover>> {
        let store = self.store;
        let needed: BTreeSet<String> = temp_roots::read_all(&store.layout, &store.hooks, false)?
            .into_iter()
            .map(|(path, _)| path.hash_part().to_owned())
            .collect();
        let mut names: Vec<OsString> = Vec::new();
        let dir = store.layout.store_dir();
        for entry in std::fs::read_dir(dir).map_err(Error::io("read directory", dir))? {
            names.push(entry.map_err(Error::io("read directory", dir))?.file_name());
        }
        // After the directory: what is there and not valid now was not being registered before either, or is needed.
        let valid = store.all_valid()?;
        let mut leftovers = Vec::new();
        for name in names {
            if name == ".links" {
                continue;
            }
            if let Some(path) = name
                .to_str()
                .and_then(|name| StorePath::from_base_name(name).ok())
                && (valid.contains(&path) || needed.contains(path.hash_part()))
            {
                continue;
            }
            let path = dir.join(&name);
            let is_scratch = name.as_bytes().starts_with(b"tmp-");
            if !is_scratch || scratch::claim(&path).is_some() {
                leftovers.push(Leftover { path, is_scratch });
            }
        }
        let work = store.layout.work_dir();
        for entry in std::fs::read_dir(&work).into_iter().flatten().flatten() {
            let path = entry.path();
            if scratch::claim(&path).is_some() {
                leftovers.push(Leftover {
                    path,
                    is_scratch: true,
                });
            }
        }
        leftovers.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(leftovers)
    }

    pub(crate) fn delete_leftovers(
        &self,
        options: &GcOptions,
        report: &mut GcReport,
    ) -> Result<bool> {
        for leftover in self.leftovers()? {
            self.store.hooks.check_cancelled()?;
            self.delete_leftover(&leftover, report)?;
            if options
                .max_freed
                .is_some_and(|limit| report.bytes_freed > limit)
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(crate) fn delete_leftover(&self, leftover: &Leftover, report: &mut GcReport) -> Result<()> {
        let claim = if leftover.is_scratch {
            scratch::claim(&leftover.path)
        } else {
            None
        };
        if leftover.is_scratch && claim.is_none() {
            return Ok(());
        }
        let name = leftover
            .path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let path = StorePath::from_base_name(name).ok();
        if let Some(path) = &path {
            if !self.shared.begin_deletion(path.hash_part()) {
                return Ok(());
            }
            // It may have been registered by one who is done with it.
            if self.store.is_valid(path)? {
                self.shared.end_deletion();
                return Ok(());
            }
        }
        let is_ours = foreign_owner(&leftover.path)?.is_none();
        if is_ours && !self.is_locked(&leftover.path, name)? {
            report.bytes_freed += remove_tree(&leftover.path)?;
            report.leftovers.push(leftover.path.clone());
        }
        self.shared.end_deletion();
        drop(claim);
        Ok(())
    }

    /// For lock files: whether somebody holds it. If not, it is removed as its holder would.
    fn is_locked(&self, path: &Path, name: &str) -> Result<bool> {
        let is_lock = name.ends_with(".lock")
            && path
                .symlink_metadata()
                .is_ok_and(|meta| meta.is_file() && meta.len() <= 1);
        if !is_lock {
            return Ok(false);
        }
        // Files of other sizes or that cannot be opened are no lock files.
        let Ok(file) = locks::of_others().read(true).write(true).open(path) else {
            return Ok(false);
        };
        if !locks::try_lock(&file, locks::Mode::Exclusive, path)? {
            return Ok(true);
        }
        locks::remove_lock_file(&file, path);
        Ok(false)
    }

    /// Deletes those files of Nix's optimiser that nothing else links to.
    pub(crate) fn delete_links(&self, report: &mut GcReport) -> Result<()> {
        let dir = self.store.layout.links_dir();
        let Ok(entries) = std::fs::read_dir(&dir) else {
            return Ok(());
        };
        for entry in entries {
            let entry = entry.map_err(Error::io("read directory", &dir))?;
            let path = entry.path();
            let Ok(meta) = path.symlink_metadata() else {
                continue;
            };
            if meta.nlink() == 1 && !meta.is_dir() {
                match std::fs::remove_file(&path) {
                    Ok(()) => report.bytes_freed += meta.blocks() * 512,
                    // Another collector was faster.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(Error::io("delete", path)(error)),
                }
            }
        }
        Ok(())
    }
}
