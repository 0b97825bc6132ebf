//! A [`Host`] with the real file system, and a store that only exists in memory: for tests, and for evaluations whose
//! store paths are computed but not written.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use xbuild_derivation::Derivation;
use xbuild_store_model::nar;
use xbuild_store_model::store_path::{make_fixed_output_path, make_text_path};
use xbuild_store_model::{FileIngestionMethod, Hash, HashAlgo, Hasher, STORE_DIR, StorePath};

use crate::host::{
    DirState, FetchUrl, FileType, Host, HostError, HostResult, PathFilter, Requisite, read_contents,
};

/// What is in the store of a [`LocalHost`].
enum Entry {
    /// A text file and its references.
    Text(Vec<u8>, Vec<StorePath>),
    /// A copy of a tree, which is read where it came from.
    Copy(PathBuf),
    /// A derivation.
    Derivation(Box<Derivation>),
}

/// The real file system, with a store in memory.
#[derive(Default)]
pub struct LocalHost {
    store: RefCell<BTreeMap<StorePath, Entry>>,
    messages: Option<Rc<RefCell<Vec<u8>>>>,
}

impl LocalHost {
    /// With an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With an empty store; messages for the user are kept there instead of being printed.
    #[must_use]
    pub fn with_messages(messages: Rc<RefCell<Vec<u8>>>) -> Self {
        Self {
            messages: Some(messages),
            ..Self::default()
        }
    }

    /// The derivations that were added, by path.
    #[must_use]
    pub fn derivations(&self) -> Vec<(StorePath, Derivation)> {
        let store = self.store.borrow();
        store
            .iter()
            .filter_map(|(path, entry)| match entry {
                Entry::Derivation(derivation) => Some((path.clone(), (**derivation).clone())),
                _ => None,
            })
            .collect()
    }

    /// Where a logical path really is: text files are not anywhere.
    fn real(&self, path: &Path) -> PathBuf {
        let Some(text) = path.to_str().filter(|text| text.starts_with(STORE_DIR)) else {
            return path.to_owned();
        };
        let Ok((store_path, rest)) = StorePath::parse_prefix(text) else {
            return path.to_owned();
        };
        match self.store.borrow().get(&store_path) {
            Some(Entry::Copy(source)) => match rest.strip_prefix('/') {
                Some(rest) => source.join(rest),
                None => source.clone(),
            },
            _ => path.to_owned(),
        }
    }

    fn text(&self, path: &Path) -> Option<Vec<u8>> {
        let path = StorePath::parse(path.to_str()?).ok()?;
        match self.store.borrow().get(&path)? {
            Entry::Text(contents, _) => Some(contents.clone()),
            Entry::Derivation(derivation) => Some(derivation.to_aterm()),
            Entry::Copy(_) => None,
        }
    }
}

impl Host for LocalHost {
    fn is_plain(&self, path: &Path) -> bool {
        !path.starts_with(STORE_DIR)
    }

    fn read_file(&self, path: &Path) -> HostResult<Vec<u8>> {
        if let Some(text) = self.text(path) {
            return Ok(text);
        }
        read_contents(&self.real(path)).map_err(|error| HostError::opening(path, &error))
    }

