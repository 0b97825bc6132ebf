//! The evaluator's view of files, environment and store.

mod computed;
mod paths;
mod texts;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xbuild_derivation::Derivation;
use xbuild_eval::host::{
    DirState, FetchUrl, FetchedTree, FileType, Host, HostError, HostResult, Origin, PathFilter,
    Registries, Requisite, read_contents,
};
use xbuild_fetch::{FetchError, Fetcher};
use xbuild_flake_ref::Input;
use xbuild_inputs::{Called, InputOptions, Inputs, Which};
use xbuild_sandbox::CancelToken;
use xbuild_store::{NewText, Store};
use xbuild_store_model::store_path::make_fixed_output_path;
use xbuild_store_model::{FileIngestionMethod, Hash, HashAlgo, STORE_DIR, StorePath};

use crate::derivation_writer::DerivationWriter;
use crate::plan::{Wanted, read_derivation};
use crate::run::Realised;
use computed::Source;

/// Builds what an evaluation needs before it can go on (import from derivation).
pub type Build = dyn Fn(&[Wanted]) -> crate::Result<Vec<Realised>>;

/// A [`Host`] on a [`Store`]. New derivations are written together, beside the evaluation.
pub struct StoreHost {
    store: Arc<Store>,
    fetcher: Arc<Fetcher>,
    cancel: CancelToken,
    build: Box<Build>,
    inputs: std::rc::Rc<Inputs>,
    derivations: RefCell<DerivationWriter>,
    /// Whether nothing is written into the store.
    read_only: bool,
    /// With `read_only`: where the trees lie whose store paths were only computed.
    computed: RefCell<BTreeMap<StorePath, PathBuf>>,
}

impl StoreHost {
    /// A host on `store`; `build` realises what the evaluation itself needs, `inputs` says how trees are fetched.
    #[must_use]
    pub fn new(
        store: Arc<Store>,
        fetcher: Arc<Fetcher>,
        cancel: CancelToken,
        build: Box<Build>,
        inputs: InputOptions,
    ) -> Self {
        let inputs = Inputs::new(
            Arc::clone(&store),
            Arc::clone(&fetcher),
            Box::new(Flag(cancel.clone())),
            inputs,
            Box::new(|line| message(line.as_bytes())),
        );
        Self {
            inputs: std::rc::Rc::new(inputs),
            derivations: RefCell::new(DerivationWriter::new(Arc::clone(&store))),
            store,
            fetcher,
            cancel,
            build,
            read_only: false,
            computed: RefCell::default(),
        }
    }

    /// The same, but sources get no copy in the store, and nothing is built.
    #[must_use]
    pub fn read_only(self, read_only: bool) -> Self {
        Self { read_only, ..self }
    }

    /// Who fetches trees.
    #[must_use]
    pub fn inputs(&self) -> std::rc::Rc<Inputs> {
        std::rc::Rc::clone(&self.inputs)
    }
}

/// The wish to stop, as downloads look at it.
struct Flag(CancelToken);

impl AsRef<std::sync::atomic::AtomicBool> for Flag {
    fn as_ref(&self) -> &std::sync::atomic::AtomicBool {
        self.0.flag()
    }
}

/// Prints a line to stderr.
fn message(text: &[u8]) {
    let mut line = text.to_vec();
    line.push(b'\n');
    // Nothing can be done about a closed stderr.
    let _ = std::io::stderr().lock().write_all(&line);
}

/// The exit code of stock Nix for what has another hash than it was said to have.
const WRONG_HASH: u8 = 102;

fn download_error(error: FetchError) -> HostError {
    let code = if matches!(error, FetchError::HashMismatch { .. }) {
        WRONG_HASH
    } else {
        1
    };
    HostError::from(error).with_exit_code(code)
}

fn input_error(error: xbuild_inputs::Error) -> HostError {
    let code = if matches!(error, xbuild_inputs::Error::HashMismatch { .. }) {
        WRONG_HASH
    } else {
        1
    };
    HostError::from(error).with_exit_code(code)
}

