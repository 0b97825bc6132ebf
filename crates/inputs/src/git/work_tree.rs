//! The work tree of a local repository: the files that Git tracks, as they are now.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use xbuild_flake_ref::Input;
use xbuild_store_model::{FileIngestionMethod, HashAlgo, Hasher, nar};

use super::attributes::{export_ignored, is_below};
use super::program::Repository;
use super::{NO_REV, Wants, missing, submodules};
use crate::error::{Error, Result};
use crate::inputs::{Found, Inputs};

/// What Git says of a work tree.
#[derive(Default)]
struct Status {
    /// The commit that is checked out.
    rev: Option<String>,
    /// The branch, `refs/heads/…`.
    branch: Option<String>,
    /// Tracked and there.
    files: BTreeSet<Vec<u8>>,
    /// Of these, what is not as in the commit.
    changed: BTreeSet<Vec<u8>>,
    /// Tracked, and not there.
    deleted: BTreeSet<Vec<u8>>,
    /// The places of submodules.
    submodules: BTreeMap<Vec<u8>, ()>,
    dirty: bool,
}

impl Inputs {
    /// What stock Nix says of the state of a work tree with changes, as a part of a flake's fingerprint; `None` if it says nothing.
    ///
    /// # Errors
    /// If the work tree cannot be read.
    pub fn dirty_git_fingerprint(&self, input: &Input) -> Result<Option<String>> {
        let Some(path) = self.git_work_tree(input)? else {
            return Ok(None);
        };
        let status = status(&Repository::work_tree(&path))?;
        if !status.submodules.is_empty() {
            return Ok(None);
        }
        let mut hasher = Hasher::new(HashAlgo::Sha512);
        for name in by_name(&status.changed) {
            hash_text(&mut hasher, b"modified:");
            hash_text(&mut hasher, &[b"/", name].concat());
            nar::write_path(&path.join(OsStr::from_bytes(name)), &mut hasher)
                .map_err(|error| Error::refused(error.to_string()))?;
        }
        for name in by_name(&status.deleted) {
            hash_text(&mut hasher, b"deleted:");
            hash_text(&mut hasher, &[b"/", name].concat());
        }
        let rev = status.rev.as_deref().unwrap_or(NO_REV);
        let state = hasher.finish().to_base16();
        Ok(Some(format!("{rev}{};d={state}", git_flags(input))))
    }

    pub(super) fn fetch_work_tree(
        &self,
        path: &Path,
        input: &Input,
        wants: Wants,
    ) -> Result<Found> {
        if !path.exists() {
            return Err(missing(path));
        }
        let repository = Repository::work_tree(path);
        let mut status = status(&repository)?;
        let has_submodules = path.join(".gitmodules").exists();
        let mut allowed: HashSet<Vec<u8>> = status.files.iter().cloned().collect();
        if wants.submodules && has_submodules {
            self.add_submodules(path, b"", wants, &mut allowed, &mut status.dirty)?;
        }
        let mut found = input.clone();
        let shallow = input.flag("shallow");
        if status.dirty {
            self.warn_dirty(path)?;
            if let Some(rev) = &status.rev {
                found.set("dirtyRev", format!("{rev}-dirty"));
                found.set(
                    "dirtyShortRev",
                    format!("{}-dirty", &rev[..rev.len().min(7)]),
                );
            }
        } else {
            if let Some(branch) = &status.branch {
                found.set("ref", branch.as_str());
            }
            let rev = status.rev.as_deref().unwrap_or(NO_REV);
            found.set("rev", rev);
            if !shallow {
                let count = match &status.rev {
                    Some(rev) => self.commit_count(&repository, rev)?,
                    None => 0,
                };
                found.set("revCount", count);
            }
        }
        let time = match &status.rev {
            Some(rev) => self.commit_time(&repository, rev)?,
            None => 0,
        };
        found.set("lastModified", time);
        // What submodules have is not in the key.
        let key = if has_submodules {
            None
        } else {
            let state = fingerprint(path, &status)?;
            let rev = status.rev.as_deref().unwrap_or(NO_REV);
            Some(format!("git-work-tree {rev}{} {state}", wants.key()))
        };
        if let Some(key) = &key
            && let Some(path) = self.known_tree(key, input.name())?
        {
            return Ok((path, found));
        }
        let ignored = if wants.export_ignore {
            let parents = parents(&allowed);
            let paths: Vec<&[u8]> = allowed.iter().chain(&parents).map(Vec::as_slice).collect();
            export_ignored(&repository, None, &paths)?
        } else {
            HashSet::new()
        };
        let parents = parents(&allowed);
        let mut filter = |entry: &Path, _: xbuild_store::FileType| {
            let below = entry.strip_prefix(path).unwrap_or(entry);
            let below = below.as_os_str().as_bytes();
            let tracked =
                allowed.contains(below) || parents.contains(below) || is_below(&allowed, below);
            Ok(tracked && !is_below(&ignored, below))
        };
        let store_path = self.store.add_path(
            input.name(),
            path,
            FileIngestionMethod::NixArchive,
            HashAlgo::Sha256,
            Some(&mut filter),
            None,
        )?;
        if let Some(key) = &key {
            self.remember_tree(key, &store_path)?;
        }
        Ok((store_path, found))
    }

