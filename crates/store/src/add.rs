//! Adding what is addressed by its contents: texts, files and trees of sources.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use rustc_hash::{FxHashMap, FxHashSet};
use rustix::fs::FileType;
use xbuild_store_model::content_address::{
    ContentAddress, ContentAddressMethod, FileIngestionMethod,
};
use xbuild_store_model::hash::{Hash, HashAlgo, Hasher};
use xbuild_store_model::store_path::{self, StorePath};

use crate::error::{Error, Result};
use crate::fault;
use crate::file_hash;
use crate::files;
use crate::links::Links;
use crate::locks::PathLocks;
use crate::offload::Offload;
use crate::path_info::NewPath;
use crate::register;
use crate::removal::remove_tree;
use crate::staging::{self, Staging};
use crate::store::Store;
use crate::tree::{self, ByteSink, Filter, NarEncoder, TreeSink};

/// A text to be added with [`Store::add_texts`].
#[derive(Debug, Clone)]
pub struct NewText {
    /// The name in the store path.
    pub name: String,
    /// The bytes of the file.
    pub contents: Vec<u8>,
    /// The paths it refers to.
    pub references: BTreeSet<StorePath>,
}

/// How many paths are locked at a time: each lock is an open file.
const BATCH: usize = 256;

/// Downloads up to this size, in bytes, wait in memory until their size is known; Nix's `nar-buffer-size`.
const DOWNLOAD_IN_MEMORY: u64 = 32 << 20;

impl Store {
    /// Adds a text file, such as a `.drv` or what `builtins.toFile` makes. All references must be valid.
    pub fn add_text(
        &self,
        name: &str,
        contents: &[u8],
        references: &BTreeSet<StorePath>,
    ) -> Result<StorePath> {
        let text = NewText {
            name: name.to_owned(),
            contents: contents.to_vec(),
            references: references.clone(),
        };
        let mut paths = self.add_texts(&[text])?;
        // One text gives one path.
        paths.pop().ok_or(Error::Interrupted)
    }

    /// Adds many texts; a few hundred at a time share a transaction. A text's references must be valid or come before it in `texts`.
    pub fn add_texts(&self, texts: &[NewText]) -> Result<Vec<StorePath>> {
        let mut paths = Vec::with_capacity(texts.len());
        for text in texts {
            let hash = Hash::of(HashAlgo::Sha256, &text.contents);
            let path = store_path::make_text_path(&text.name, &hash, &text.references)
                .map_err(Error::Name)?;
            paths.push((path, hash));
        }
        for (texts, paths) in texts.chunks(BATCH).zip(paths.chunks(BATCH)) {
            self.add_text_batch(texts, paths)?;
        }
        Ok(paths.into_iter().map(|(path, _)| path).collect())
    }

    fn add_text_batch(&self, texts: &[NewText], paths: &[(StorePath, Hash)]) -> Result<()> {
        self.add_temp_roots(paths.iter().map(|(path, _)| path))?;
        let valid = self.valid_among(paths.iter().map(|(path, _)| path))?;
        let missing: Vec<StorePath> = paths
            .iter()
            .map(|(path, _)| path)
            .filter(|path| !valid.contains(*path))
            .cloned()
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        self.check_writable("add texts")?;
        let _locks = self.lock_unheld(&missing)?;
        let valid = self.valid_among(&missing)?;
        let missing: FxHashSet<&StorePath> = missing.iter().collect();

        let mut new = Vec::with_capacity(missing.len());
        let mut outputs = FxHashMap::default();
        for (text, (path, hash)) in texts.iter().zip(paths) {
            if !missing.contains(path) || valid.contains(path) {
                continue;
            }
            // Parsed first: a derivation that cannot be read must not become valid.
            if path.is_derivation() {
                outputs.insert(
                    path.clone(),
                    register::derivation_outputs(path, &text.contents)?,
                );
            }
            let place = self.physical(path);
            let incoming = self.incoming.place()?;
            write_file(incoming.path(), &text.contents, false)?;
            if self.options.fsync_store_paths {
                File::open(incoming.path())
                    .and_then(|file| file.sync_all())
                    .map_err(Error::io("sync", &place))?;
            }
            register::move_to_place(incoming.path(), &place)?;
            let (nar_hash, nar_size) = file_hash::of_bytes(&text.contents, false)?;
            new.push(NewPath {
                path: path.clone(),
                physical: place,
                nar_hash,
                nar_size,
                references: text.references.clone(),
                deriver: None,
                ca: Some(ContentAddress::Text(*hash)),
                ultimate: false,
                sigs: Vec::new(),
            });
        }
        if self.options.fsync_store_paths {
            register::sync_dir(self.layout.store_dir())?;
        }
        self.sync_all_if_wanted()?;
        self.record(&new.iter().collect::<Vec<_>>(), &outputs, &[])?;
        Ok(())
    }

