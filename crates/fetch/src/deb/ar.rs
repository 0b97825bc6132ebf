//! The outer archive of a Debian package: deb(5), in the common ar format, read strictly.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Take};
use std::path::Path;

use crate::archive::UnpackError;

const MAGIC: &[u8; 8] = b"!<arch>\n";
const HEADER: usize = 60;

/// Finds the member `data.tar*`: what follows `data.tar` in its name, and its content.
///
/// deb(5): `debian-binary` comes first and begins with `2.`; then `control.tar*`; then `data.tar*`. Members whose name begins with `_` may
/// stand between them and are passed over.
pub(super) fn data_member<'a>(
    deb: &Path,
    file: &'a mut File,
) -> Result<(Vec<u8>, Take<&'a mut File>), UnpackError> {
    let read = |error| UnpackError::read(deb, error);
    let malformed = |reason: String| UnpackError::malformed(deb, reason);
    let length = file.metadata().map_err(read)?.len();
    let mut magic = Vec::new();
    (&mut *file)
        .take(MAGIC.len() as u64)
        .read_to_end(&mut magic)
        .map_err(read)?;
    if magic != MAGIC {
        return Err(malformed(
            "it is not a Debian package: it does not begin with '!<arch>'".to_owned(),
        ));
    }
    let mut members = Members {
        deb,
        file,
        next: MAGIC.len() as u64,
        length,
    };

    let (_, size) = members.expect("debian-binary")?;
    let mut version = Vec::new();
    (&mut *members.file)
        .take(size.min(16))
        .read_to_end(&mut version)
        .map_err(read)?;
    if !version.starts_with(b"2.") {
        let version = version.trim_ascii().escape_ascii();
        return Err(malformed(format!(
            "its format version is '{version}', not 2"
        )));
    }
    members.expect("control.tar")?;
    let (suffix, size) = members.expect("data.tar")?;
    Ok((suffix, file.take(size)))
}

struct Members<'a> {
    deb: &'a Path,
    file: &'a mut File,
    /// The offset of the next header.
    next: u64,
    /// The size of the whole file.
    length: u64,
}

impl Members<'_> {
    /// Goes to the content of the next member, which must be called `wanted`, or `wanted` and a suffix if that is a tar archive. Answers with the
    /// suffix and the size of the content.
    fn expect(&mut self, wanted: &str) -> Result<(Vec<u8>, u64), UnpackError> {
        loop {
            let Some((name, size)) = self.header()? else {
                let reason = format!("it ends before its member '{wanted}'");
                return Err(UnpackError::malformed(self.deb, reason));
            };
            let is_first = wanted == "debian-binary";
            if name.starts_with(b"_") && !is_first {
                continue;
            }
            let suffix = name.strip_prefix(wanted.as_bytes());
            let suffix = suffix
                .filter(|suffix| suffix.is_empty() || (!is_first && suffix.starts_with(b".")));
            return match suffix {
                Some(suffix) => Ok((suffix.to_vec(), size)),
                None => {
                    let name = name.escape_ascii();
                    let reason = format!("its member '{name}' stands where '{wanted}' must be");
                    Err(UnpackError::malformed(self.deb, reason))
                }
            };
        }
    }

    /// Reads the next header: the member's name and size. `None` at the end of the file.
    fn header(&mut self) -> Result<Option<(Vec<u8>, u64)>, UnpackError> {
        let at = self.next;
        if at >= self.length {
            return Ok(None);
        }
        let malformed = |what: &str| {
            UnpackError::malformed(self.deb, format!("the header at offset {at} {what}"))
        };
        if self.length - at < HEADER as u64 {
            return Err(malformed("is cut off"));
        }
        let mut header = [0; HEADER];
        let sought = self
            .file
            .seek(SeekFrom::Start(at))
            .and_then(|_| self.file.read_exact(&mut header));
        sought.map_err(|error| UnpackError::read(self.deb, error))?;
        if &header[58..] != b"`\n" {
            return Err(malformed("does not end as it must"));
        }
        let size = header[48..58].trim_ascii_end();
        let digits = !size.is_empty() && size.iter().all(u8::is_ascii_digit);
        let size = std::str::from_utf8(size)
            .ok()
            .filter(|_| digits)
            .and_then(|size| size.parse::<u64>().ok());
        let size = size.ok_or_else(|| malformed("has a size that is not a number"))?;
        if size > self.length - at - HEADER as u64 {
            return Err(malformed("has a size that goes beyond the end of the file"));
        }
        // Members begin at even offsets.
        self.next = at + HEADER as u64 + size + (size & 1);
        // Some writers end names with a slash.
        let name = header[..16].trim_ascii_end();
        Ok(Some((
            name.strip_suffix(b"/").unwrap_or(name).to_vec(),
            size,
        )))
    }
}
