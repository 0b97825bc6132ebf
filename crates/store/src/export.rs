//! Store paths as one stream of bytes, as `nix-store --export` and `--import` write and read it (Nix manual, "Nix Store Export").
//!
//! For each path, after its references: the number 1, its NAR, the number `0x4558494e`, the path, the number of its references
//! and each of them, its deriver or an empty string, and the number 0; at the end, the number 0. Numbers have 64 bits, little-endian.
//! Strings are the number of their bytes, the bytes, and zero bytes up to a multiple of eight. In place of a path's last 0, old
//! versions of Nix wrote 1 and a signature, which is read and means nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::io::{self, BufRead, BufReader, Read, Write};

use xbuild_store_model::content_address::ContentAddressMethod;
use xbuild_store_model::hash::{HashAlgo, HashWriter};
use xbuild_store_model::nar::{self, Limits, NarSink};
use xbuild_store_model::store_path::StorePath;

use crate::add::Adding;
use crate::error::{Error, Result};
use crate::path_info::NewPath;
use crate::store::Store;
use crate::tree::TreeSink;

const MAGIC: u64 = 0x4558_494e;

/// The longest string beside NARs, in bytes: no store path is as long, and no signature.
const MAX_STRING: u64 = 4096;

/// The most references that one path may have.
const MAX_REFERENCES: u64 = 1 << 20;

/// How much of a stream is read at a time, in bytes.
const BUFFER: usize = 128 << 10;

impl Store {
    /// Writes valid paths, in an order in which they can be imported. What they refer to is not written unless it is among them. A
    /// path whose contents are not those that were registered ends it with an error.
    pub fn export(&self, paths: &[StorePath], out: &mut dyn Write) -> Result<()> {
        for path in self.references_first(paths)? {
            self.hooks.check_cancelled()?;
            let failed = || Error::io("export", path.to_string());
            number(out, 1).map_err(failed())?;
            self.export_path(&path, out)?;
        }
        number(out, 0)
            .and_then(|()| out.flush())
            .map_err(Error::io("write", "the export"))
    }

    fn export_path(&self, path: &StorePath, out: &mut dyn Write) -> Result<()> {
        let failed = || Error::io("export", path.to_string());
        self.add_temp_root(path)?;
        let info = self
            .query_path_info(path)?
            .ok_or_else(|| Error::NotValid(path.clone()))?;
        let mut hashing = HashWriter::new(HashAlgo::Sha256, &mut *out);
        nar::write_path(&self.physical(path), &mut hashing)
            .map_err(Error::format(format!("cannot export '{path}'")))?;
        let found = hashing.finish().0;
        if found != info.nar_hash {
            return Err(Error::Changed {
                path: path.clone(),
                registered: info.nar_hash.to_sri(),
                found: found.to_sri(),
            });
        }
        let deriver = info.deriver.map(|deriver| deriver.to_string());
        let write = |out: &mut dyn Write| {
            number(out, MAGIC)?;
            string(out, &path.to_string())?;
            number(out, info.references.len() as u64)?;
            for reference in &info.references {
                string(out, &reference.to_string())?;
            }
            string(out, deriver.as_deref().unwrap_or_default())?;
            number(out, 0)
        };
        write(out).map_err(failed())
    }

    /// The paths in the order of an export: each after those it refers to, else by name, as stock Nix sorts them.
    fn references_first(&self, paths: &[StorePath]) -> Result<Vec<StorePath>> {
        let mut references = BTreeMap::new();
        for path in paths {
            references.insert(path.clone(), self.references(path)?);
        }
        let mut order = Vec::with_capacity(references.len());
        let mut seen = BTreeSet::new();
        for start in references.keys() {
            let mut stack = Vec::new();
            if seen.insert(start.clone()) {
                stack.push((start.clone(), references[start].iter()));
            }
            while let Some((path, rest)) = stack.last_mut() {
                match rest.next() {
                    Some(next) => {
                        if let Some(more) = references.get(next)
                            && seen.insert(next.clone())
                        {
                            stack.push((next.clone(), more.iter()));
                        }
                    }
                    None => {
                        order.push(path.clone());
                        stack.pop();
                    }
                }
            }
        }
        Ok(order)
    }