/// Of a source that was copied, with the first line of stock Nix.
fn added_error(source: &Path, error: xbuild_store::Error) -> HostError {
    match error {
        xbuild_store::Error::HashMismatch {
            expected, found, ..
        } => HostError::new(format!(
            "store path mismatch in (possibly filtered) path added from '{}'\n  specified: {expected}\n  got:       {found}",
            source.display()
        )),
        other => other.into(),
    }
}

impl StoreHost {
    fn write_derivations(&self) -> HostResult<()> {
        Ok(self.derivations.borrow().flush()?)
    }

    /// The store path of what is called `name` and has this hash, if it is there.
    fn fixed_output(
        &self,
        method: FileIngestionMethod,
        hash: &Hash,
        name: &str,
    ) -> HostResult<Option<StorePath>> {
        let path = make_fixed_output_path(method, hash, name, &BTreeSet::new(), false)?;
        // First a root: a collector may come between the question and the use.
        self.store.add_temp_root(&path)?;
        Ok(self.store.is_valid(&path)?.then_some(path))
    }

    /// Whether the evaluation made the derivation at `path`.
    fn is_new(&self, path: &StorePath) -> bool {
        self.derivations.borrow().contains(path)
    }
}

impl Host for StoreHost {
    fn read_file(&self, path: &Path) -> HostResult<Vec<u8>> {
        read_contents(&self.resolve(path, true)?).map_err(|error| HostError::opening(path, &error))
    }

    fn is_plain(&self, path: &Path) -> bool {
        self.locate(path) == path
    }

    fn read_dir(&self, path: &Path) -> HostResult<Vec<(OsString, FileType)>> {
        let failed = |error: std::io::Error| HostError::reading_dir(path, &error);
        fs::read_dir(self.resolve(path, true)?)
            .map_err(failed)?
            .map(|entry| {
                let entry = entry?;
                Ok((entry.file_name(), entry.file_type()?.into()))
            })
            .collect::<std::io::Result<_>>()
            .map_err(failed)
    }

    fn dir_state(&self, path: &Path) -> Option<DirState> {
        DirState::new(&fs::metadata(self.resolve(path, true).ok()?).ok()?)
    }