    fn read_dir(&self, path: &Path) -> HostResult<Vec<(OsString, FileType)>> {
        let failed = |error: std::io::Error| HostError::reading_dir(path, &error);
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(self.real(path)).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            entries.push((entry.file_name(), entry.file_type().map_err(failed)?.into()));
        }
        Ok(entries)
    }

    fn dir_state(&self, path: &Path) -> Option<DirState> {
        DirState::new(&std::fs::metadata(self.real(path)).ok()?)
    }

    fn file_type(&self, path: &Path) -> HostResult<Option<FileType>> {
        if self.text(path).is_some() {
            return Ok(Some(FileType::Regular));
        }
        match std::fs::symlink_metadata(self.real(path)) {
            Ok(metadata) => Ok(Some(metadata.file_type().into())),
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(HostError::status(path, &error)),
        }
    }

    fn read_link(&self, path: &Path) -> HostResult<PathBuf> {
        std::fs::read_link(self.real(path)).map_err(|error| HostError::reading_link(path, &error))
    }

    fn canonicalise(&self, path: &Path) -> HostResult<PathBuf> {
        if path.starts_with(STORE_DIR) {
            return Ok(path.to_owned());
        }
        std::fs::canonicalize(path).map_err(|error| HostError::status(path, &error))
    }

    fn env(&self, name: &OsStr) -> Option<OsString> {
        std::env::var_os(name)
    }

    fn current_time(&self) -> i64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }

    fn message(&self, text: &[u8]) {
        if let Some(messages) = &self.messages {
            let mut messages = messages.borrow_mut();
            messages.extend_from_slice(text);
            messages.push(b'\n');
            return;
        }
        let mut stderr = std::io::stderr().lock();
        // Nothing can be told about a stderr that is gone.
        let _ = stderr
            .write_all(text)
            .and_then(|()| stderr.write_all(b"\n"));
    }

    fn add_text(
        &self,
        name: &str,
        contents: &[u8],
        references: &[StorePath],
    ) -> HostResult<StorePath> {
        let set: BTreeSet<StorePath> = references.iter().cloned().collect();
        let path = make_text_path(name, &Hash::of(HashAlgo::Sha256, contents), &set)?;
        self.store.borrow_mut().insert(
            path.clone(),
            Entry::Text(contents.to_vec(), references.to_vec()),
        );
        Ok(path)
    }

    fn add_path(
        &self,
        name: &str,
        source: &Path,
        method: FileIngestionMethod,
        algo: HashAlgo,
        filter: Option<&mut PathFilter<'_>>,
        expected: Option<Hash>,
    ) -> HostResult<StorePath> {
        let real = self.real(source);
        let hash = match method {
            FileIngestionMethod::Flat => Hash::of(algo, &self.read_file(source)?),
            FileIngestionMethod::NixArchive => {
                if let Some(text) = self.text(source) {
                    let mut hasher = Hasher::new(algo);
                    nar::write_contents(&text, false, &mut hasher)?;
                    hasher.finish()
                } else {
                    let mut hasher = Hasher::new(algo);
                    match filter {
                        None => nar::write_path(&real, &mut hasher)?,
                        Some(filter) => {
                            let mut relative = |path: &Path, kind: FileType| {
                                filter(&source.join(path), kind).map_err(HostError::into_cause)
                            };
                            nar::write_path_filtered(&real, &mut hasher, &mut relative)?
                        }
                    };
                    hasher.finish()
                }
            }
        };
        if let Some(expected) = expected
            && expected != hash
        {
            return Err(HostError::new(format!(
                "store path mismatch in (possibly filtered) path added from '{}'\n  specified: {}\n  got:       {}",
                source.display(),
                expected.to_sri(),
                hash.to_sri()
            )));
        }
        let path = make_fixed_output_path(method, &hash, name, &BTreeSet::new(), false)?;
        let entry = match self.text(source) {
            Some(text) => Entry::Text(text, Vec::new()),
            None => Entry::Copy(real),
        };
        self.store.borrow_mut().insert(path.clone(), entry);
        Ok(path)
    }

    fn add_derivation(&self, derivation: &Derivation, aterm: Vec<u8>) -> HostResult<StorePath> {
        let path = derivation.drv_path_of(&aterm)?;
        self.store.borrow_mut().insert(
            path.clone(),
            Entry::Derivation(Box::new(derivation.clone())),
        );
        Ok(path)
    }

    fn read_derivation(&self, path: &StorePath) -> HostResult<Derivation> {
        match self.store.borrow().get(path) {
            Some(Entry::Derivation(derivation)) => Ok((**derivation).clone()),
            Some(Entry::Text(contents, _)) => Ok(Derivation::parse_at(path, contents)?),
            _ => Err(HostError::new(format!(
                "derivation '{path}' is not in the store"
            ))),
        }
    }

    fn closure(&self, path: &StorePath) -> HostResult<Vec<StorePath>> {
        let mut found = BTreeSet::from([path.clone()]);
        let mut todo = vec![path.clone()];
        while let Some(path) = todo.pop() {
            let references = self.references(&path)?;
            todo.extend(
                references
                    .into_iter()
                    .filter(|reference| found.insert(reference.clone())),
            );
        }
        Ok(found.into_iter().collect())
    }

    fn references(&self, path: &StorePath) -> HostResult<Vec<StorePath>> {
        match self.store.borrow().get(path) {
            Some(Entry::Text(_, references)) => Ok(references.clone()),
            Some(Entry::Derivation(derivation)) => {
                Ok(derivation.references().into_iter().collect())
            }
            Some(Entry::Copy(_)) => Ok(Vec::new()),
            None => Err(HostError::new(format!("path '{path}' is not valid"))),
        }
    }

    fn is_valid(&self, path: &StorePath) -> HostResult<bool> {
        Ok(self.store.borrow().contains_key(path))
    }

    fn realise(&self, wanted: &[Requisite]) -> HostResult<Vec<StorePath>> {
        let path = |requisite: &Requisite| match requisite {
            Requisite::Path(path) if self.store.borrow().contains_key(path) => Ok(path.clone()),
            Requisite::Path(path) => Err(HostError::new(format!("path '{path}' is not valid"))),
            Requisite::Output(drv, output) => Err(HostError::new(format!(
                "output '{output}' of '{drv}' is needed during the evaluation, but nothing is built here"
            ))),
        };
        wanted.iter().map(path).collect()
    }

    fn physical(&self, path: &StorePath) -> PathBuf {
        self.real(Path::new(&path.to_string()))
    }

    fn fetch_url(&self, fetch: &FetchUrl) -> HostResult<StorePath> {
        Err(HostError::new(format!(
            "cannot download '{}': there is no network here",
            fetch.url
        )))
    }

    fn flush(&self) -> HostResult<()> {
        Ok(())
    }
}