    /// Copies a file or tree to the store, reading it once. `filter`, if given, decides for each entry of each directory whether it
    /// is copied; it is not asked about `source` itself. With the flat and the text method, `source` must be a regular file. If
    /// `expected` is given and is not the hash, nothing is added. A read-only store must have it already.
    pub fn add_path(
        &self,
        name: &str,
        source: &Path,
        method: impl Into<ContentAddressMethod>,
        algo: HashAlgo,
        filter: Option<Filter<'_>>,
        expected: Option<&Hash>,
    ) -> Result<StorePath> {
        let method = method.into();
        if self.options.read_only {
            let path = path_to_be(name, source, method, algo, filter, expected)?;
            return match self.is_valid(&path)? {
                true => Ok(path),
                false => Err(self.read_only("add a path")),
            };
        }
        check_kind(source, method)?;
        let incoming = self.incoming_place()?;
        let links = self.links_if_wanted()?;
        let mut sink = Adding::new(incoming.path(), method, algo, links.as_ref());
        tree::read(source, filter, &mut sink)?;
        self.finish_adding(name, sink, incoming.path(), method, expected)
    }

    /// Adds one file whose bytes come from `reader`, such as a download, as a fixed output with the given hash. If the hash is
    /// not that of the bytes, nothing is added, and the error names both.
    pub fn add_bytes_flat(
        &self,
        name: &str,
        reader: impl Read,
        expected: &Hash,
    ) -> Result<StorePath> {
        self.add_bytes_fixed(name, FileIngestionMethod::Flat, false, reader, expected)
    }

    /// The same, possibly executable and with either method.
    pub fn add_bytes_fixed(
        &self,
        name: &str,
        method: FileIngestionMethod,
        executable: bool,
        mut reader: impl Read,
        expected: &Hash,
    ) -> Result<StorePath> {
        let method = method.into();
        let incoming = self.incoming_place()?;
        let links = self.links_if_wanted()?;
        let mut sink = Adding::new(incoming.path(), method, expected.algo(), links.as_ref());
        // A NAR has the size before the contents. What is small waits in memory until its size is known, what is large in a file.
        let mut head = Vec::new();
        let limit = DOWNLOAD_IN_MEMORY;
        let failed = || Error::io("read the contents of", name);
        reader
            .by_ref()
            .take(limit)
            .read_to_end(&mut head)
            .map_err(failed())?;
        if (head.len() as u64) < limit {
            sink.file(c"", executable, head.len() as u64)?;
            sink.data(&head)?;
            sink.end_file()?;
        } else {
            let spool = self.incoming.place()?;
            let mut file = File::create(spool.path()).map_err(Error::io("create", spool.path()))?;
            file.write_all(&head)
                .map_err(Error::io("write", spool.path()))?;
            drop(head);
            std::io::copy(&mut reader, &mut file).map_err(Error::io("write", spool.path()))?;
            let mode = rustix::fs::Mode::from_raw_mode(if executable { 0o755 } else { 0o644 });
            rustix::fs::fchmod(&file, mode)
                .map_err(Error::sys("change the mode of", spool.path()))?;
            drop(file);
            tree::read(spool.path(), None, &mut sink)?;
        }
        self.finish_adding(name, sink, incoming.path(), method, Some(expected))
    }

