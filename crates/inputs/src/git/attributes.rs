//! `export-ignore`: what a tree is fetched without (gitattributes(5)).

use std::collections::HashSet;

use super::program::Repository;
use crate::error::{Error, Result};

/// Those of the paths that attributes in the index mark with `export-ignore`. With a commit, its attributes count, by way of an
/// index of our own.
pub(super) fn export_ignored(
    repository: &Repository<'_>,
    rev: Option<&str>,
    paths: &[&[u8]],
) -> Result<HashSet<Vec<u8>>> {
    let is_attributes = |path: &&&[u8]| path.ends_with(b".gitattributes");
    let info = if repository.is_bare() {
        repository.path().join("info/attributes")
    } else {
        repository.path().join(".git/info/attributes")
    };
    if !paths.iter().any(|path| is_attributes(&path)) && !info.exists() {
        return Ok(HashSet::new());
    }
    let scratch = tempfile_dir()?;
    let index = scratch.path.join("index");
    let with_index = repository.with_index(&index);
    let asked = match rev {
        Some(rev) => {
            with_index.run(&["read-tree", rev], || {
                format!("reading the Git commit '{rev}'")
            })?;
            &with_index
        }
        None => repository,
    };
    let mut input = Vec::new();
    for path in paths {
        input.extend_from_slice(path);
        input.push(0);
    }
    let args = [
        "-c",
        "core.attributesFile=/dev/null",
        "check-attr",
        "--cached",
        "--stdin",
        "-z",
        "export-ignore",
    ];
    let output = asked.run_with_input(&args, &input, || "looking up 'export-ignore'".to_owned())?;
    let fields: Vec<&[u8]> = output.split(|&byte| byte == 0).collect();
    Ok(fields
        .chunks_exact(3)
        .filter(|fields| fields[2] == b"set")
        .map(|fields| fields[0].to_vec())
        .collect())
}

/// A directory that is removed in the end.
struct Scratch {
    path: std::path::PathBuf,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn tempfile_dir() -> Result<Scratch> {
    let base = std::env::temp_dir();
    for attempt in 0..1000_u32 {
        let path = base.join(format!("xbuild-index-{}-{attempt}", std::process::id()));
        match std::fs::create_dir(&path) {
            Ok(()) => return Ok(Scratch { path }),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io("create", path)(error)),
        }
    }
    Err(Error::refused(format!(
        "cannot make a temporary directory in '{}'",
        base.display()
    )))
}

/// Whether a path or a directory that it is in is in the set.
pub(super) fn is_below(set: &HashSet<Vec<u8>>, path: &[u8]) -> bool {
    if set.is_empty() {
        return false;
    }
    let ends = path
        .iter()
        .enumerate()
        .filter(|&(_, &byte)| byte == b'/')
        .map(|(end, _)| end);
    ends.chain([path.len()])
        .any(|end| set.contains(&path[..end]))
}
