//! Archive to tree, strictly.

use std::io::{self, BufRead, BufReader, Read};

use super::error::{NarError, NarResult};
use super::{MAGIC, MAX_DEPTH, MAX_NAME_LEN, MAX_TARGET_LEN, padding};

/// How much of the foreign data is taken before giving up. Memory is bounded
/// whatever the limits are: contents are passed on in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Deepest nesting of directories; never more than [`MAX_DEPTH`].
    pub depth: usize,
    /// Most bytes in one file.
    pub file_size: u64,
    /// Most bytes in the whole archive.
    pub total_size: u64,
    /// Most files, directories and links.
    pub objects: u64,
}

impl Default for Limits {
    /// The nesting that Nix allows, and sizes that no real archive has.
    fn default() -> Self {
        Limits {
            depth: MAX_DEPTH,
            file_size: 1 << 50,
            total_size: 1 << 50,
            objects: 1 << 32,
        }
    }
}

/// Receives a tree, in the order of its archive. `name` is that of the
/// object in its directory, and empty for the root.
pub trait NarSink {
    /// A regular file. What is left of `contents` when this returns is
    /// skipped; `contents` gives exactly `size` bytes or an error.
    ///
    /// # Errors
    /// Stops the reader.
    fn regular(
        &mut self,
        name: &[u8],
        executable: bool,
        size: u64,
        contents: &mut dyn Read,
    ) -> io::Result<()>;

    /// A symbolic link.
    ///
    /// # Errors
    /// Stops the reader.
    fn symlink(&mut self, name: &[u8], target: &[u8]) -> io::Result<()>;

    /// A directory. What follows is in it, up to the matching
    /// [`NarSink::end_directory`].
    ///
    /// # Errors
    /// Stops the reader.
    fn begin_directory(&mut self, name: &[u8]) -> io::Result<()>;

    /// The end of the innermost directory.
    ///
    /// # Errors
    /// Stops the reader.
    fn end_directory(&mut self) -> io::Result<()>;
}

/// Reads one archive and nothing behind it; returns its size in bytes.
///
/// # Errors
/// When `source` is not exactly one archive within `limits`; names the byte
/// offset and what was expected there. What `sink` got before stays with it.
pub fn read(source: impl Read, sink: &mut impl NarSink, limits: &Limits) -> NarResult<u64> {
    let mut source = BufReader::with_capacity(BUFFER, source);
    let offset = read_embedded(&mut source, sink, limits)?;
    match fill(&mut source) {
        Ok([]) => Ok(offset),
        Ok(_) => Err(NarError::TrailingData { offset }),
        Err(error) => Err(NarError::Read { offset, error }),
    }
}

/// Reads one archive out of a longer stream, and not one byte more.
///
/// # Errors
/// As [`read`], apart from what follows the archive.
pub fn read_embedded(
    source: &mut impl BufRead,
    sink: &mut impl NarSink,
    limits: &Limits,
) -> NarResult<u64> {
    let mut reader = Reader {
        source,
        offset: 0,
        objects: 0,
        limits: *limits,
    };
    reader.magic()?;
    reader.object(sink, b"", 0)?;
    Ok(reader.offset)
}

const BUFFER: usize = 128 * 1024;

/// The longest word of the format; longer strings are not even read.
const MAX_WORD: usize = 32;

struct Reader<'r, R> {
    source: &'r mut R,
    offset: u64,
    objects: u64,
    limits: Limits,
}