    fn incoming_place(&self) -> Result<crate::scratch::Scratch> {
        self.check_writable("add a path")?;
        self.incoming.place()
    }

    fn finish_adding(
        &self,
        name: &str,
        sink: Adding<'_>,
        incoming: &Path,
        method: ContentAddressMethod,
        expected: Option<&Hash>,
    ) -> Result<StorePath> {
        let (staging, hash, nar_hash, nar_size) = sink.finish();
        let path = match fixed_path(name, method, &hash, expected) {
            Err(error @ Error::HashMismatch { .. }) => {
                staging.discard()?;
                return Err(error);
            }
            path => path?,
        };
        self.add_temp_root(&path)?;
        if self.is_valid(&path)? {
            staging.discard()?;
            return Ok(path);
        }
        let _locks = self.lock_unheld(std::slice::from_ref(&path))?;
        if self.is_valid(&path)? {
            staging.discard()?;
            return Ok(path);
        }
        staging.write_out()?;
        self.register(&[NewPath {
            path: path.clone(),
            physical: incoming.to_owned(),
            nar_hash,
            nar_size,
            references: BTreeSet::new(),
            deriver: None,
            ca: Some(ContentAddress::new(method, hash)),
            ultimate: false,
            sigs: Vec::new(),
        }])?;
        Ok(path)
    }

    /// Locks those paths that this process has not locked already.
    pub(crate) fn lock_unheld(&self, paths: &[StorePath]) -> Result<Option<PathLocks>> {
        let unheld: Vec<StorePath> = paths
            .iter()
            .filter(|path| !self.held.contains(path))
            .cloned()
            .collect();
        if unheld.is_empty() {
            Ok(None)
        } else {
            self.lock_paths(&unheld).map(Some)
        }
    }
}

/// The path that [`Store::add_path`] gives a file or tree; nothing is added.
pub fn path_of(
    name: &str,
    source: &Path,
    method: ContentAddressMethod,
    algo: HashAlgo,
) -> Result<StorePath> {
    path_to_be(name, source, method, algo, None, None)
}

fn path_to_be(
    name: &str,
    source: &Path,
    method: ContentAddressMethod,
    algo: HashAlgo,
    filter: Option<Filter<'_>>,
    expected: Option<&Hash>,
) -> Result<StorePath> {
    check_kind(source, method)?;
    let mut sink = Hashing::new(method, algo);
    tree::read(source, filter, &mut sink)?;
    let (hash, ..) = sink.finish();
    fixed_path(name, method, &hash, expected)
}

fn check_kind(source: &Path, method: ContentAddressMethod) -> Result<()> {
    if method == ContentAddressMethod::NIX_ARCHIVE {
        return Ok(());
    }
    match tree::file_type(source)? {
        FileType::RegularFile => Ok(()),
        kind => Err(Error::NotARegularFile {
            path: source.to_owned(),
            kind: files::kind_name(kind),
        }),
    }
}

/// The path of what has the hash `hash`, if that is the expected one.
fn fixed_path(
    name: &str,
    method: ContentAddressMethod,
    hash: &Hash,
    expected: Option<&Hash>,
) -> Result<StorePath> {
    if let Some(expected) = expected.filter(|&expected| expected != hash) {
        return Err(Error::HashMismatch {
            name: name.to_owned(),
            expected: expected.to_sri(),
            found: hash.to_sri(),
        });
    }
    let ca = ContentAddress::new(method, *hash);
    store_path::make_content_addressed_path(name, &ca, &BTreeSet::new(), false).map_err(Error::Name)
}

/// Writes a file of a store object.
fn write_file(path: &Path, contents: &[u8], executable: bool) -> Result<()> {
    fault::point("create", path)?;
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(Error::io("create", path))?;
    let written = fault::point("write", path)
        .and_then(|()| file.write_all(contents).map_err(Error::io("write", path)));
    let written = written.and_then(|()| {
        staging::finish_file(&file, executable).map_err(Error::sys("set the metadata of", path))
    });
    if written.is_err() {
        let _ = remove_tree(path);
    }
    written
}

