//! Making paths valid.
//!
//! The tree is renamed to its place first, then one transaction makes all paths valid. A process that dies in between leaves a
//! tree that is not valid: the next one that wants the path removes it under the path's lock, or a collector does.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Transaction, params};
use rustc_hash::{FxHashMap, FxHashSet};
use rustix::fs::{FileType, Mode};
use rustix::io::Errno;
use xbuild_derivation::Derivation;
use xbuild_store_model::hash::HashAlgo;
use xbuild_store_model::store_path::StorePath;

use crate::busy::Work;
use crate::error::{Error, Result};
use crate::fault;
use crate::files;
use crate::path_info::NewPath;
use crate::realisations::Realisation;
use crate::removal::remove_tree;
use crate::store::Store;

impl Store {
    /// Moves finished trees to their places and makes the paths valid, all or none. Trees must be canonical
    /// ([`Self::canonicalise`]) and their hashes those of [`Self::scan_and_hash`].
    ///
    /// Paths that the caller has locked ([`Self::lock_paths`]) are taken as locked; the others are locked here. A path that is valid
    /// already (somebody else was faster) keeps its tree and its entry, and the new tree is deleted.
    pub fn register(&self, paths: &[NewPath]) -> Result<()> {
        self.register_realised(paths, &[])?;
        Ok(())
    }

    /// The same, and in the same transaction writes down which outputs they are. Returns the realisations that hold: one that was
    /// there before is kept.
    pub fn register_realised(
        &self,
        paths: &[NewPath],
        realisations: &[Realisation],
    ) -> Result<Vec<Realisation>> {
        self.check_writable("register paths")?;
        for path in paths {
            assert_eq!(
                path.nar_hash.algo(),
                HashAlgo::Sha256,
                "a NAR hash in the database is SHA-256"
            );
        }
        check_cycles(paths)?;
        self.add_temp_roots(paths.iter().map(|new| &new.path))?;
        let unlocked: Vec<StorePath> = paths
            .iter()
            .map(|new| &new.path)
            .filter(|path| !self.held.contains(path))
            .cloned()
            .collect();
        let _locks = if unlocked.is_empty() {
            None
        } else {
            Some(self.lock_paths(&unlocked)?)
        };

        let valid = self.valid_among(paths.iter().map(|new| &new.path))?;
        let mut outputs = FxHashMap::default();
        let mut recorded = Vec::with_capacity(paths.len());
        for new in paths {
            let place = self.physical(&new.path);
            if new.physical != place {
                if valid.contains(&new.path) {
                    remove_tree(&new.physical)?;
                    continue;
                }
                if self.options.fsync_store_paths {
                    sync_tree(&new.physical)?;
                }
                move_to_place(&new.physical, &place)?;
            } else if self.options.fsync_store_paths {
                sync_tree(&place)?;
            }
            recorded.push(new);
            if new.path.is_derivation() {
                let aterm = files::read_no_follow(&place).map_err(Error::io("read", &place))?;
                outputs.insert(new.path.clone(), derivation_outputs(&new.path, &aterm)?);
            }
        }
        if self.options.fsync_store_paths {
            sync_dir(self.layout.store_dir())?;
        }
        self.sync_all_if_wanted()?;
        self.record(&recorded, &outputs, realisations)
    }

    /// Puts a new tree in the place of a valid path that is damaged or missing, in one step where the file system can do that, and
    /// records its hash. The tree must be canonical. For repairs only: what a valid path is does not change otherwise.
    pub fn replace(&self, new: &NewPath) -> Result<()> {
        self.check_writable("repair paths")?;
        self.add_temp_root(&new.path)?;
        let _lock = self.lock_unheld(std::slice::from_ref(&new.path))?;
        let Some(info) = self.query_path_info(&new.path)? else {
            return Err(Error::NotValid(new.path.clone()));
        };
        if self.options.fsync_store_paths {
            sync_tree(&new.physical)?;
        }
        let place = self.physical(&new.path);
        exchange(&new.physical, &place)?;
        self.remove_links_to_damage(&new.physical)?;
        remove_tree(&new.physical)?;
        if self.options.fsync_store_paths {
            sync_dir(self.layout.store_dir())?;
        }
        self.sync_all_if_wanted()?;
        if info.nar_hash == new.nar_hash && info.references == new.references {
            return Ok(());
        }
        self.record(&[new], &FxHashMap::default(), &[])?;
        Ok(())
    }

    /// `sync-before-registering`.
    pub(crate) fn sync_all_if_wanted(&self) -> Result<()> {
        if self.options.sync_before_registering {
            let store = self.layout.store_dir();
            let dir = files::open_dir(store).map_err(Error::sys("open directory", store))?;
            rustix::fs::syncfs(dir).map_err(Error::sys("sync the file system of", store))?;
        }
        Ok(())
    }