    fn warn_dirty(&self, path: &Path) -> Result<()> {
        let text = format!("Git tree '{}' is dirty", path.display());
        if !self.options.allow_dirty {
            return Err(Error::refused(text));
        }
        if self.options.warn_dirty {
            self.warn(&text);
        }
        Ok(())
    }

    /// Adds the files of the submodules that are checked out, and of theirs.
    fn add_submodules(
        &self,
        path: &Path,
        prefix: &[u8],
        wants: Wants,
        allowed: &mut HashSet<Vec<u8>>,
        dirty: &mut bool,
    ) -> Result<()> {
        let repository = Repository::work_tree(path);
        for submodule in submodules::read(&repository, &path.join(".gitmodules"))? {
            let inner = path.join(&submodule.path);
            if !inner.join(".git").exists() {
                return Err(Error::refused(format!(
                    "the submodule '{}' of the Git repository '{}' is not checked out\n\
                     hint: git -C {} submodule update --init --recursive",
                    submodule.path,
                    path.display(),
                    path.display()
                )));
            }
            let mut prefix = prefix.to_vec();
            prefix.extend_from_slice(submodule.path.as_bytes());
            prefix.push(b'/');
            let status = status(&Repository::work_tree(&inner))?;
            if status.dirty {
                self.warn_dirty(&inner)?;
                *dirty = true;
            }
            for file in &status.files {
                allowed.insert([&prefix, file.as_slice()].concat());
            }
            if inner.join(".gitmodules").exists() {
                let wants = Self::of_submodules(wants);
                self.add_submodules(&inner, &prefix, wants, allowed, dirty)?;
            }
        }
        Ok(())
    }
}

/// The letters by which stock Nix tells what is wanted of a repository, in a fingerprint.
#[must_use]
pub fn git_flags(input: &Input) -> String {
    [("submodules", ";s"), ("exportIgnore", ";e"), ("lfs", ";l")]
        .into_iter()
        .filter(|(name, _)| input.flag(name))
        .map(|(_, mark)| mark)
        .collect()
}

/// Hashes a text as NARs have it: its length, itself, and zeros up to a multiple of eight bytes.
fn hash_text(hasher: &mut Hasher, text: &[u8]) {
    hasher.update(&(text.len() as u64).to_le_bytes());
    hasher.update(text);
    hasher.update(&[0; 8][..text.len().next_multiple_of(8) - text.len()]);
}

/// Paths such that what is in a directory comes before what only begins like it.
fn by_name(paths: &BTreeSet<Vec<u8>>) -> Vec<&[u8]> {
    let mut paths: Vec<&[u8]> = paths.iter().map(Vec::as_slice).collect();
    paths.sort_by_cached_key(|path| {
        path.split(|&byte| byte == b'/')
            .map(<[u8]>::to_vec)
            .collect::<Vec<_>>()
    });
    paths
}

/// The directories that paths are in.
fn parents(paths: &HashSet<Vec<u8>>) -> HashSet<Vec<u8>> {
    let mut parents = HashSet::new();
    for path in paths {
        let mut end = path.len();
        while let Some(slash) = path[..end].iter().rposition(|&byte| byte == b'/') {
            if !parents.insert(path[..slash].to_vec()) {
                break;
            }
            end = slash;
        }
    }
    parents
}