/// The SHA-256 of a NAR and, if that is asked for, another hash of the same NAR.
struct NarHashes {
    sha256: Hasher,
    other: Option<Hasher>,
}

impl ByteSink for NarHashes {
    fn bytes(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(other) = &mut self.other {
            other.update(bytes);
        }
    }
}

/// Hashes a tree in all needed ways.
struct Hashing {
    nar: NarEncoder<Offload<NarHashes>>,
    flat: Option<Hasher>,
}

impl Hashing {
    fn new(method: ContentAddressMethod, algo: HashAlgo) -> Self {
        let is_flat = method != ContentAddressMethod::NIX_ARCHIVE;
        let other = (!is_flat && algo != HashAlgo::Sha256).then(|| Hasher::new(algo));
        Self {
            nar: NarEncoder::new(Offload::new(NarHashes {
                sha256: Hasher::new(HashAlgo::Sha256),
                other,
            })),
            flat: is_flat.then(|| Hasher::new(algo)),
        }
    }

    /// The hash that makes the store path, the NAR's SHA-256, and the NAR's size.
    fn finish(self) -> (Hash, Hash, u64) {
        let NarHashes { sha256, other } = self.nar.finish().finish();
        let nar_size = sha256.count();
        let nar_hash = sha256.finish();
        let hash = self.flat.or(other).map_or(nar_hash, Hasher::finish);
        (hash, nar_hash, nar_size)
    }
}

impl TreeSink for Hashing {
    fn enter(&mut self, name: &CStr) -> Result<()> {
        self.nar.enter(name)
    }

    fn leave(&mut self) -> Result<()> {
        self.nar.leave()
    }

    fn symlink(&mut self, name: &CStr, target: &CStr) -> Result<()> {
        self.nar.symlink(name, target)
    }

    fn file(&mut self, name: &CStr, executable: bool, size: u64) -> Result<()> {
        self.nar.file(name, executable, size)
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(flat) = &mut self.flat {
            flat.update(bytes);
        }
        self.nar.data(bytes)
    }

    fn end_file(&mut self) -> Result<()> {
        self.nar.end_file()
    }
}

/// Hashes a tree in all needed ways, and keeps it.
pub(crate) struct Adding<'a> {
    staging: Staging<'a>,
    hashing: Hashing,
}

impl<'a> Adding<'a> {
    pub(crate) fn new(
        place: &'a Path,
        method: ContentAddressMethod,
        algo: HashAlgo,
        links: Option<&'a Links<'a>>,
    ) -> Self {
        Self {
            staging: Staging::new(place, links),
            hashing: Hashing::new(method, algo),
        }
    }

    /// The tree, the hash that makes the store path, the NAR's SHA-256, and the NAR's size.
    pub(crate) fn finish(self) -> (Staging<'a>, Hash, Hash, u64) {
        let (hash, nar_hash, nar_size) = self.hashing.finish();
        (self.staging, hash, nar_hash, nar_size)
    }
}

impl TreeSink for Adding<'_> {
    fn enter(&mut self, name: &CStr) -> Result<()> {
        self.hashing.enter(name)?;
        self.staging.enter(name)
    }

    fn leave(&mut self) -> Result<()> {
        self.hashing.leave()?;
        self.staging.leave()
    }

    fn symlink(&mut self, name: &CStr, target: &CStr) -> Result<()> {
        self.hashing.symlink(name, target)?;
        self.staging.symlink(name, target)
    }

    fn file(&mut self, name: &CStr, executable: bool, size: u64) -> Result<()> {
        self.hashing.file(name, executable, size)?;
        self.staging.file(name, executable, size)
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        self.hashing.data(bytes)?;
        self.staging.data(bytes)
    }

    fn end_file(&mut self) -> Result<()> {
        self.hashing.end_file()?;
        self.staging.end_file()
    }
}
