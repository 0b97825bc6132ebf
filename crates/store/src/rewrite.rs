//! Hash parts in a finished tree replaced by others of the same length, and hashes that do not depend on a tree's own path: what
//! is needed where the path of an output follows from its contents, which may hold that path.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use xbuild_store_model::content_address::{ContentAddressMethod, FileIngestionMethod};
use xbuild_store_model::hash::{Hash, HashAlgo, Hasher};
use xbuild_store_model::store_path::{HASH_PART_LEN, StorePath};

use crate::add::Adding;
use crate::error::{Error, Result};
use crate::store::Store;
use crate::tree::{self, ByteSink, NarEncoder, TreeSink};

type HashPart = [u8; HASH_PART_LEN];

/// Which hash parts are replaced, and by what.
#[derive(Debug, Clone, Default)]
pub struct Rewrites(Vec<(HashPart, HashPart)>);

/// A tree that was rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewritten {
    /// SHA-256 of its NAR.
    pub nar_hash: Hash,
    /// Size of its NAR in bytes.
    pub nar_size: u64,
}

fn hash_part(path: &StorePath) -> HashPart {
    let mut part = [0; HASH_PART_LEN];
    part.copy_from_slice(path.hash_part().as_bytes());
    part
}

impl Rewrites {
    /// Has the hash part of `from` replaced by that of `to`.
    pub fn add(&mut self, from: &StorePath, to: &StorePath) {
        self.0.push((hash_part(from), hash_part(to)));
    }

    /// Whether nothing is replaced.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn apply(&self, bytes: &mut [u8]) {
        for (from, to) in &self.0 {
            let finder = memchr::memmem::Finder::new(from);
            let mut at = 0;
            while let Some(found) = finder.find(&bytes[at..]) {
                at += found;
                bytes[at..at + HASH_PART_LEN].copy_from_slice(to);
                at += HASH_PART_LEN;
            }
        }
    }
}

/// Replaces in bytes that come in pieces.
struct Stream<'a> {
    rewrites: &'a Rewrites,
    /// The last bytes, in which a hash part may begin.
    tail: Vec<u8>,
}

impl<'a> Stream<'a> {
    fn new(rewrites: &'a Rewrites) -> Self {
        Self {
            rewrites,
            tail: Vec::new(),
        }
    }

    fn push<T>(&mut self, bytes: &[u8], out: &mut dyn FnMut(&[u8]) -> Result<T>) -> Result<()> {
        self.tail.extend_from_slice(bytes);
        self.rewrites.apply(&mut self.tail);
        let done = self.tail.len().saturating_sub(HASH_PART_LEN - 1);
        if done > 0 {
            out(&self.tail[..done])?;
            self.tail.drain(..done);
        }
        Ok(())
    }

    fn end<T>(&mut self, out: &mut dyn FnMut(&[u8]) -> Result<T>) -> Result<()> {
        if !self.tail.is_empty() {
            out(&self.tail)?;
            self.tail.clear();
        }
        Ok(())
    }
}

/// Hashes bytes after replacing in them.
struct Modulo<'a> {
    stream: Stream<'a>,
    hasher: Hasher,
}

impl<'a> Modulo<'a> {
    fn new(algo: HashAlgo, rewrites: &'a Rewrites) -> Self {
        Self {
            stream: Stream::new(rewrites),
            hasher: Hasher::new(algo),
        }
    }

    fn finish(mut self) -> Hash {
        self.hasher.update(&self.stream.tail);
        self.hasher.finish()
    }
}

impl ByteSink for Modulo<'_> {
    fn bytes(&mut self, bytes: &[u8]) {
        let hasher = &mut self.hasher;
        // Hashing cannot fail.
        let _ = self.stream.push(bytes, &mut |bytes| {
            hasher.update(bytes);
            Ok(())
        });
    }
}

/// Passes on a tree with names, symlinks and contents rewritten.
struct Rewriter<'a, S> {
    sink: S,
    stream: Stream<'a>,
    /// The last name in each directory we are in.
    last: Vec<CString>,
    path: &'a Path,
}

impl<S> Rewriter<'_, S> {
    fn name(&mut self, name: &CStr) -> Result<CString> {
        let name = self.text(name);
        if let Some(last) = self.last.last_mut() {
            // A hash over names in another order would be one that nobody else finds.
            if last.as_bytes() >= name.as_bytes() {
                return Err(Error::NamesReordered {
                    path: self.path.to_owned(),
                    name: name.to_string_lossy().into_owned(),
                });
            }
            name.clone_into(last);
        }
        Ok(name)
    }

    fn text(&self, text: &CStr) -> CString {
        let mut bytes = text.to_bytes().to_vec();
        self.stream.rewrites.apply(&mut bytes);
        // Hash parts hold no zero byte.
        CString::new(bytes).unwrap_or_else(|_| text.to_owned())
    }
}

impl<S: TreeSink> TreeSink for Rewriter<'_, S> {
    fn enter(&mut self, name: &CStr) -> Result<()> {
        let name = self.name(name)?;
        self.last.push(CString::default());
        self.sink.enter(&name)
    }

    fn leave(&mut self) -> Result<()> {
        self.last.pop();
        self.sink.leave()
    }

    fn symlink(&mut self, name: &CStr, target: &CStr) -> Result<()> {
        let name = self.name(name)?;
        let target = self.text(target);
        self.sink.symlink(&name, &target)
    }

    fn file(&mut self, name: &CStr, executable: bool, size: u64) -> Result<()> {
        let name = self.name(name)?;
        self.sink.file(&name, executable, size)
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        let sink = &mut self.sink;
        self.stream.push(bytes, &mut |bytes| sink.data(bytes))
    }

    fn end_file(&mut self) -> Result<()> {
        let sink = &mut self.sink;
        self.stream.end(&mut |bytes| sink.data(bytes))?;
        self.sink.end_file()
    }
}

