//! The tree of a commit: its blobs, as they are in the repository.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

use xbuild_fetch::{EntryPath, OnExisting, Tree};
use xbuild_flake_ref::Input;
use xbuild_store_model::StorePath;

use super::attributes::{export_ignored, is_below};
use super::program::Repository;
use super::{Place, Wants, missing};
use crate::error::{Error, Result};
use crate::inputs::{Found, Inputs};

/// One entry of a tree.
pub(super) struct Entry<'a> {
    pub(super) mode: &'a [u8],
    pub(super) object: &'a str,
    pub(super) path: &'a [u8],
}

impl Inputs {
    pub(super) fn fetch_commit(&self, place: &Place, input: &Input, wants: Wants) -> Result<Found> {
        let mut found = input.clone();
        let shallow = input.flag("shallow");
        let clone: PathBuf;
        let repository = match place {
            Place::Local(path) => {
                if !path.exists() {
                    return Err(missing(path));
                }
                let repository = Repository::work_tree(path);
                let reference = match input.text("ref") {
                    Some(reference) => reference.to_owned(),
                    None => match head(&repository)? {
                        Some(reference) => reference,
                        None => self.master_of(place),
                    },
                };
                found.set("ref", reference.as_str());
                if input.text("rev").is_none() {
                    found.set("rev", resolve(&repository, &reference)?);
                }
                repository
            }
            Place::Remote(url) => {
                clone = self.update_clone(url, input, &mut found)?;
                Repository::bare(&clone)
            }
        };
        let rev = found.rev()?.unwrap_or_default();
        found.set("rev", rev.as_str());
        let exists = format!("{rev}^{{commit}}");
        if !repository.succeeds(&["cat-file", "-e", &exists])? {
            return Err(Error::refused(format!(
                "getting Git object '{rev}': object not found - no match for id ({rev}) in '{}'",
                place.shown()
            )));
        }
        if !shallow && is_shallow(&repository)? {
            return Err(Error::refused(format!(
                "'{}' is a shallow Git repository, but shallow repositories are only allowed when `shallow = true;` is specified",
                place.shown()
            )));
        }
        found.set("lastModified", self.commit_time(&repository, &rev)?);
        if !shallow {
            found.set("revCount", self.commit_count(&repository, &rev)?);
        }
        let key = format!("git-tree {rev}{}", wants.key());
        if let Some(path) = self.known_tree(&key, input.name())? {
            return Ok((path, found));
        }
        let scratch = self.store.work_dir()?;
        let tree = scratch.path().join("tree");
        self.write_commit(&repository, &rev, wants, found.text("ref"), &tree)?;
        let path: StorePath = self.add_tree(input.name(), &tree)?;
        self.remember_tree(&key, &path)?;
        Ok((path, found))
    }

    pub(super) fn master_of(&self, place: &Place) -> String {
        self.warn(&format!(
            "could not read HEAD ref from repo at '{}', using 'master'",
            place.shown()
        ));
        "master".to_owned()
    }

    /// Writes the tree of a commit to `dest`, which must not exist.
    pub(super) fn write_commit(
        &self,
        repository: &Repository<'_>,
        rev: &str,
        wants: Wants,
        reference: Option<&str>,
        dest: &Path,
    ) -> Result<()> {
        let listed = repository.run(&["ls-tree", "-r", "-t", "-z", "--full-tree", rev], || {
            format!("reading the Git commit '{rev}'")
        })?;
        let entries = listed
            .split(|&byte| byte == 0)
            .filter(|line| !line.is_empty())
            .map(|line| {
                parse_entry(line)
                    .ok_or_else(|| Error::refused("git ls-tree prints what it should not"))
            })
            .collect::<Result<Vec<_>>>()?;
        let ignored = if wants.export_ignore {
            let paths: Vec<&[u8]> = entries.iter().map(|entry| entry.path).collect();
            export_ignored(repository, Some(rev), &paths)?
        } else {
            std::collections::HashSet::new()
        };
        let entries: Vec<Entry<'_>> = entries
            .into_iter()
            .filter(|entry| !is_below(&ignored, entry.path))
            .collect();
        write_entries(repository, &entries, dest)?;
        if wants.submodules {
            self.write_submodules(repository, &entries, reference, dest)?;
        }
        Ok(())
    }
}

/// `MODE TYPE OBJECT\tPATH`
fn parse_entry(line: &[u8]) -> Option<Entry<'_>> {
    let tab = line.iter().position(|&byte| byte == b'\t')?;
    let mut fields = line[..tab].split(|&byte| byte == b' ');
    let (mode, _, object) = (fields.next()?, fields.next()?, fields.next()?);
    Some(Entry {
        mode,
        object: std::str::from_utf8(object).ok()?,
        path: &line[tab + 1..],
    })
}