impl<R: BufRead> Reader<'_, R> {
    fn magic(&mut self) -> NarResult<()> {
        let error = |found| NarError::Expected {
            offset: 0,
            expected: "'nix-archive-1' (is this a NAR? it may be compressed)",
            found,
        };
        // Whatever is wrong with the first string, it is no archive.
        let mut start = [0; 24];
        let mut len = 0;
        while len < start.len() {
            match self.source.read(&mut start[len..]) {
                Ok(0) => break,
                Ok(n) => len += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(NarError::Read {
                        offset: len as u64,
                        error,
                    });
                }
            }
        }
        let mut right = [0; 24];
        right[0] = MAGIC.len() as u8;
        right[8..8 + MAGIC.len()].copy_from_slice(MAGIC);
        if len < start.len() && right.starts_with(&start[..len]) {
            return Err(NarError::Truncated {
                offset: len as u64,
                expected: "'nix-archive-1'",
            });
        }
        if start != right {
            return Err(error(quote(&start[..len])));
        }
        self.offset = len as u64;
        Ok(())
    }

    fn object(&mut self, sink: &mut impl NarSink, name: &[u8], depth: usize) -> NarResult<()> {
        let limit = self.limits.depth.min(MAX_DEPTH);
        if depth >= limit {
            return Err(NarError::TooDeep {
                offset: self.offset,
                limit,
            });
        }
        self.objects += 1;
        if self.objects > self.limits.objects {
            return Err(self.limit("the number of files", self.limits.objects));
        }
        self.expect(b"(", "'('")?;
        self.expect(b"type", "'type'")?;
        let at = self.offset;
        let expected = "'regular', 'directory' or 'symlink'";
        let kind = self.word(expected)?;
        match kind.bytes() {
            b"regular" => self.regular(sink, name),
            b"directory" => self.directory(sink, name, depth),
            b"symlink" => self.symlink(sink, name),
            found => Err(NarError::Expected {
                offset: at,
                expected,
                found: quote(found),
            }),
        }
    }

    fn regular(&mut self, sink: &mut impl NarSink, name: &[u8]) -> NarResult<()> {
        let mut at = self.offset;
        let mut expected = "'executable' or 'contents'";
        let mut word = self.word(expected)?;
        let executable = word.bytes() == b"executable";
        if executable {
            self.expect(b"", "an empty string behind 'executable'")?;
            at = self.offset;
            expected = "'contents'";
            word = self.word(expected)?;
        }
        if word.bytes() != b"contents" {
            return Err(NarError::Expected {
                offset: at,
                expected,
                found: quote(word.bytes()),
            });
        }
        let size = self.length("the size of a file")?;
        if size > self.limits.file_size {
            return Err(self.limit("a file's size", self.limits.file_size));
        }
        if size > self.limits.total_size.saturating_sub(self.offset) {
            return Err(self.limit("the archive's size", self.limits.total_size));
        }
        let start = self.offset;
        let mut contents = Contents {
            source: &mut *self.source,
            left: size,
            failed: None,
        };
        let result = sink.regular(name, executable, size, &mut contents);
        let result = result.and_then(|()| contents.skip());
        let (left, failed) = (contents.left, contents.failed);
        self.offset = start + (size - left);
        match (failed, result) {
            (Some(Broken::Truncated), _) => {
                let expected = "the rest of a file's contents";
                return Err(NarError::Truncated {
                    offset: self.offset,
                    expected,
                });
            }
            (Some(Broken::Io(error)), _) => {
                return Err(NarError::Read {
                    offset: self.offset,
                    error,
                });
            }
            (None, Err(error)) => {
                return Err(NarError::Sink {
                    offset: self.offset,
                    error,
                });
            }
            (None, Ok(())) => {}
        }
        self.padding(size)?;
        self.expect(b")", "')'")
    }

    fn symlink(&mut self, sink: &mut impl NarSink, name: &[u8]) -> NarResult<()> {
        self.expect(b"target", "'target'")?;
        let at = self.offset;
        let target = self.string(MAX_TARGET_LEN, "a symbolic link target")?;
        let rule = if target.is_empty() {
            Some("is empty")
        } else if target.contains(&0) {
            Some("contains a zero byte")
        } else {
            None
        };
        if let Some(rule) = rule {
            let target = escape(&target);
            return Err(NarError::LinkTarget {
                offset: at,
                target,
                rule,
            });
        }
        sink.symlink(name, &target)
            .map_err(|error| NarError::Sink {
                offset: self.offset,
                error,
            })?;
        self.expect(b")", "')'")
    }

    fn directory(&mut self, sink: &mut impl NarSink, name: &[u8], depth: usize) -> NarResult<()> {
        let sink_error = |offset, error| NarError::Sink { offset, error };
        sink.begin_directory(name)
            .map_err(|error| sink_error(self.offset, error))?;
        let mut previous: Option<Vec<u8>> = None;
        loop {
            let at = self.offset;
            let expected = "'entry' or ')'";
            let word = self.word(expected)?;
            match word.bytes() {
                b")" => break,
                b"entry" => {}
                found => {
                    return Err(NarError::Expected {
                        offset: at,
                        expected,
                        found: quote(found),
                    });
                }
            }
            self.expect(b"(", "'('")?;
            self.expect(b"name", "'name'")?;
            let at = self.offset;
            let name = self.string(MAX_NAME_LEN, "a file name")?;
            if let Some(rule) = broken_name_rule(&name) {
                return Err(NarError::FileName {
                    offset: at,
                    name: escape(&name),
                    rule,
                });
            }
            if let Some(previous) = &previous
                && *previous >= name
            {
                let relation = if *previous == name {
                    "repeats"
                } else {
                    "must come before"
                };
                let (name, previous) = (escape(&name), escape(previous));
                return Err(NarError::Order {
                    offset: at,
                    name,
                    relation,
                    previous,
                });
            }
            self.expect(b"node", "'node'")?;
            self.object(sink, &name, depth + 1)?;
            self.expect(b")", "')'")?;
            previous = Some(name);
        }
        sink.end_directory()
            .map_err(|error| sink_error(self.offset, error))
    }

    /// A string that must be this one.
    fn expect(&mut self, word: &[u8], expected: &'static str) -> NarResult<()> {
        let at = self.offset;
        let found = self.word(expected)?;
        if found.bytes() == word {
            Ok(())
        } else {
            Err(NarError::Expected {
                offset: at,
                expected,
                found: quote(found.bytes()),
            })
        }
    }

    /// A string that is one of the format's own words.
    fn word(&mut self, expected: &'static str) -> NarResult<Word> {
        let at = self.offset;
        let len = self.length(expected)?;
        if len > MAX_WORD as u64 {
            let found = format!("a string of {len} bytes");
            return Err(NarError::Expected {
                offset: at,
                expected,
                found,
            });
        }
        let mut word = Word {
            bytes: [0; MAX_WORD],
            len: len as usize,
        };
        self.exact(&mut word.bytes[..len as usize], expected)?;
        self.padding(len)?;
        Ok(word)
    }

    /// Any string up to this length.
    fn string(&mut self, limit: usize, what: &'static str) -> NarResult<Vec<u8>> {
        let at = self.offset;
        let found = self.length(what)?;
        if found > limit as u64 {
            return Err(NarError::TooLong {
                offset: at,
                what,
                found,
                limit: limit as u64,
            });
        }
        let mut bytes = vec![0; found as usize];
        self.exact(&mut bytes, what)?;
        self.padding(found)?;
        Ok(bytes)
    }

    fn length(&mut self, expected: &'static str) -> NarResult<u64> {
        let mut bytes = [0; 8];
        self.exact(&mut bytes, expected)?;
        if self.offset > self.limits.total_size {
            return Err(self.limit("the archive's size", self.limits.total_size));
        }
        Ok(u64::from_le_bytes(bytes))
    }

    fn padding(&mut self, len: u64) -> NarResult<()> {
        let at = self.offset;
        let expected = padding(len);
        let mut bytes = [0; 8];
        self.exact(&mut bytes[..expected], "padding")?;
        if bytes != [0; 8] {
            return Err(NarError::Padding {
                offset: at,
                expected,
            });
        }
        Ok(())
    }

    fn exact(&mut self, mut buf: &mut [u8], expected: &'static str) -> NarResult<()> {
        while !buf.is_empty() {
            match self.source.read(buf) {
                Ok(0) => {
                    return Err(NarError::Truncated {
                        offset: self.offset,
                        expected,
                    });
                }
                Ok(n) => {
                    self.offset += n as u64;
                    buf = &mut buf[n..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(NarError::Read {
                        offset: self.offset,
                        error,
                    });
                }
            }
        }
        Ok(())
    }

    fn limit(&self, what: &'static str, limit: u64) -> NarError {
        NarError::LimitExceeded {
            offset: self.offset,
            what,
            limit,
        }
    }
}

