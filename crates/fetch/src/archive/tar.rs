//! The entries of a tar archive: ustar, with the extensions of GNU and pax for long names (POSIX.1-2017, pax; GNU tar's manual, "Basic Tar Format").
//!
//! Blocks are read by the crate `tar`. Its own treatment of long names and pax headers is not used: it reads them into memory whatever
//! their size.

use std::io::{self, Read};
use std::path::Path;

use tar::{Archive, EntryType, PaxExtensions};

use super::UnpackError;

/// The largest long name or pax header, in bytes.
const MAX_EXTENSION: u64 = 1 << 20;

/// The most entries that an archive may have. The largest source archives have some hundred thousand.
const MAX_ENTRIES: u64 = 10_000_000;

/// One entry.
pub(crate) struct Entry<'a> {
    /// As the archive has it.
    pub(crate) name: Vec<u8>,
    pub(crate) kind: Kind,
    /// When it was last changed, in seconds since 1970.
    pub(crate) modified: u64,
    /// The content of a file.
    pub(crate) data: &'a mut dyn Read,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File {
        /// Its owner may execute it. Of the mode, this alone is of interest.
        executable: bool,
        size: u64,
    },
    /// With its target.
    Symlink(Vec<u8>),
    /// With the name of an entry before.
    HardLink(Vec<u8>),
}

/// Extensions that apply to the next entry.
#[derive(Default)]
struct Pending {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    modified: Option<u64>,
}

/// Reads an archive to its end and calls `visit` for each entry. `archive` is its name in errors.
pub(crate) fn for_each_entry(
    archive: &Path,
    reader: Box<dyn Read + '_>,
    visit: &mut dyn FnMut(Entry<'_>) -> Result<(), UnpackError>,
) -> Result<(), UnpackError> {
    let read = |error| UnpackError::read(archive, error);
    let mut tar = Archive::new(reader);
    let mut pending = Pending::default();
    let mut count = 0;
    for entry in tar.entries().map_err(read)?.raw(true) {
        let mut entry = entry.map_err(read)?;
        count += 1;
        if count > MAX_ENTRIES {
            return Err(UnpackError::malformed(
                archive,
                format!("it has more than {MAX_ENTRIES} entries"),
            ));
        }
        let header_name = entry.path_bytes().into_owned();
        let refused = |name: &[u8], reason: &str| UnpackError::refused(archive, name, reason);
        let kind = entry.header().entry_type();
        match kind {
            EntryType::GNULongName => {
                pending.name = Some(without_nul(extension(archive, &mut entry)?));
            }
            EntryType::GNULongLink => {
                pending.link = Some(without_nul(extension(archive, &mut entry)?));
            }
            EntryType::XHeader => pax(
                archive,
                &header_name,
                &extension(archive, &mut entry)?,
                &mut pending,
            )?,
            // Comments, such as the commit that `git archive` was called for.
            EntryType::XGlobalHeader => {}
            _ => {
                let Pending {
                    name,
                    link,
                    size,
                    modified,
                } = std::mem::take(&mut pending);
                // What is no number is no time; nothing but `lastModified` of an input depends on it.
                let modified = modified.or_else(|| entry.header().mtime().ok());
                let name = name.unwrap_or(header_name);
                let header_size = entry.header().entry_size().map_err(read)?;
                if size.is_some_and(|size| size != header_size) {
                    return Err(refused(
                        &name,
                        "its size is in an extended header only, which is not supported",
                    ));
                }
                let link = |entry: &tar::Entry<'_, _>| {
                    let target =
                        link.or_else(|| entry.link_name_bytes().map(std::borrow::Cow::into_owned));
                    target
                        .filter(|target| !target.is_empty())
                        .ok_or_else(|| refused(&name, "it is a link without a target"))
                };
                let kind = match kind {
                    EntryType::Directory => Kind::Directory,
                    // Before ustar, a directory was a file with a slash at its end.
                    EntryType::Regular if name.ends_with(b"/") && header_size == 0 => {
                        Kind::Directory
                    }
                    EntryType::Regular | EntryType::Continuous => {
                        let executable = entry.header().mode().map_err(read)? & 0o100 != 0;
                        Kind::File {
                            executable,
                            size: header_size,
                        }
                    }
                    EntryType::Symlink => Kind::Symlink(link(&entry)?),
                    EntryType::Link => Kind::HardLink(link(&entry)?),
                    EntryType::Char | EntryType::Block => {
                        return Err(refused(&name, "it is a device node"));
                    }
                    EntryType::Fifo => return Err(refused(&name, "it is a named pipe")),
                    EntryType::GNUSparse => {
                        return Err(refused(
                            &name,
                            "it is a sparse file, which is not supported",
                        ));
                    }
                    _ => return Err(refused(&name, "it is of an unknown kind")),
                };
                visit(Entry {
                    name,
                    kind,
                    modified: modified.unwrap_or_default(),
                    data: &mut entry,
                })?;
            }
        }
    }
    if count == 0 {
        return Err(UnpackError::malformed(
            archive,
            "it is not a tar archive, or an empty one",
        ));
    }
    // To its end, so that the checksums of the compression are verified.
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(read)?;
    Ok(())
}

/// The content of an extension entry.
fn extension(
    archive: &Path,
    entry: &mut tar::Entry<'_, Box<dyn Read + '_>>,
) -> Result<Vec<u8>, UnpackError> {
    let mut content = Vec::new();
    entry
        .take(MAX_EXTENSION + 1)
        .read_to_end(&mut content)
        .map_err(|error| UnpackError::read(archive, error))?;
    if content.len() as u64 > MAX_EXTENSION {
        return Err(UnpackError::malformed(
            archive,
            format!("an extended header has more than {MAX_EXTENSION} bytes"),
        ));
    }
    Ok(content)
}

fn without_nul(mut name: Vec<u8>) -> Vec<u8> {
    if name.last() == Some(&0) {
        name.pop();
    }
    name
}

fn pax(
    archive: &Path,
    name: &[u8],
    content: &[u8],
    pending: &mut Pending,
) -> Result<(), UnpackError> {
    for record in PaxExtensions::new(content) {
        let record = record.map_err(|error| UnpackError::read(archive, error))?;
        let value = record.value_bytes().to_vec();
        match record.key_bytes() {
            b"path" => pending.name = Some(value),
            b"linkpath" => pending.link = Some(value),
            b"mtime" => {
                // With a fraction, and negative before 1970.
                let text = std::str::from_utf8(&value).unwrap_or_default();
                let seconds = text.split('.').next().unwrap_or_default();
                pending.modified = Some(seconds.parse().unwrap_or_default());
            }
            b"size" => {
                let size = std::str::from_utf8(&value)
                    .ok()
                    .and_then(|value| value.parse().ok());
                pending.size = Some(size.ok_or_else(|| {
                    UnpackError::refused(archive, name, "its size is not a number")
                })?);
            }
            key if key.starts_with(b"GNU.sparse.") => {
                return Err(UnpackError::refused(
                    archive,
                    name,
                    "it is a sparse file, which is not supported",
                ));
            }
            _ => {}
        }
    }
    Ok(())
}
