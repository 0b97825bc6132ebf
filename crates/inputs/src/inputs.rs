//! Fetching, whatever the scheme.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustc_hash::FxHashMap;
use xbuild_fetch::Fetcher;
use xbuild_flake_ref::{FINAL, Input, Scheme, attrs_to_json};
use xbuild_store::Store;
use xbuild_store_model::store_path::make_fixed_output_path;
use xbuild_store_model::{FileIngestionMethod, Hash, HashAlgo, StorePath};

use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::registry::{Entry, Registries, RegistryFiles, Which};

/// How inputs are fetched; the names of settings are those of `nix.conf`.
#[derive(Debug, Clone)]
pub struct InputOptions {
    /// Where facts and clones are kept, such as `~/.cache/xbuild`.
    pub cache_dir: PathBuf,
    /// `tarball-ttl`: how long a branch or an archive is taken to be what it was.
    pub tarball_ttl: Duration,
    /// `allow-dirty`: whether a Git work tree may have changes.
    pub allow_dirty: bool,
    /// `warn-dirty`: whether that is worth a warning.
    pub warn_dirty: bool,
    /// `access-tokens`: `HOST` or `HOST/OWNER/REPO`, and the token.
    pub access_tokens: Vec<(String, String)>,
    /// The registries.
    pub registries: RegistryFiles,
}

/// An input in the store.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Where.
    pub path: StorePath,
    /// With everything that is known of it.
    pub input: Input,
    /// What its files are called in messages, if not by their paths in the store.
    pub called: Option<Called>,
}

/// What the files of a tree are called.
#[derive(Debug, Clone)]
pub enum Called {
    /// They are those of a work tree, as far as Git tracks them.
    WorkTree(PathBuf),
    /// They are in what this URL names.
    Url(String),
}

/// Fetches inputs, each once.
pub struct Inputs {
    pub(crate) store: Arc<Store>,
    pub(crate) fetcher: Arc<Fetcher>,
    pub(crate) cancel: Box<dyn AsRef<AtomicBool>>,
    pub(crate) options: InputOptions,
    pub(crate) cache: Cache,
    notify: Box<dyn Fn(&str)>,
    done: RefCell<FxHashMap<Input, Fetched>>,
    /// What counts before the registries.
    overrides: RefCell<Vec<Entry>>,
}

/// What a scheme finds: a tree in the store, and the attributes that it adds.
pub(crate) type Found = (StorePath, Input);

impl Inputs {
    /// `notify` gets lines for the user.
    #[must_use]
    pub fn new(
        store: Arc<Store>,
        fetcher: Arc<Fetcher>,
        cancel: Box<dyn AsRef<AtomicBool>>,
        options: InputOptions,
        notify: Box<dyn Fn(&str)>,
    ) -> Self {
        let cache = Cache::new(&options.cache_dir, options.tarball_ttl);
        Self {
            store,
            fetcher,
            cancel,
            options,
            cache,
            notify,
            done: RefCell::default(),
            overrides: RefCell::default(),
        }
    }

    /// Looks again at what may have changed since it was fetched.
    pub fn forget_unlocked(&self) {
        self.done.borrow_mut().retain(|input, _| input.is_locked());
    }

    pub(crate) fn warn(&self, text: &str) {
        (self.notify)(&format!("warning: {text}"));
    }

