//! Static libraries: every member must be a genuine object (ar(5), GNU and BSD forms).

use std::ops::Range;

use object::read::ReadRef;
use object::read::archive::ArchiveFile;

use crate::object as elf_object;
use crate::portable;
use crate::rule::Rule;

/// The magic of an archive.
pub(crate) const MAGIC: &[u8] = b"!<arch>\n";
/// The magic of a thin archive, which holds names of files instead of files.
pub(crate) const THIN_MAGIC: &[u8] = b"!<thin>\n";

/// Archives in archives are looked into this deep.
const MAX_DEPTH: usize = 4;

/// Checks an archive. Calls `found` with the member's name ("" for the archive itself), the rule and the reason.
pub(crate) fn check<'data, R: ReadRef<'data>>(data: R, found: &mut dyn FnMut(&str, Rule, String)) {
    let whole = Part {
        data,
        start: 0,
        size: data.len().unwrap_or(0),
    };
    check_nested(whole, "", MAX_DEPTH, found);
}

fn check_nested<'data, R: ReadRef<'data>>(
    archive: Part<R>,
    prefix: &str,
    depth: usize,
    found: &mut dyn FnMut(&str, Rule, String),
) {
    let whole = archive;
    let archive = match ArchiveFile::parse(whole) {
        Ok(archive) => archive,
        Err(error) => {
            return found(
                prefix,
                Rule::Archive,
                format!("the archive cannot be read: {error}"),
            );
        }
    };
    if archive.is_thin() {
        return found(
            prefix,
            Rule::Archive,
            "the archive is thin: its members are files elsewhere, which are not part of the output".to_owned(),
        );
    }
    for member in archive.members() {
        let member = match member {
            Ok(member) => member,
            Err(error) => {
                return found(
                    prefix,
                    Rule::Archive,
                    format!("the archive is damaged: {error}"),
                );
            }
        };
        let name = String::from_utf8_lossy(member.name());
        let name = if prefix.is_empty() {
            name.into_owned()
        } else {
            format!("{prefix}/{name}")
        };
        let (start, size) = member.file_range();
        let inside = start.checked_add(size).is_some_and(|end| end <= whole.size);
        let member = Part {
            data: whole.data,
            start: whole.start.saturating_add(start),
            size,
        };
        // Only what must be looked at is read: a library can be large.
        let head = match member.read_bytes_at(0, size.min(portable::HEAD as u64)) {
            Ok(head) if inside => head,
            _ => {
                return found(
                    &name,
                    Rule::Archive,
                    "the archive is cut short in this member".to_owned(),
                );
            }
        };
        match head {
            [0x7f, b'E', b'L', b'F', ..] => match elf_object::read(member) {
                Err((rule, reason)) => found(&name, rule, reason),
                Ok(object) if object.kind == elf_object::Kind::Relocatable => {}
                Ok(_) => found(
                    &name,
                    Rule::Archive,
                    "the member is linked already, expected a relocatable object".to_owned(),
                ),
            },
            [b'B', b'C', 0xc0, 0xde, ..] => {
                found(
                    &name,
                    Rule::Archive,
                    "the member is LLVM bitcode, which proves no machine".to_owned(),
                );
            }
            _ if head.starts_with(MAGIC) || head.starts_with(THIN_MAGIC) => {
                if depth == 0 {
                    found(
                        &name,
                        Rule::Archive,
                        "archives are nested too deep".to_owned(),
                    );
                } else {
                    check_nested(member, &name, depth - 1, found);
                }
            }
            _ => {
                if let Some(foreign) = portable::foreign(head) {
                    found(&name, Rule::ForeignExecutable, foreign);
                }
            }
        }
    }
}

/// A part of a file: an archive's member, read like a file of its own.
#[derive(Debug, Clone, Copy)]
struct Part<R> {
    data: R,
    start: u64,
    size: u64,
}

impl<'data, R: ReadRef<'data>> ReadRef<'data> for Part<R> {
    fn len(self) -> Result<u64, ()> {
        Ok(self.size)
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'data [u8], ()> {
        if offset.checked_add(size).is_none_or(|end| end > self.size) {
            return Err(());
        }
        self.data
            .read_bytes_at(self.start.checked_add(offset).ok_or(())?, size)
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'data [u8], ()> {
        if range.end > self.size {
            return Err(());
        }
        let moved = |at: u64| self.start.checked_add(at).ok_or(());
        self.data
            .read_bytes_at_until(moved(range.start)?..moved(range.end)?, delimiter)
    }
}