impl Store {
    /// The hash of a tree (or of the bytes of a file, with the flat method) as its content address has it: as if `rewrites` had
    /// been applied, and with each occurrence of the hash part of `own` replaced by zero bytes.
    pub fn hash_modulo(
        &self,
        physical: &Path,
        method: FileIngestionMethod,
        algo: HashAlgo,
        own: &StorePath,
        rewrites: &Rewrites,
    ) -> Result<Hash> {
        let mut rewrites = rewrites.clone();
        rewrites.0.push((hash_part(own), [0; HASH_PART_LEN]));
        let mut modulo = Modulo::new(algo, &rewrites);
        match method {
            FileIngestionMethod::NixArchive => {
                let mut encoder = NarEncoder::new(modulo);
                tree::read(physical, None, &mut encoder)?;
                Ok(encoder.finish().finish())
            }
            FileIngestionMethod::Flat => {
                let failed = || Error::io("read", physical);
                let mut file = File::open(physical).map_err(failed())?;
                let mut buffer = vec![0; 1 << 16];
                loop {
                    match file.read(&mut buffer) {
                        Ok(0) => return Ok(modulo.finish()),
                        Ok(count) => modulo.bytes(&buffer[..count]),
                        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(failed()(error)),
                    }
                }
            }
        }
    }

    /// Writes a copy of the tree at `from`, with canonical metadata and `rewrites` applied, to `to`, where nothing may be.
    pub fn rewrite(&self, from: &Path, to: &Path, rewrites: &Rewrites) -> Result<Rewritten> {
        let mut rewriter = Rewriter {
            sink: Adding::new(
                to,
                ContentAddressMethod::NIX_ARCHIVE,
                HashAlgo::Sha256,
                None,
            ),
            stream: Stream::new(rewrites),
            last: Vec::new(),
            path: from,
        };
        tree::read(from, None, &mut rewriter)?;
        let (staging, _, nar_hash, nar_size) = rewriter.sink.finish();
        staging.write_out()?;
        Ok(Rewritten { nar_hash, nar_size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::StoreOptions;

    fn path(digit: char, name: &str) -> StorePath {
        StorePath::from_base_name(&format!("{}-{name}", digit.to_string().repeat(32))).unwrap()
    }

    fn open() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store"), StoreOptions::default()).unwrap();
        (dir, store)
    }

    #[test]
    fn hash_parts_are_found_across_pieces() {
        let mut rewrites = Rewrites::default();
        rewrites.add(&path('a', "x"), &path('b', "x"));
        let text = format!("..{}.{}", "a".repeat(33), "a".repeat(32));
        let expected = format!("..{}a.{}", "b".repeat(32), "b".repeat(32));
        for size in 1..text.len() {
            let mut out = Vec::new();
            let mut stream = Stream::new(&rewrites);
            for piece in text.as_bytes().chunks(size) {
                let put = &mut |bytes: &[u8]| {
                    out.extend_from_slice(bytes);
                    Ok(())
                };
                stream.push(piece, put).unwrap();
            }
            stream
                .end(&mut |bytes| {
                    out.extend_from_slice(bytes);
                    Ok(())
                })
                .unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{size}");
        }
    }

    /// The hash is the same whatever the tree's own path is, and the copy has the other one everywhere.
    #[test]
    fn a_tree_is_rewritten_everywhere() {
        let (dir, store) = open();
        let mut trees = Vec::new();
        for digit in ['a', 'b'] {
            let own = path(digit, "x");
            let tree = dir.path().join(digit.to_string());
            std::fs::create_dir_all(tree.join(format!("d-{}", own.hash_part()))).unwrap();
            std::fs::write(tree.join("file"), format!("{own}/bin and {own}")).unwrap();
            std::os::unix::fs::symlink(own.to_string(), tree.join("link")).unwrap();
            store.canonicalise(&tree).unwrap();
            trees.push((tree, own));
        }
        let hash = |(tree, own): &(std::path::PathBuf, StorePath)| {
            let method = FileIngestionMethod::NixArchive;
            let none = Rewrites::default();
            store
                .hash_modulo(tree, method, HashAlgo::Sha256, own, &none)
                .unwrap()
        };
        assert_eq!(hash(&trees[0]), hash(&trees[1]));
        let mut rewrites = Rewrites::default();
        rewrites.add(&trees[0].1, &trees[1].1);
        let copy = dir.path().join("copy");
        let rewritten = store.rewrite(&trees[0].0, &copy, &rewrites).unwrap();
        let expected = store.scan_and_hash(&trees[1].0, []).unwrap();
        assert_eq!(rewritten.nar_hash, expected.nar_hash);
        assert_eq!(rewritten.nar_size, expected.nar_size);
        let found = store.scan_and_hash(&copy, []).unwrap();
        assert_eq!(found.nar_hash, expected.nar_hash);
    }

    #[test]
    fn names_whose_order_would_change_are_refused() {
        let (dir, store) = open();
        let (own, other) = (path('a', "x"), path('c', "x"));
        let tree = dir.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        for name in [own.hash_part(), "b"] {
            std::fs::write(tree.join(name), "").unwrap();
        }
        let mut rewrites = Rewrites::default();
        rewrites.add(&own, &other);
        let error = store.rewrite(&tree, &dir.path().join("copy"), &rewrites);
        let message = error.unwrap_err().to_string();
        assert!(message.contains("would come in another order"), "{message}");
    }
}