    /// The transaction. `outputs` has the outputs of the derivations among the paths.
    pub(crate) fn record(
        &self,
        paths: &[&NewPath],
        outputs: &FxHashMap<StorePath, BTreeMap<String, StorePath>>,
        realisations: &[Realisation],
    ) -> Result<Vec<Realisation>> {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |time| time.as_secs());
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        self.db.write(|transaction| {
            let mut ids = FxHashMap::default();
            for &new in paths {
                let id = match self.db.id(transaction, &new.path)? {
                    Some(id) => {
                        update(transaction, id, new)?;
                        id
                    }
                    None => insert(transaction, new, now)?,
                };
                ids.insert(&new.path, id);
                if let Some(outputs) = outputs.get(&new.path) {
                    let mut statement = transaction.prepare_cached(
                        "insert or replace into DerivationOutputs (drv, id, path) values (?, ?, ?)",
                    )?;
                    for (name, output) in outputs {
                        statement.execute(params![id, name, output.to_string()])?;
                    }
                }
            }
            let mut statement = transaction.prepare_cached(
                "insert or replace into Refs (referrer, reference) values (?, ?)",
            )?;
            for new in paths {
                for reference in &new.references {
                    let id = match ids.get(reference) {
                        Some(&id) => id,
                        None => {
                            let id = self.db.id(transaction, reference)?.ok_or_else(|| {
                                Error::InvalidReference {
                                    path: new.path.clone(),
                                    reference: reference.clone(),
                                }
                            })?;
                            ids.insert(reference, id);
                            id
                        }
                    };
                    statement.execute(params![ids[&new.path], id])?;
                }
            }
            self.db.add_realisations(transaction, realisations)
        })
    }
}

fn insert(transaction: &Transaction<'_>, new: &NewPath, now: i64) -> Work<i64> {
    let mut statement = transaction.prepare_cached(
        "insert into ValidPaths (path, hash, registrationTime, deriver, narSize, ultimate, sigs, ca) \
         values (?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    Ok(statement.insert(params![
        new.path.to_string(),
        new.nar_hash.to_prefixed_base16(),
        now,
        new.deriver.as_ref().map(StorePath::to_string),
        nar_size(new),
        new.ultimate.then_some(1),
        sigs(new),
        new.ca.as_ref().map(ToString::to_string),
    ])?)
}

fn update(transaction: &Transaction<'_>, id: i64, new: &NewPath) -> Work<()> {
    let mut statement = transaction.prepare_cached(
        "update ValidPaths set narSize = ?, hash = ?, ultimate = ?, sigs = ?, ca = ? where id = ?",
    )?;
    statement.execute(params![
        nar_size(new),
        new.nar_hash.to_prefixed_base16(),
        new.ultimate.then_some(1),
        sigs(new),
        new.ca.as_ref().map(ToString::to_string),
        id
    ])?;
    Ok(())
}

fn nar_size(new: &NewPath) -> Option<i64> {
    i64::try_from(new.nar_size).ok().filter(|&size| size != 0)
}

fn sigs(new: &NewPath) -> Option<String> {
    (!new.sigs.is_empty()).then(|| new.sigs.join(" "))
}

/// The outputs whose paths are known before the build.
pub(crate) fn derivation_outputs(
    drv: &StorePath,
    aterm: &[u8],
) -> Result<BTreeMap<String, StorePath>> {
    let derivation =
        Derivation::parse_at(drv, aterm).map_err(Error::format(format!("derivation '{drv}'")))?;
    let known = derivation
        .output_paths()
        .filter_map(|(name, path)| Some((name.to_owned(), path?.clone())));
    Ok(known.collect())
}

/// Renames a canonical tree to its place, removing what may be left there by a process that died.
pub(crate) fn move_to_place(from: &Path, to: &Path) -> Result<()> {
    fault::point("move a new path to", to)?;
    match rustix::fs::renameat_with(
        rustix::fs::CWD,
        from,
        rustix::fs::CWD,
        to,
        rustix::fs::RenameFlags::NOREPLACE,
    ) {
        Ok(()) => return Ok(()),
        Err(Errno::EXIST) => clear_place(to)?,
        // To move a directory one must be allowed to write to it, which nobody but root is.
        Err(Errno::ACCESS) | Err(Errno::INVAL | Errno::NOSYS) => {}
        Err(error) => return Err(Error::sys("move a new path to", to)(error)),
    }
    clear_place(to)?;
    let is_dir = crate::tree::file_type(from)? == FileType::Directory;
    if is_dir {
        rustix::fs::chmod(from, Mode::from_raw_mode(0o755))
            .map_err(Error::sys("make writable", from))?;
    }
    rustix::fs::rename(from, to).map_err(Error::sys("move a new path to", to))?;
    if is_dir {
        rustix::fs::chmod(to, Mode::from_raw_mode(0o555))
            .map_err(Error::sys("make read-only", to))?;
    }
    Ok(())
}

