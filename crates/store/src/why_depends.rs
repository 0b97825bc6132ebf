//! Why one path is in the closure of another: the shortest way along references, and the files that make each of its steps.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use xbuild_store_model::store_path::StorePath;

use crate::error::Result;
use crate::store::Store;
use crate::tree::{self, TreeSink};

/// The part of a closure through which one path depends on another.
#[derive(Debug, Clone)]
pub struct Dependency {
    /// The path that depends.
    pub package: StorePath,
    /// The path it depends on.
    pub dependency: StorePath,
    /// For each path on a way from the one to the other: what it refers to on such ways, those first that are nearest to the
    /// dependency.
    pub references: BTreeMap<StorePath, Vec<StorePath>>,
}

/// Where a reference stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Occurrence {
    /// In a file.
    File {
        /// The file, relative to the store path; empty for the store path itself.
        file: PathBuf,
        /// What stands around the hash part of the reference, up to 32 bytes before and behind.
        context: Vec<u8>,
    },
    /// In the target of a symlink.
    Symlink {
        /// The link.
        file: PathBuf,
        /// The target.
        target: Vec<u8>,
    },
}

/// How many bytes before and behind a reference are shown.
const MARGIN: usize = 32;

impl Store {
    /// Why `package` depends on `dependency`; `None` if it does not.
    pub fn why_depends(
        &self,
        package: &StorePath,
        dependency: &StorePath,
    ) -> Result<Option<Dependency>> {
        let closure = self.closure(std::slice::from_ref(package))?;
        if !closure.contains(dependency) {
            return Ok(None);
        }
        let mut references = BTreeMap::new();
        let mut referrers: BTreeMap<StorePath, Vec<StorePath>> = BTreeMap::new();
        for path in closure {
            let of_path = self.references(&path)?;
            for reference in &of_path {
                referrers
                    .entry(reference.clone())
                    .or_default()
                    .push(path.clone());
            }
            references.insert(path, of_path);
        }
        let mut distance = BTreeMap::from([(dependency.clone(), 0_usize)]);
        let mut todo = VecDeque::from([dependency.clone()]);
        while let Some(path) = todo.pop_front() {
            let next = distance[&path] + 1;
            for referrer in referrers.get(&path).into_iter().flatten() {
                if !distance.contains_key(referrer) {
                    distance.insert(referrer.clone(), next);
                    todo.push_back(referrer.clone());
                }
            }
        }
        let is_itself = package == dependency;
        let mut on_the_way = BTreeMap::new();
        for (path, of_path) in references {
            let mut nearer: Vec<(usize, StorePath)> = of_path
                .into_iter()
                // That a path refers to itself explains something only if that was asked.
                .filter(|reference| *reference != path || is_itself)
                .filter_map(|reference| Some((*distance.get(&reference)?, reference)))
                .collect();
            nearer.sort();
            on_the_way.insert(path, nearer.into_iter().map(|(_, path)| path).collect());
        }
        Ok(Some(Dependency {
            package: package.clone(),
            dependency: dependency.clone(),
            references: on_the_way,
        }))
    }

    /// The files of a valid path in which references stand, in the order of its NAR. Of each file, the first occurrence counts.
    pub fn occurrences(
        &self,
        path: &StorePath,
        references: &[StorePath],
    ) -> Result<BTreeMap<StorePath, Vec<Occurrence>>> {
        let wanted: BTreeSet<&StorePath> = references.iter().collect();
        let mut search = Search {
            wanted: &wanted,
            place: PathBuf::new(),
            depth: 0,
            name: None,
            contents: Vec::new(),
            found: BTreeMap::new(),
        };
        tree::read(&self.physical(path), None, &mut search)?;
        Ok(search.found)
    }
}

struct Search<'a> {
    wanted: &'a BTreeSet<&'a StorePath>,
    place: PathBuf,
    depth: usize,
    name: Option<PathBuf>,
    contents: Vec<u8>,
    found: BTreeMap<StorePath, Vec<Occurrence>>,
}

impl Search<'_> {
    fn at(&self, name: &CStr) -> PathBuf {
        self.place
            .join(Path::new(OsStr::from_bytes(name.to_bytes())))
    }

    fn found(&mut self, path: &StorePath, occurrence: Occurrence) {
        self.found.entry(path.clone()).or_default().push(occurrence);
    }
}

fn position(text: &[u8], hash_part: &str) -> Option<usize> {
    let what = hash_part.as_bytes();
    text.windows(what.len()).position(|window| window == what)
}

impl TreeSink for Search<'_> {
    fn enter(&mut self, name: &CStr) -> Result<()> {
        self.depth += 1;
        self.place = self.at(name);
        Ok(())
    }

    fn leave(&mut self) -> Result<()> {
        self.depth -= 1;
        if self.depth > 0 {
            self.place.pop();
        }
        Ok(())
    }

    fn symlink(&mut self, name: &CStr, target: &CStr) -> Result<()> {
        let wanted = self.wanted;
        for &path in wanted {
            if position(target.to_bytes(), path.hash_part()).is_some() {
                let file = self.at(name);
                let target = target.to_bytes().to_vec();
                self.found(path, Occurrence::Symlink { file, target });
            }
        }
        Ok(())
    }

    fn file(&mut self, name: &CStr, _: bool, _: u64) -> Result<()> {
        self.name = Some(self.at(name));
        self.contents.clear();
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        self.contents.extend_from_slice(bytes);
        Ok(())
    }

    fn end_file(&mut self) -> Result<()> {
        let file = self.name.take().unwrap_or_default();
        let wanted = self.wanted;
        for &path in wanted {
            let hash_part = path.hash_part();
            if let Some(at) = position(&self.contents, hash_part) {
                let end = (at + hash_part.len() + MARGIN).min(self.contents.len());
                let context = self.contents[at.saturating_sub(MARGIN)..end].to_vec();
                let file = file.clone();
                self.found(path, Occurrence::File { file, context });
            }
        }
        Ok(())
    }
}