fn status(repository: &Repository<'_>) -> Result<Status> {
    let shown = || {
        format!(
            "getting working directory status of '{}'",
            repository.path().display()
        )
    };
    // Two questions at once: each walks the index.
    let (tracked, changes) = std::thread::scope(|scope| {
        let tracked =
            scope.spawn(|| repository.run(&["ls-files", "-z", "--cached", "--stage"], shown));
        let args = [
            "status",
            "--porcelain=v2",
            "-z",
            "--branch",
            "--untracked-files=no",
            "--ignore-submodules=all",
            "--no-renames",
        ];
        let changes = repository.run(&args, shown);
        let tracked = tracked
            .join()
            .unwrap_or_else(|_| Err(Error::refused("a thread has died")));
        (tracked, changes)
    });
    let mut status = Status::default();
    for line in changes?.split(|&byte| byte == 0) {
        read_change(&mut status, line);
    }
    for line in tracked?.split(|&byte| byte == 0) {
        // `MODE OBJECT STAGE\tPATH`
        let Some(tab) = line.iter().position(|&byte| byte == b'\t') else {
            continue;
        };
        let path = line[tab + 1..].to_vec();
        if line.starts_with(b"160000") {
            status.submodules.insert(path, ());
        } else if !status.deleted.contains(&path) {
            status.files.insert(path);
        }
    }
    Ok(status)
}

/// One line of `git status --porcelain=v2 -z --branch` (git-status(1)).
fn read_change(status: &mut Status, line: &[u8]) {
    if let Some(head) = line.strip_prefix(b"# ") {
        let head = String::from_utf8_lossy(head);
        if let Some(rev) = head.strip_prefix("branch.oid ") {
            status.rev = Some(rev.to_owned()).filter(|rev| rev != "(initial)");
        } else if let Some(name) = head.strip_prefix("branch.head ") {
            status.branch = Some(format!("refs/heads/{name}")).filter(|_| name != "(detached)");
        }
        return;
    }
    // What precedes the path: 8 fields of an ordinary change, 10 of one that is not merged.
    let fields = match line.first() {
        Some(b'1') => 8,
        Some(b'u') => 10,
        _ => return,
    };
    let Some(path) = line.splitn(fields + 1, |&byte| byte == b' ').nth(fields) else {
        return;
    };
    status.dirty = true;
    let state = line.get(2..4).unwrap_or_default();
    if state.contains(&b'D') && line[0] == b'1' {
        status.deleted.insert(path.to_vec());
    } else {
        status.changed.insert(path.to_vec());
    }
}

/// What tells a dirty work tree from the commit, and from another dirty one.
fn fingerprint(path: &Path, status: &Status) -> Result<String> {
    if !status.dirty {
        return Ok("clean".to_owned());
    }
    let mut hasher = Hasher::new(HashAlgo::Sha256);
    for name in &status.changed {
        let file = path.join(OsStr::from_bytes(name));
        hasher.update(b"changed\0");
        hasher.update(name);
        let Ok(metadata) = fs::symlink_metadata(&file) else {
            hasher.update(b"\0gone\0");
            continue;
        };
        if metadata.is_symlink() {
            let target = fs::read_link(&file).map_err(Error::io("read", &file))?;
            hasher.update(b"\0link\0");
            hasher.update(target.as_os_str().as_bytes());
        } else if metadata.is_file() {
            let executable = metadata.permissions().mode() & 0o100 != 0;
            hasher.update(if executable {
                b"\0program\0"
            } else {
                b"\0file\0"
            });
            hasher.update(&metadata.len().to_le_bytes());
            let mut contents = fs::File::open(&file).map_err(Error::io("read", &file))?;
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let length = contents
                    .read(&mut buffer)
                    .map_err(Error::io("read", &file))?;
                if length == 0 {
                    break;
                }
                hasher.update(&buffer[..length]);
            }
        } else {
            // Something that takes the place of a file, and that is not looked into.
            return Ok(format!("unknown {}", crate::cache::now()));
        }
        hasher.update(b"\0");
    }
    for name in &status.deleted {
        hasher.update(b"deleted\0");
        hasher.update(name);
        hasher.update(b"\0");
    }
    Ok(hasher.finish().to_base32())
}
