//! Hashing while data streams past.

use std::io::{self, Read, Write};

use sha2::Digest;

use super::{Hash, HashAlgo};

/// A hash in the making. Takes data through [`Hasher::update`] or as an
/// [`io::Write`], and counts the bytes.
///
/// SHA-1 and SHA-256 use the processor's SHA instructions where it has them
/// (asked at run time), BLAKE3 its vector units.
#[derive(Clone)]
pub struct Hasher {
    state: State,
    count: u64,
}

#[derive(Clone)]
enum State {
    Md5(md5::Md5),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
    Blake3(Box<blake3::Hasher>),
}

impl Hasher {
    /// An empty hasher.
    #[must_use]
    pub fn new(algo: HashAlgo) -> Hasher {
        let state = match algo {
            HashAlgo::Md5 => State::Md5(md5::Md5::new()),
            HashAlgo::Sha1 => State::Sha1(sha1::Sha1::new()),
            HashAlgo::Sha256 => State::Sha256(sha2::Sha256::new()),
            HashAlgo::Sha512 => State::Sha512(sha2::Sha512::new()),
            HashAlgo::Blake3 => State::Blake3(Box::new(blake3::Hasher::new())),
        };
        Hasher { state, count: 0 }
    }

    /// Adds `data`.
    pub fn update(&mut self, data: &[u8]) {
        match &mut self.state {
            State::Md5(state) => state.update(data),
            State::Sha1(state) => state.update(data),
            State::Sha256(state) => state.update(data),
            State::Sha512(state) => state.update(data),
            State::Blake3(state) => {
                state.update(data);
            }
        }
        self.count += data.len() as u64;
    }

    /// How many bytes it has seen.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The hash of all bytes so far.
    #[must_use]
    pub fn finish(self) -> Hash {
        fn hash(algo: HashAlgo, digest: &[u8]) -> Hash {
            let mut hash = Hash::zero(algo);
            hash.bytes[..digest.len()].copy_from_slice(digest);
            hash
        }
        match self.state {
            State::Md5(state) => hash(HashAlgo::Md5, &state.finalize()),
            State::Sha1(state) => hash(HashAlgo::Sha1, &state.finalize()),
            State::Sha256(state) => hash(HashAlgo::Sha256, &state.finalize()),
            State::Sha512(state) => hash(HashAlgo::Sha512, &state.finalize()),
            State::Blake3(state) => hash(HashAlgo::Blake3, state.finalize().as_bytes()),
        }
    }
}

impl Write for Hasher {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.update(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader that hashes what is read through it.
pub struct HashingReader<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> HashingReader<R> {
    /// Wraps `inner`.
    pub fn new(algo: HashAlgo, inner: R) -> Self {
        HashingReader {
            inner,
            hasher: Hasher::new(algo),
        }
    }

    /// How many bytes were read.
    pub fn count(&self) -> u64 {
        self.hasher.count()
    }

    /// The hash of what was read, and its size in bytes.
    pub fn finish(self) -> (Hash, u64) {
        let count = self.hasher.count();
        (self.hasher.finish(), count)
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.hasher.update(&buf[..n]);
        Ok(n)
    }
}

/// A writer that hashes what is written through it.
pub struct HashWriter<W> {
    inner: W,
    hasher: Hasher,
}

impl<W: Write> HashWriter<W> {
    /// Wraps `inner`.
    pub fn new(algo: HashAlgo, inner: W) -> Self {
        HashWriter {
            inner,
            hasher: Hasher::new(algo),
        }
    }

    /// How many bytes were written.
    pub fn count(&self) -> u64 {
        self.hasher.count()
    }

    /// The hash of what was written, its size in bytes, and the inner writer.
    pub fn finish(self) -> (Hash, u64, W) {
        let count = self.hasher.count();
        (self.hasher.finish(), count, self.inner)
    }
}

impl<W: Write> Write for HashWriter<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(data)?;
        self.hasher.update(&data[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