    /// Reads what [`Self::export`] or `nix-store --export` has written, and registers it, path by path. Returns the paths in their
    /// order, also those that were valid before. When the stream is damaged, what came before is in the store.
    ///
    /// The stream is taken at its word, as Nix does: that a path has these contents and references. Read only what you would run.
    pub fn import(&self, source: impl Read) -> Result<Vec<StorePath>> {
        self.check_writable("import paths")?;
        let mut stream = Stream {
            source: BufReader::with_capacity(BUFFER, source),
            offset: 0,
        };
        let mut imported = Vec::new();
        loop {
            self.hooks.check_cancelled()?;
            match stream.number("the beginning of a path, or the end")? {
                0 => return Ok(imported),
                1 => imported.push(self.import_path(&mut stream)?),
                _ if imported.is_empty() => {
                    return Err(stream.wrong(
                        "this is not the output of `xbuild store export` or `nix-store --export`",
                    ));
                }
                other => {
                    return Err(stream.wrong(&format!(
                        "a path or the end was expected, and not the number {other}"
                    )));
                }
            }
        }
    }

    fn import_path<R: Read>(&self, stream: &mut Stream<R>) -> Result<StorePath> {
        let incoming = self.incoming.place()?;
        let links = self.links_if_wanted()?;
        let mut adding = Adding::new(
            incoming.path(),
            ContentAddressMethod::NIX_ARCHIVE,
            HashAlgo::Sha256,
            links.as_ref(),
        );
        stream.nar(&mut adding)?;
        let (staging, _, nar_hash, nar_size) = adding.finish();
        let at = stream.offset;
        let described = stream.description(at);
        let (path, references, deriver) = match described {
            Ok(described) => described,
            Err(error) => {
                staging.discard()?;
                return Err(error);
            }
        };
        self.add_temp_root(&path)?;
        let _locks = self.lock_unheld(std::slice::from_ref(&path))?;
        if self.is_valid(&path)? {
            staging.discard()?;
            return Ok(path);
        }
        for reference in references.iter().filter(|&reference| *reference != path) {
            if !self.is_valid(reference)? {
                staging.discard()?;
                return Err(Error::InvalidReference {
                    path,
                    reference: reference.clone(),
                });
            }
        }
        staging.write_out()?;
        self.register(&[NewPath {
            path: path.clone(),
            physical: incoming.path().to_owned(),
            nar_hash,
            nar_size,
            references,
            deriver,
            ca: None,
            ultimate: false,
            sigs: Vec::new(),
        }])?;
        Ok(path)
    }
}

fn number(out: &mut dyn Write, number: u64) -> io::Result<()> {
    out.write_all(&number.to_le_bytes())
}

fn string(out: &mut dyn Write, text: &str) -> io::Result<()> {
    number(out, text.len() as u64)?;
    out.write_all(text.as_bytes())?;
    out.write_all(&[0; 8][..text.len().wrapping_neg() % 8])
}

/// A stream that is being imported.
struct Stream<R> {
    source: BufReader<R>,
    /// How many bytes have been read.
    offset: u64,
}

type Description = (StorePath, BTreeSet<StorePath>, Option<StorePath>);

impl<R: Read> Stream<R> {
    fn wrong(&self, what: &str) -> Error {
        Error::BadExport {
            offset: self.offset,
            what: what.to_owned(),
        }
    }