    fn file_type(&self, path: &Path) -> HostResult<Option<FileType>> {
        if path == Path::new(STORE_DIR) {
            return Ok(Some(FileType::Directory));
        }
        match fs::symlink_metadata(self.resolve(path, false)?) {
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
        fs::read_link(self.resolve(path, false)?)
            .map_err(|error| HostError::reading_link(path, &error))
    }

    fn canonicalise(&self, path: &Path) -> HostResult<PathBuf> {
        let walked = self.walk(path, true)?;
        if self.store.logical(&walked).is_some() {
            return match fs::symlink_metadata(self.locate(&walked)) {
                Ok(_) => Ok(walked),
                Err(error) => Err(HostError::status(path, &error)),
            };
        }
        let canonical =
            fs::canonicalize(&walked).map_err(|error| HostError::status(path, &error))?;
        // An out-link leads to the physical store, but a program's paths are logical.
        Ok(match self.store.logical(&canonical) {
            Some((store_path, rest)) => PathBuf::from(store_path.to_string()).join(rest),
            None => canonical,
        })
    }

    fn env(&self, name: &OsStr) -> Option<OsString> {
        std::env::var_os(name)
    }

    fn current_time(&self) -> i64 {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .ok()
            .and_then(|since| i64::try_from(since.as_secs()).ok())
            .unwrap_or_default()
    }

    fn message(&self, text: &[u8]) {
        message(text);
    }

    fn add_text(
        &self,
        name: &str,
        contents: &[u8],
        references: &[StorePath],
    ) -> HostResult<StorePath> {
        self.write_derivations()?;
        self.check_derivation_text(name, contents)?;
        let references: BTreeSet<StorePath> = references.iter().cloned().collect();
        Ok(self.store.add_text(name, contents, &references)?)
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
        if let Some(hash) = &expected
            && let Some(path) = self.fixed_output(method, hash, name)?
        {
            return Ok(path);
        }
        let physical = self.resolve(source, true)?;
        let read_only = self.read_only.then_some(Source {
            name,
            physical: &physical,
            method,
            algo,
        });
        let Some(filter) = filter else {
            if let Some(source) = read_only {
                return self.compute_path(&source, None);
            }
            return self
                .store
                .add_path(name, &physical, method, algo, None, expected.as_ref())
                .map_err(|error| added_error(source, error));
        };
        if let Some(computed) = read_only {
            let mut translated = |path: &Path, kind: FileType| filter(&source.join(path), kind);
            return self.compute_path(&computed, Some(&mut translated));
        }
        // The filter knows the paths of the program, not where they lie.
        let mut translated = |path: &Path, kind: FileType| {
            let below = path.strip_prefix(&physical).unwrap_or(path);
            filter(&source.join(below), kind).map_err(HostError::into_cause)
        };
        let filter = Some(&mut translated as _);
        self.store
            .add_path(name, &physical, method, algo, filter, expected.as_ref())
            .map_err(|error| added_error(source, error))
    }

    fn add_derivation(&self, derivation: &Derivation, aterm: Vec<u8>) -> HostResult<StorePath> {
        let path = derivation.drv_path_of(&aterm)?;
        self.derivations.borrow_mut().add(&path, || NewText {
            name: path.name().to_owned(),
            contents: aterm,
            references: derivation.references(),
        });
        Ok(path)
    }

    fn read_derivation(&self, path: &StorePath) -> HostResult<Derivation> {
        if self.is_new(path) {
            self.write_derivations()?;
        }
        Ok(read_derivation(&self.store, path)?)
    }

    fn is_valid(&self, path: &StorePath) -> HostResult<bool> {
        Ok(self.is_new(path)
            || self.computed.borrow().contains_key(path)
            || self.store.is_valid(path)?)
    }

    fn closure(&self, path: &StorePath) -> HostResult<Vec<StorePath>> {
        self.write_derivations()?;
        Ok(self.store.closure(std::slice::from_ref(path))?)
    }

    fn references(&self, path: &StorePath) -> HostResult<Vec<StorePath>> {
        if self.is_new(path) {
            self.write_derivations()?;
        }
        Ok(self.store.references(path)?.into_iter().collect())
    }

    fn realise(&self, wanted: &[Requisite]) -> HostResult<Vec<StorePath>> {
        if self.read_only {
            return self.check_there(wanted);
        }
        self.write_derivations()?;
        let mut outputs: BTreeMap<StorePath, BTreeSet<String>> = BTreeMap::new();
        let mut all = Vec::new();
        for requisite in wanted {
            match requisite {
                Requisite::Path(path) => all.push(Wanted::Path(path.clone())),
                Requisite::Output(drv, output) => {
                    outputs
                        .entry(drv.clone())
                        .or_default()
                        .insert(output.clone());
                }
            }
        }
        all.extend(
            outputs
                .into_iter()
                .map(|(drv, names)| Wanted::Outputs(drv, Some(names))),
        );
        let realised = (self.build)(&all).map_err(|error| {
            let code = error.exit_code();
            HostError::from(error).with_exit_code(code)
        })?;
        let path = |requisite: &Requisite| match requisite {
            Requisite::Path(path) => Ok(path.clone()),
            Requisite::Output(drv, output) => realised
                .iter()
                .find(|one| one.drv.as_ref() == Some(drv))
                .and_then(|one| one.outputs.get(output).cloned())
                .ok_or_else(|| HostError::new(format!("'{drv}^{output}' was not built"))),
        };
        wanted.iter().map(path).collect()
    }

    fn physical(&self, path: &StorePath) -> PathBuf {
        self.store.physical(path)
    }

    fn fetch_url(&self, fetch: &FetchUrl) -> HostResult<StorePath> {
        let recursive = fetch.unpack || fetch.executable;
        let method = if recursive {
            FileIngestionMethod::NixArchive
        } else {
            FileIngestionMethod::Flat
        };
        if let Some(hash) = &fetch.hash
            && let Some(path) = self.fixed_output(method, hash, &fetch.name)?
        {
            return Ok(path);
        }
        if fetch.hash.is_none() && !fetch.executable {
            return Ok(if fetch.unpack {
                self.inputs.download_tarball(&fetch.url, &fetch.name)?
            } else {
                self.inputs.download_file(&fetch.url, &fetch.name, method)?
            });
        }
        let scratch = self.store.work_dir()?;
        let file = scratch.path().join("download");
        let expected = fetch.hash.as_ref().filter(|_| !recursive);
        self.fetcher
            .fetch(&fetch.url, &file, expected, &mut |_| {}, self.cancel.flag())
            .map_err(download_error)?;
        let source = if fetch.unpack {
            let unpacked = scratch.path().join("unpacked");
            xbuild_fetch::tarball::unpack(&file, &unpacked)
                .map_err(|error| error.with_name(&fetch.url))?;
            unpacked
        } else {
            file
        };
        if fetch.executable {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&source, fs::Permissions::from_mode(0o755))?;
        }
        let algo = fetch.hash.map_or(HashAlgo::Sha256, |hash| hash.algo());
        let added = self.store.add_path(
            &fetch.name,
            &source,
            method,
            algo,
            None,
            fetch.hash.as_ref(),
        );
        added.map_err(|error| match error {
            xbuild_store::Error::HashMismatch {
                expected, found, ..
            } => HostError::new(format!(
                "hash mismatch in file downloaded from '{}':\n  specified: {expected}\n  got:       {found}",
                fetch.url
            ))
            .with_exit_code(WRONG_HASH),
            other => other.into(),
        })
    }