/// Removes what a process that died has left at the place of a path. What belongs to another user is moved aside, for their next
/// collection.
fn clear_place(place: &Path) -> Result<()> {
    if matches!(rustix::fs::lstat(place), Err(Errno::NOENT)) {
        return Ok(());
    }
    let Some(owner) = crate::gc::foreign_owner(place)? else {
        return remove_tree(place).map(|_| ());
    };
    for number in 0_u32.. {
        let aside = place.with_file_name(format!("tmp-left-by-{owner}-{number}"));
        match rustix::fs::renameat_with(
            rustix::fs::CWD,
            place,
            rustix::fs::CWD,
            &aside,
            rustix::fs::RenameFlags::NOREPLACE,
        ) {
            Ok(()) | Err(Errno::NOENT) => break,
            Err(Errno::EXIST) => {}
            Err(error) => {
                return Err(Error::sys("move aside what another user left at", place)(
                    error,
                ));
            }
        }
    }
    Ok(())
}

impl Store {
    /// Removes what lies at the place of a path that is not valid. The caller has locked the path.
    pub fn remove_leftover(&self, path: &StorePath) -> Result<()> {
        clear_place(&self.physical(path))
    }
}

/// Puts a canonical tree in the place of another, which is at `from` afterwards, if there is one.
fn exchange(from: &Path, to: &Path) -> Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let failed = || Error::sys("replace", to);
    fault::point("replace", to)?;
    if matches!(rustix::fs::lstat(to), Err(Errno::NOENT)) {
        return move_to_place(from, to);
    }
    match renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE) {
        Ok(()) => return Ok(()),
        Err(Errno::ACCESS | Errno::INVAL | Errno::NOSYS) => {}
        Err(error) => return Err(failed()(error)),
    }
    // To move a directory one must be allowed to write to it, which nobody but root is.
    let mut closed = Vec::new();
    for path in [from, to] {
        if crate::tree::file_type(path)? == FileType::Directory {
            rustix::fs::chmod(path, Mode::from_raw_mode(0o755)).map_err(failed())?;
            closed.push(path);
        }
    }
    let exchanged = match renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE) {
        Err(Errno::INVAL | Errno::NOSYS) => {
            // Not in one step, then.
            let mut aside = from.as_os_str().to_owned();
            aside.push(".old");
            rustix::fs::rename(to, Path::new(&aside))
                .and_then(|()| rustix::fs::rename(from, to))
                .and_then(|()| rustix::fs::rename(Path::new(&aside), from))
        }
        other => other,
    };
    for path in closed {
        rustix::fs::chmod(path, Mode::from_raw_mode(0o555)).map_err(failed())?;
    }
    exchanged.map_err(failed())
}

/// Refuses cycles, which several outputs of one derivation can form. A path may refer to itself.
fn check_cycles(paths: &[NewPath]) -> Result<()> {
    if paths.len() < 2 {
        return Ok(());
    }
    let index: FxHashMap<&StorePath, usize> = paths
        .iter()
        .enumerate()
        .map(|(i, new)| (&new.path, i))
        .collect();
    let mut done = FxHashSet::default();
    for start in 0..paths.len() {
        // Depth first; the stack is the way from `start` to here.
        let mut stack = vec![(start, paths[start].references.iter())];
        while let Some((here, references)) = stack.last_mut() {
            let here = *here;
            if done.contains(&here) {
                stack.pop();
                continue;
            }
            let next = references.find_map(|reference| {
                index
                    .get(reference)
                    .copied()
                    .filter(|&n| n != here && !done.contains(&n))
            });
            match next {
                Some(next) => {
                    if let Some(from) = stack.iter().position(|&(n, _)| n == next) {
                        let mut cycle: Vec<StorePath> = stack[from..]
                            .iter()
                            .map(|&(n, _)| paths[n].path.clone())
                            .collect();
                        cycle.push(paths[next].path.clone());
                        return Err(Error::ReferenceCycle {
                            path: paths[next].path.clone(),
                            cycle,
                        });
                    }
                    stack.push((next, paths[next].references.iter()));
                }
                None => {
                    done.insert(here);
                    stack.pop();
                }
            }
        }
    }
    Ok(())
}

/// Syncs all files and directories of a tree (`fsync-store-paths`).
fn sync_tree(path: &Path) -> Result<()> {
    match crate::tree::file_type(path)? {
        FileType::Directory => {
            let entries = std::fs::read_dir(path).map_err(Error::io("read directory", path))?;
            for entry in entries {
                sync_tree(&entry.map_err(Error::io("read directory", path))?.path())?;
            }
            sync_dir(path)
        }
        FileType::RegularFile => sync_dir(path),
        _ => Ok(()),
    }
}

pub(crate) fn sync_dir(path: &Path) -> Result<()> {
    fault::point("sync", path)?;
    std::fs::File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(Error::io("sync", path))
}