/// A short string, without an allocation.
struct Word {
    bytes: [u8; MAX_WORD],
    len: usize,
}

impl Word {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The contents of one file. Remembers whether it was the archive that
/// failed, since a sink gives back one kind of error only.
struct Contents<'r, R> {
    source: &'r mut R,
    left: u64,
    failed: Option<Broken>,
}

enum Broken {
    Truncated,
    Io(io::Error),
}

impl<R: BufRead> Contents<'_, R> {
    /// Skips what the sink did not read.
    fn skip(&mut self) -> io::Result<()> {
        while self.left > 0 {
            let n = match fill(self.source) {
                Ok(data) => data
                    .len()
                    .min(usize::try_from(self.left).unwrap_or(usize::MAX)),
                Err(error) => return Err(self.fail(Broken::Io(error))),
            };
            if n == 0 {
                return Err(self.fail(Broken::Truncated));
            }
            self.source.consume(n);
            self.left -= n as u64;
        }
        Ok(())
    }

    fn fail(&mut self, broken: Broken) -> io::Error {
        self.failed = Some(broken);
        io::ErrorKind::UnexpectedEof.into()
    }
}

impl<R: BufRead> Read for Contents<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || buf.is_empty() {
            return Ok(0);
        }
        let want = buf
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        match self.source.read(&mut buf[..want]) {
            Ok(0) => Err(self.fail(Broken::Truncated)),
            Ok(n) => {
                self.left -= n as u64;
                Ok(n)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => Err(self.fail(Broken::Io(error))),
        }
    }
}

/// `fill_buf`, once more if a signal came.
fn fill(source: &mut impl BufRead) -> io::Result<&[u8]> {
    loop {
        match source.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    // Filled already: this only hands it out.
    source.fill_buf()
}

/// Which rule of file names this breaks, if any.
fn broken_name_rule(name: &[u8]) -> Option<&'static str> {
    match name {
        b"" => Some("is empty"),
        b"." | b".." => Some("names a directory itself"),
        _ if name.contains(&b'/') => Some("contains '/'"),
        _ if name.contains(&0) => Some("contains a zero byte"),
        _ => None,
    }
}

/// Bytes of a message, on one line.
fn escape(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}

fn quote(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        "an empty string".to_owned()
    } else {
        format!("'{}'", escape(bytes))
    }
}