    /// Brings an input into the store.
    ///
    /// # Errors
    /// If it cannot be had, or is not what its attributes say.
    pub fn fetch(&self, input: &Input) -> Result<Fetched> {
        if let Some(done) = self.done.borrow().get(input) {
            return Ok(done.clone());
        }
        let (path, mut found, called) = match self.find_in_store(input)? {
            Some(path) => (
                path,
                self.with_known(input),
                Some(Called::Url(input.show())),
            ),
            None => {
                let (path, found) = self.fetch_anew(input)?;
                let called = self.called(input, &found)?;
                (path, found, called)
            }
        };
        found.set(FINAL, true);
        check_locks(input, &mut found)?;
        let info = self.store.query_path_info(&path)?;
        let nar_hash = info
            .ok_or_else(|| Error::refused(format!("path '{path}' has been deleted meanwhile")))?
            .nar_hash;
        found.set("narHash", nar_hash.to_sri());
        if let Some(expected) = input.nar_hash()?
            && expected != nar_hash
        {
            return Err(Error::HashMismatch {
                input: input.show(),
                expected: nar_hash.to_sri(),
                got: expected.to_sri(),
            });
        }
        let fetched = Fetched {
            path,
            input: found,
            called,
        };
        self.done
            .borrow_mut()
            .insert(input.clone(), fetched.clone());
        Ok(fetched)
    }

    /// What the files of an input that was just fetched are called.
    fn called(&self, input: &Input, found: &Input) -> Result<Option<Called>> {
        Ok(match input.scheme() {
            Some(Scheme::Path) => None,
            Some(Scheme::Tarball | Scheme::File) => Some(Called::Url(input.show())),
            Some(Scheme::Git) if input.text("ref").is_none() && input.text("rev").is_none() => {
                let work_tree = self.git_work_tree(input)?;
                Some(work_tree.map_or_else(|| Called::Url(found.show()), Called::WorkTree))
            }
            _ => {
                let mut found = found.clone();
                if input.text("narHash").is_none() {
                    found.attrs.remove("narHash");
                }
                Some(Called::Url(found.show()))
            }
        })
    }

    /// What an input stands for by the registries, and the directory there, if a registry names one.
    ///
    /// # Errors
    /// If no registry knows it, or they know it in a circle.
    pub fn resolve(&self, input: &Input, which: Which) -> Result<(Input, Option<String>)> {
        let registries = Registries {
            overrides: &self.overrides.borrow(),
            files: &self.options.registries,
            download: &|url| {
                let method = FileIngestionMethod::Flat;
                let path = self.download_file(url, "flake-registry.json", method)?;
                Ok(self.store.physical(&path))
            },
            warn: &|text| self.warn(text),
        };
        registries.resolve(input, which)
    }

    /// Lets `from` stand for `to` and a directory in it, whatever the registries say. The first one counts.
    pub fn override_registry(&self, from: Input, to: Input, dir: Option<String>) {
        self.overrides.borrow_mut().push(Entry {
            from,
            to,
            dir,
            exact: false,
        });
    }

    /// The path of an input whose content is known, if the store has it.
    fn find_in_store(&self, input: &Input) -> Result<Option<StorePath>> {
        let Some(hash) = input.nar_hash()? else {
            return Ok(None);
        };
        // A work tree is looked at even so: a change there must not go unseen.
        if !input.is_final() && !input.is_locked() {
            return Ok(None);
        }
        if input.scheme() == Some(Scheme::Path) && !input.is_final() {
            return Ok(None);
        }
        self.valid(input.name(), &hash)
    }

    /// The attributes that an input from the store has, as far as they are known.
    fn with_known(&self, input: &Input) -> Input {
        let mut found = input.clone();
        if input.is_final() {
            return found;
        }
        if let Ok(Some(rev)) = input.rev() {
            let known = self.cache.get(&format!("commit {rev}"));
            let seconds = known.and_then(|known| known.number("lastModified"));
            if let Some(seconds) = seconds
                && input.int("lastModified").is_none()
            {
                found.set("lastModified", seconds);
            }
        }
        found
    }