    fn exact(&mut self, buffer: &mut [u8], what: &str) -> Result<()> {
        match self.source.read_exact(buffer) {
            Ok(()) => {
                self.offset += buffer.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(self.wrong(
                &format!("the stream ends here, where {what} was expected; it was cut short"),
            )),
            Err(error) => Err(Error::io("read", "the stream that is imported")(error)),
        }
    }

    fn number(&mut self, what: &str) -> Result<u64> {
        let mut bytes = [0; 8];
        self.exact(&mut bytes, what)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn string(&mut self, what: &str) -> Result<String> {
        let length = self.number(what)?;
        if length > MAX_STRING {
            return Err(self.wrong(&format!("{what} cannot have {length} bytes")));
        }
        let length = usize::try_from(length).unwrap_or(0);
        let mut bytes = vec![0; length];
        self.exact(&mut bytes, what)?;
        let mut padding = [0; 8];
        let padding = &mut padding[..length.wrapping_neg() % 8];
        self.exact(padding, "padding")?;
        if padding.iter().any(|&byte| byte != 0) {
            return Err(self.wrong(&format!("the padding behind {what} is not zero")));
        }
        String::from_utf8(bytes).map_err(|_| self.wrong(&format!("{what} is not UTF-8")))
    }

    fn path(&mut self, what: &str) -> Result<StorePath> {
        let text = self.string(what)?;
        self.parsed(&text, what)
    }

    fn parsed(&self, text: &str, what: &str) -> Result<StorePath> {
        StorePath::parse(text)
            .map_err(|error| self.wrong(&format!("{what} is '{}': {error}", text.escape_debug())))
    }

    /// A NAR, into `sink`.
    fn nar(&mut self, sink: &mut Adding<'_>) -> Result<()> {
        let start = self.offset;
        let mut counting = Counting {
            source: &mut self.source,
            count: 0,
            failed: None,
        };
        let mut into = Into { sink, failed: None };
        let read = nar::read_embedded(&mut counting, &mut into, &Limits::default());
        let Counting {
            count,
            failed: broken,
            ..
        } = counting;
        let failed = into
            .failed
            .or_else(|| broken.map(Error::io("read", "the stream that is imported")));
        self.offset += count;
        match (read, failed) {
            (Ok(_), _) => Ok(()),
            // What went wrong in the store, or where the stream comes from, and not in the stream.
            (Err(_), Some(error)) => Err(error),
            (Err(error), None) => Err(Error::BadExport {
                offset: start,
                what: format!("the NAR that begins here is damaged: {error}"),
            }),
        }
    }

    /// What stands behind the NAR.
    fn description(&mut self, at: u64) -> Result<Description> {
        if self.number("the mark behind a NAR")? != MAGIC {
            return Err(Error::BadExport {
                offset: at,
                what: "the mark behind the NAR (0x4558494e) is missing".to_owned(),
            });
        }
        let path = self.path("the store path")?;
        let count = self.number("the number of references")?;
        if count > MAX_REFERENCES {
            return Err(self.wrong(&format!("'{path}' cannot have {count} references")));
        }
        let mut references = BTreeSet::new();
        for _ in 0..count {
            references.insert(self.path("a reference")?);
        }
        let deriver = match self.string("the deriver")?.as_str() {
            "" => None,
            text => Some(self.parsed(text, "the deriver")?),
        };
        if self.number("the end of a path")? == 1 {
            self.string("the signature")?;
        }
        Ok((path, references, deriver))
    }
}

/// Counts the bytes that are taken.
struct Counting<'a, R> {
    source: &'a mut BufReader<R>,
    count: u64,
    /// Why no more could be read: the reader of NARs reports it as one more fault of the NAR.
    failed: Option<io::Error>,
}

impl<R> Counting<'_, R> {
    fn keep(failed: &mut Option<io::Error>, error: &io::Error) {
        // What is interrupted is tried again.
        if error.kind() != io::ErrorKind::Interrupted {
            *failed = Some(match error.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(error.kind(), error.to_string()),
            });
        }
    }
}

impl<R: Read> Read for Counting<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self
            .source
            .read(buffer)
            .inspect_err(|error| Self::keep(&mut self.failed, error))?;
        self.count += count as u64;
        Ok(count)
    }
}

impl<R: Read> BufRead for Counting<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let failed = &mut self.failed;
        self.source
            .fill_buf()
            .inspect_err(|error| Self::keep(failed, error))
    }

    fn consume(&mut self, amount: usize) {
        self.count += amount as u64;
        self.source.consume(amount);
    }
}

/// Passes what is read from a NAR on, as if it were read from a disk.
struct Into<'a, 'b> {
    sink: &'a mut Adding<'b>,
    failed: Option<Error>,
}

impl Into<'_, '_> {
    fn pass(&mut self, result: Result<()>) -> io::Result<()> {
        result.map_err(|error| {
            let text = error.to_string();
            self.failed = Some(error);
            io::Error::other(text)
        })
    }
}

fn c_string(name: &[u8]) -> io::Result<CString> {
    CString::new(name).map_err(|_| io::ErrorKind::InvalidData.into())
}

impl NarSink for Into<'_, '_> {
    fn regular(
        &mut self,
        name: &[u8],
        executable: bool,
        size: u64,
        contents: &mut dyn Read,
    ) -> io::Result<()> {
        let name = c_string(name)?;
        let begun = self.sink.file(&name, executable, size);
        self.pass(begun)?;
        let mut buffer = vec![0; usize::try_from(size).unwrap_or(usize::MAX).clamp(1, BUFFER)];
        loop {
            let count = match contents.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let passed = self.sink.data(&buffer[..count]);
            self.pass(passed)?;
        }
        let ended = self.sink.end_file();
        self.pass(ended)
    }

    fn symlink(&mut self, name: &[u8], target: &[u8]) -> io::Result<()> {
        let made = self.sink.symlink(&c_string(name)?, &c_string(target)?);
        self.pass(made)
    }

    fn begin_directory(&mut self, name: &[u8]) -> io::Result<()> {
        let made = self.sink.enter(&c_string(name)?);
        self.pass(made)
    }

    fn end_directory(&mut self) -> io::Result<()> {
        let left = self.sink.leave();
        self.pass(left)
    }
}