    fn fetch_tree(&self, input: &Input) -> HostResult<FetchedTree> {
        let fetched = self.inputs.fetch(input).map_err(input_error)?;
        Ok(FetchedTree {
            path: fetched.path,
            input: fetched.input,
            origin: fetched.called.map(|called| match called {
                Called::WorkTree(path) => Origin::WorkTree(path),
                Called::Url(url) => Origin::Url(url),
            }),
        })
    }

    fn resolve_input(
        &self,
        input: &Input,
        registries: Registries,
    ) -> HostResult<(Input, Option<String>)> {
        let which = match registries {
            Registries::No => Which::No,
            Registries::Limited => Which::Limited,
            Registries::All => Which::All,
        };
        Ok(self.inputs.resolve(input, which)?)
    }

    fn forget_unlocked_inputs(&self) {
        self.inputs.forget_unlocked();
    }

    fn flush(&self) -> HostResult<()> {
        self.write_derivations()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use xbuild_fetch::FetchOptions;
    use xbuild_store::StoreOptions;

    use super::*;

    fn host(root: &Path) -> StoreHost {
        let store = Store::open(root, StoreOptions::default()).unwrap();
        let fetcher = Fetcher::new(FetchOptions::default());
        let build = Box::new(|_: &[Wanted]| Ok(Vec::new()));
        StoreHost::new(
            Arc::new(store),
            Arc::new(fetcher),
            CancelToken::new().unwrap(),
            build,
            InputOptions {
                cache_dir: root.join("cache"),
                tarball_ttl: std::time::Duration::from_secs(3600),
                allow_dirty: true,
                warn_dirty: true,
                access_tokens: Vec::new(),
                registries: xbuild_inputs::RegistryFiles::default(),
            },
        )
    }

    /// Two store paths: `data` with a file, and `links` with a logical link to it.
    fn with_links(dir: &Path) -> (StoreHost, StorePath, StorePath) {
        let host = host(&dir.join("store"));
        let add = |name: &str, make: &dyn Fn(&Path)| {
            let source = dir.join(name);
            fs::create_dir(&source).unwrap();
            make(&source);
            host.add_path(
                name,
                &source,
                FileIngestionMethod::NixArchive,
                HashAlgo::Sha256,
                None,
                None,
            )
            .unwrap()
        };
        let data = add("data", &|dir| fs::write(dir.join("file"), "text").unwrap());
        let links = add("links", &|dir| {
            symlink(data.to_string(), dir.join("logical")).unwrap();
            symlink("logical/file", dir.join("twice")).unwrap();
            symlink("circle", dir.join("circle")).unwrap();
        });
        (host, data, links)
    }

    #[test]
    fn links_between_store_paths_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (host, data, links) = with_links(dir.path());
        let inside = |rest: &str| PathBuf::from(links.to_string()).join(rest);
        assert_eq!(host.read_file(&inside("logical/file")).unwrap(), b"text");
        assert_eq!(host.read_file(&inside("twice")).unwrap(), b"text");
        assert_eq!(
            host.file_type(&inside("logical")).unwrap(),
            Some(FileType::Symlink)
        );
        assert_eq!(host.read_dir(&inside("logical")).unwrap().len(), 1);
        assert_eq!(
            host.canonicalise(&inside("twice")).unwrap(),
            PathBuf::from(data.to_string()).join("file")
        );
        assert_eq!(host.file_type(&inside("absent")).unwrap(), None);
        assert!(
            host.read_file(&inside("circle"))
                .unwrap_err()
                .to_string()
                .contains("symbolic links")
        );
        assert_eq!(
            host.file_type(Path::new("/nix/store")).unwrap(),
            Some(FileType::Directory)
        );
    }