    fn fetch_anew(&self, input: &Input) -> Result<Found> {
        let Some(scheme) = input.scheme() else {
            return Err(Error::refused(format!(
                "cannot fetch unsupported input '{}'",
                attrs_to_json(&input.attrs)
            )));
        };
        match scheme {
            Scheme::Path => self.fetch_path(input),
            Scheme::Git => self.fetch_git(input),
            Scheme::Tarball => self.fetch_tarball(input),
            Scheme::File => self.fetch_file(input),
            Scheme::Github | Scheme::Gitlab | Scheme::Sourcehut => self.fetch_forge(scheme, input),
            Scheme::Indirect => Err(Error::refused(format!(
                "indirect input '{}' cannot be fetched directly",
                input.show()
            ))),
            Scheme::Mercurial => self.fetch_mercurial(input),
        }
    }

    /// The path of a tree by its hash, if the store has it; it is not collected from now on.
    pub(crate) fn valid(&self, name: &str, hash: &Hash) -> Result<Option<StorePath>> {
        let method = FileIngestionMethod::NixArchive;
        let path = make_fixed_output_path(method, hash, name, &BTreeSet::new(), false)
            .map_err(|error| Error::refused(error.to_string()))?;
        // First a root: a collector may come between the question and the use.
        self.store.add_temp_root(&path)?;
        Ok(self.store.is_valid(&path)?.then_some(path))
    }

    /// The same by the text of a hash; what is malformed is nowhere.
    pub(crate) fn valid_text(&self, name: &str, hash: Option<&str>) -> Result<Option<StorePath>> {
        match hash.and_then(|hash| Hash::parse_sri(hash).ok()) {
            Some(hash) => self.valid(name, &hash),
            None => Ok(None),
        }
    }

    pub(crate) fn add_tree(&self, name: &str, source: &Path) -> Result<StorePath> {
        let method = FileIngestionMethod::NixArchive;
        Ok(self
            .store
            .add_path(name, source, method, HashAlgo::Sha256, None, None)?)
    }

    /// The NAR hash of a valid path, in SRI form.
    pub(crate) fn nar_hash(&self, path: &StorePath) -> Result<String> {
        let info = self.store.query_path_info(path)?;
        Ok(info.map(|info| info.nar_hash.to_sri()).unwrap_or_default())
    }
}

/// Checks that what was found is what was asked for. What is final keeps the attributes it had.
fn check_locks(asked: &Input, found: &mut Input) -> Result<()> {
    if asked.is_final() {
        let mut asked = asked.clone();
        for input in [&mut asked, &mut *found] {
            if let Some(hash) = input.nar_hash()? {
                input.set("narHash", hash.to_sri());
            }
        }
        for (name, value) in &asked.attrs {
            if found.attrs.get(name).is_some_and(|other| other != value) {
                return Err(Error::refused(format!(
                    "mismatch in field '{name}' of input '{}', got '{}'",
                    attrs_to_json(&asked.attrs),
                    attrs_to_json(&found.attrs)
                )));
            }
        }
        *found = asked;
        return Ok(());
    }
    if let Some(expected) = asked.nar_hash()?
        && let Some(got) = found.nar_hash()?
        && got != expected
    {
        return Err(Error::HashMismatch {
            input: asked.show(),
            expected: expected.to_sri(),
            got: got.to_sri(),
        });
    }
    if let Some(expected) = asked.int("lastModified")
        && found.int("lastModified") != Some(expected)
    {
        return Err(Error::refused(format!(
            "'lastModified' attribute mismatch in input '{}', expected {expected}, got {}",
            found.show(),
            found
                .int("lastModified")
                .map_or_else(|| "-1".to_owned(), |seconds| seconds.to_string())
        )));
    }
    if let Some(expected) = asked.rev()?
        && found.rev()? != Some(expected.clone())
    {
        return Err(Error::refused(format!(
            "'rev' attribute mismatch in input '{}', expected {expected}",
            found.show()
        )));
    }
    if let Some(expected) = asked.int("revCount")
        && found.int("revCount") != Some(expected)
    {
        return Err(Error::refused(format!(
            "'revCount' attribute mismatch in input '{}', expected {expected}",
            found.show()
        )));
    }
    Ok(())
}
