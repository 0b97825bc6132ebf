//! Which compression a file has, and undoing it.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;
use liblzma::stream::{CONCATENATED, Stream};

/// The memory that an xz file may ask for: eight times what `xz -9` needs for decompression.
const XZ_MEMORY: u64 = 512 << 20;

/// The largest window of a zstd file, as a power of two: what the `zstd` program accepts without being asked to.
const ZSTD_WINDOW: u32 = 27;

/// A compression that archives come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Xz,
    Zstd,
    Bzip2,
}

impl Compression {
    /// How many bytes [`of_content`](Self::of_content) wants to see.
    pub(crate) const MAGIC: usize = 6;

    /// The compression by a file's first bytes.
    pub(crate) fn of_content(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            _ => Self::None,
        }
    }

    /// The compression by what follows `.tar` in a file's name.
    pub(crate) fn of_suffix(suffix: &[u8]) -> Option<Self> {
        Some(match suffix {
            b"" => Self::None,
            b".gz" => Self::Gzip,
            b".xz" => Self::Xz,
            b".zst" => Self::Zstd,
            b".bz2" => Self::Bzip2,
            _ => return None,
        })
    }

    /// What `reader` is the compressed form of. Errors of the data come from reading. Bounded in memory.
    pub(crate) fn decoder<'a>(self, reader: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::None => Box::new(BufReader::new(reader)),
            Self::Gzip => Box::new(Members::new(BufReader::new(reader))),
            Self::Xz => {
                let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?;
                Box::new(liblzma::read::XzDecoder::new_stream(reader, stream))
            }
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(reader)?;
                decoder.window_log_max(ZSTD_WINDOW)?;
                Box::new(decoder)
            }
            Self::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(reader)),
        })
    }
}

/// The members of a gzip file one after the other. What follows them and does not begin as one is passed over, as by gzip and stock Nix:
/// some files are filled up with zeros.
struct Members<R>(Option<GzDecoder<R>>);

impl<R: BufRead> Members<R> {
    fn new(reader: R) -> Self {
        Self(Some(GzDecoder::new(reader)))
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let count = member.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let goes_on = member.get_mut().fill_buf()?.first() == Some(&0x1f);
            let ended = self.0.take().filter(|_| goes_on);
            self.0 = ended.map(|member| GzDecoder::new(member.into_inner()));
        }
        Ok(0)
    }
}

/// The content of the file at `path`, decompressed as its first bytes say (gzip, xz, zstd, bzip2, or none).
///
/// # Errors
/// When the file cannot be opened or read; errors of the compressed data come from reading.
pub fn decompressed(path: &std::path::Path) -> io::Result<Box<dyn Read>> {
    use std::io::{Seek, SeekFrom};
    let mut file = std::fs::File::open(path)?;
    let mut start = Vec::new();
    file.by_ref()
        .take(Compression::MAGIC as u64)
        .read_to_end(&mut start)?;
    file.seek(SeekFrom::Start(0))?;
    Compression::of_content(&start).decoder(file)
}