    /// `./result/logical/file`, where `result` is an out-link into the physical store.
    #[test]
    fn links_into_the_store_are_followed_from_outside() {
        let dir = tempfile::tempdir().unwrap();
        let (host, data, links) = with_links(dir.path());
        let result = dir.path().join("result");
        symlink(host.physical(&links), &result).unwrap();
        symlink("result", dir.path().join("again")).unwrap();
        for name in ["result/logical/file", "result/twice", "again/twice"] {
            assert_eq!(
                host.read_file(&dir.path().join(name)).unwrap(),
                b"text",
                "{name}"
            );
        }
        let file = PathBuf::from(data.to_string()).join("file");
        assert_eq!(
            host.canonicalise(&dir.path().join("again/twice")).unwrap(),
            file
        );
        assert_eq!(
            host.canonicalise(&result).unwrap(),
            Path::new(&links.to_string())
        );
        assert_eq!(
            host.file_type(&dir.path().join("result/logical")).unwrap(),
            Some(FileType::Symlink)
        );
        assert_eq!(
            host.file_type(&dir.path().join("result/absent")).unwrap(),
            None
        );
        assert_eq!(host.file_type(&result).unwrap(), Some(FileType::Symlink));
    }

    #[test]
    fn derivations_can_be_asked_about_before_they_are_written() {
        let dir = tempfile::tempdir().unwrap();
        let host = host(dir.path());
        let source = host.add_text("source", b"x", &[]).unwrap();
        let mut drv = crate::environment::tests::derivation();
        drv.input_srcs.insert(source.clone());
        let path = host.add_derivation(&drv, drv.to_aterm()).unwrap();
        assert!(host.is_valid(&path).unwrap());
        assert!(!host.store.is_valid(&path).unwrap(), "one waits for more");
        assert_eq!(host.read_derivation(&path).unwrap(), drv);
        assert_eq!(host.references(&path).unwrap(), [source]);
        assert!(
            host.store.is_valid(&path).unwrap(),
            "it was written for that"
        );
    }
}
