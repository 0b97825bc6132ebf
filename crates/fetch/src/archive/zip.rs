//! The entries of a zip archive (PKWARE, "APPNOTE.TXT"; extended timestamps as Info-ZIP writes them), stored or deflated.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use zip::{ExtraField, ZipArchive};

use super::{Entry, Kind, UnpackError};

/// The largest target of a symbolic link, in bytes.
const MAX_TARGET: u64 = 1 << 16;

/// The file type bits of a Unix mode, and those of a symbolic link.
const TYPE: u32 = 0o170_000;
const LINK: u32 = 0o120_000;

/// Whether a file that begins with `start` is a zip archive.
pub(crate) fn is_zip(start: &[u8]) -> bool {
    start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06")
}

/// Calls `visit` for each entry of the archive in `file`. `archive` is its name in errors.
pub(crate) fn for_each_zip_entry(
    archive: &Path,
    file: File,
    visit: &mut dyn FnMut(Entry<'_>) -> Result<(), UnpackError>,
) -> Result<(), UnpackError> {
    let read = |error: zip::result::ZipError| UnpackError::read(archive, io::Error::other(error));
    let mut zip = ZipArchive::new(BufReader::new(file)).map_err(read)?;
    for index in 0..zip.len() {
        let mut entry = zip.by_index(index).map_err(read)?;
        let mut name = entry.name_raw().to_vec();
        let mode = entry.unix_mode().unwrap_or_default();
        let modified = modified(&entry);
        let kind = if mode & TYPE == LINK {
            let mut target = Vec::new();
            (&mut entry)
                .take(MAX_TARGET + 1)
                .read_to_end(&mut target)
                .map_err(|error| UnpackError::read(archive, error))?;
            if target.len() as u64 > MAX_TARGET {
                return Err(UnpackError::refused(
                    archive,
                    &name,
                    "its target is too long",
                ));
            }
            Kind::Symlink(target)
        } else if name.ends_with(b"/") {
            name.pop();
            Kind::Directory
        } else {
            Kind::File {
                executable: mode & 0o100 != 0,
                size: entry.size(),
            }
        };
        visit(Entry {
            name,
            kind,
            modified,
            data: &mut entry,
        })?;
    }
    Ok(())
}

/// When an entry was last changed, in seconds since 1970. Without a timestamp, its local time is taken for UTC.
fn modified<R: Read>(entry: &zip::read::ZipFile<'_, R>) -> u64 {
    let stamp = entry.extra_data_fields().find_map(|field| match field {
        ExtraField::ExtendedTimestamp(times) => times.mod_time(),
        _ => None,
    });
    if let Some(stamp) = stamp {
        return u64::from(stamp);
    }
    let Some(time) = entry.last_modified() else {
        return 0;
    };
    let days = days_since_1970(
        i64::from(time.year()),
        i64::from(time.month()),
        i64::from(time.day()),
    );
    let seconds =
        u64::from(time.hour()) * 3600 + u64::from(time.minute()) * 60 + u64::from(time.second());
    u64::try_from(days).unwrap_or_default() * 86_400 + seconds
}

/// The number of a day of the Gregorian calendar. Years count from March, so that a leap day is their last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400;
    days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::days_since_1970;

    #[test]
    fn days() {
        assert_eq!(days_since_1970(1970, 1, 1), 0);
        assert_eq!(days_since_1970(1980, 1, 1), 3652);
        assert_eq!(days_since_1970(2000, 2, 29), 11_016);
        assert_eq!(days_since_1970(2026, 11, 27), 20_784);
    }
}