fn write_entries(repository: &Repository<'_>, entries: &[Entry<'_>], dest: &Path) -> Result<()> {
    let mut tree = Tree::create(dest, OnExisting::Compare)?;
    tree.begin(repository.path());
    let mut child = repository.start(&["cat-file", "--batch"])?;
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(Error::refused("git cat-file has no pipes"));
    };
    let is_blob = |entry: &&Entry<'_>| matches!(entry.mode, b"100644" | b"100755" | b"120000");
    let questions: String = entries
        .iter()
        .filter(is_blob)
        .flat_map(|entry| [entry.object, "\n"])
        .collect();
    let mut blobs = BufReader::with_capacity(64 * 1024, stdout);
    let written = std::thread::scope(|scope| {
        scope.spawn(move || {
            // That it ends early shows when its answers do.
            let _ = stdin.write_all(questions.as_bytes());
        });
        for entry in entries {
            write_entry(&mut tree, entry, &mut blobs)?;
        }
        Ok(())
    });
    drop(blobs);
    if written.is_err() {
        let _ = child.kill();
    }
    let _ = child.wait();
    written.map(|()| tree.finish())
}

fn write_entry(
    tree: &mut Tree,
    entry: &Entry<'_>,
    blobs: &mut BufReader<std::process::ChildStdout>,
) -> Result<()> {
    let shown = || String::from_utf8_lossy(entry.path).into_owned();
    let path = EntryPath::parse(entry.path).map_err(|reason| {
        Error::refused(format!(
            "the Git tree has the entry '{}', which is refused: {reason}",
            shown()
        ))
    })?;
    let mut blob = || -> Result<u64> {
        let failed = |source| Error::Io {
            action: "read from git the blob of",
            path: shown().into(),
            source,
        };
        let mut head = Vec::new();
        blobs
            .by_ref()
            .take(1024)
            .read_until(b'\n', &mut head)
            .map_err(failed)?;
        // `OBJECT blob SIZE`, or `OBJECT missing`.
        let text = String::from_utf8_lossy(&head);
        let size = text
            .trim_end()
            .rsplit_once(' ')
            .and_then(|(_, size)| size.parse().ok());
        size.ok_or_else(|| {
            Error::refused(format!(
                "the Git repository lacks the contents of '{}': git says '{}'",
                shown(),
                text.trim_end()
            ))
        })
    };
    match entry.mode {
        // A submodule that is not fetched is an empty directory.
        b"040000" | b"160000" => tree.directory(&path)?,
        b"100644" | b"100755" => {
            let size = blob()?;
            tree.file(
                &path,
                entry.mode == b"100755",
                size,
                &mut blobs.by_ref().take(size),
            )?;
            end_of_blob(blobs);
        }
        b"120000" => {
            let size = blob()?;
            if size > 4096 {
                return Err(Error::refused(format!(
                    "the target of the symbolic link '{}' in the Git tree is too long",
                    shown()
                )));
            }
            let mut target = Vec::new();
            blobs
                .by_ref()
                .take(size)
                .read_to_end(&mut target)
                .map_err(Error::io("read from git", shown()))?;
            tree.symlink(&path, &target)?;
            end_of_blob(blobs);
        }
        mode => {
            return Err(Error::refused(format!(
                "file '{}' has an unsupported Git file type: {}",
                shown(),
                String::from_utf8_lossy(mode)
            )));
        }
    }
    Ok(())
}

/// Skips the line end behind a blob.
fn end_of_blob(blobs: &mut BufReader<std::process::ChildStdout>) {
    // If it is not there, the next head is not what it should be.
    let _ = blobs.read_exact(&mut [0]);
}

/// The branch that is checked out, `refs/heads/…`.
pub(super) fn head(repository: &Repository<'_>) -> Result<Option<String>> {
    let output = repository.output(&["symbolic-ref", "-q", "HEAD"])?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}

/// The commit that a reference leads to.
pub(super) fn resolve(repository: &Repository<'_>, reference: &str) -> Result<String> {
    let commit = format!("{reference}^{{commit}}");
    let args = [
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        &commit,
    ];
    let what = || format!("resolving Git reference '{reference}': revspec '{reference}' not found");
    let text = repository.text(&args, what)?;
    Ok(text.trim().to_owned())
}

/// Whether it has a part of the history only.
fn is_shallow(repository: &Repository<'_>) -> Result<bool> {
    let what = || "looking at the Git repository".to_owned();
    let text = repository.text(&["rev-parse", "--is-shallow-repository"], what)?;
    Ok(text.trim() == "true")
}
