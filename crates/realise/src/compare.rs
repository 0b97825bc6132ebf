//! Compares two file trees bit for bit, for `--rebuild`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Differences that are listed; more are counted.
const LIMIT: usize = 20;

/// What differs between two trees, a line for each file, in the order of names. Empty means that they have the same NAR.
///
/// # Errors
/// A file that cannot be read.
pub fn differences(first: &Path, second: &Path) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    compare(first, second, &mut PathBuf::new(), &mut lines)?;
    if lines.len() > LIMIT {
        let more = lines.len() - LIMIT;
        lines.truncate(LIMIT);
        lines.push(format!("… and {more} more"));
    }
    Ok(lines)
}

fn compare(
    first: &Path,
    second: &Path,
    relative: &mut PathBuf,
    lines: &mut Vec<String>,
) -> Result<()> {
    let stat = |path: &Path| fs::symlink_metadata(path).map_err(Error::io("read", path));
    let (a, b) = (stat(first)?, stat(second)?);
    let name = if relative.as_os_str().is_empty() {
        "(the output itself)".to_owned()
    } else {
        relative.display().to_string()
    };
    if a.file_type() != b.file_type() {
        lines.push(format!("{name}: was {}, now {}", kind(&a), kind(&b)));
    } else if a.is_dir() {
        let list = |path: &Path| -> Result<BTreeSet<OsString>> {
            let entries = fs::read_dir(path)
                .and_then(|entries| entries.map(|e| e.map(|e| e.file_name())).collect());
            entries.map_err(Error::io("read", path))
        };
        let (a, b) = (list(first)?, list(second)?);
        for entry in a.union(&b) {
            relative.push(entry);
            match (a.contains(entry), b.contains(entry)) {
                (true, true) => compare(&first.join(entry), &second.join(entry), relative, lines)?,
                (true, false) => lines.push(format!(
                    "{}: only in the registered output",
                    relative.display()
                )),
                _ => lines.push(format!("{}: only in the new one", relative.display())),
            }
            relative.pop();
        }
    } else if a.is_symlink() {
        let link = |path: &Path| fs::read_link(path).map_err(Error::io("read", path));
        let (a, b) = (link(first)?, link(second)?);
        if a != b {
            lines.push(format!(
                "{name}: linked to {}, now to {}",
                a.display(),
                b.display()
            ));
        }
    } else {
        let executable = |m: &fs::Metadata| m.permissions().mode() & 0o100 != 0;
        if executable(&a) != executable(&b) {
            lines.push(format!(
                "{name}: {} executable",
                if executable(&a) { "no longer" } else { "newly" }
            ));
        }
        if let Some(at) = first_difference(first, second)? {
            lines.push(format!(
                "{name}: differs from byte {at} ({} bytes, now {})",
                a.len(),
                b.len()
            ));
        }
    }
    Ok(())
}

fn kind(metadata: &fs::Metadata) -> &'static str {
    if metadata.is_dir() {
        "a directory"
    } else if metadata.is_symlink() {
        "a symbolic link"
    } else {
        "a file"
    }
}

/// The offset of the first differing byte.
fn first_difference(first: &Path, second: &Path) -> Result<Option<u64>> {
    let open = |path: &Path| {
        File::open(path)
            .map(|f| BufReader::with_capacity(1 << 16, f))
            .map_err(Error::io("read", path))
    };
    let (mut a, mut b) = (open(first)?, open(second)?);
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut offset = 0;
    loop {
        let n = fill(&mut a, &mut left).map_err(Error::io("read", first))?;
        let m = fill(&mut b, &mut right).map_err(Error::io("read", second))?;
        let common = n.min(m);
        if left[..common] != right[..common] {
            let at = left[..common]
                .iter()
                .zip(&right[..common])
                .take_while(|(x, y)| x == y)
                .count();
            return Ok(Some(offset + at as u64));
        }
        offset += common as u64;
        if n != m {
            return Ok(Some(offset));
        }
        if n < left.len() {
            return Ok(None);
        }
    }
}

fn fill(from: &mut impl Read, into: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match from.read(&mut into[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_difference_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        for root in [&a, &b] {
            fs::create_dir_all(root.join("sub")).unwrap();
            fs::write(root.join("same"), "x").unwrap();
        }
        assert!(differences(&a, &b).unwrap().is_empty());
        fs::write(a.join("f"), "abcdef").unwrap();
        fs::write(b.join("f"), "abcXef").unwrap();
        fs::write(a.join("short"), "ab").unwrap();
        fs::write(b.join("short"), "abc").unwrap();
        fs::write(a.join("gone"), "").unwrap();
        fs::write(b.join("sub/new"), "").unwrap();
        fs::set_permissions(b.join("same"), fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("x", a.join("l")).unwrap();
        std::os::unix::fs::symlink("y", b.join("l")).unwrap();
        fs::write(a.join("t"), "").unwrap();
        fs::create_dir(b.join("t")).unwrap();
        let expected = [
            "f: differs from byte 3 (6 bytes, now 6)",
            "gone: only in the registered output",
            "l: linked to x, now to y",
            "same: newly executable",
            "short: differs from byte 2 (2 bytes, now 3)",
            "sub/new: only in the new one",
            "t: was a file, now a directory",
        ];
        assert_eq!(differences(&a, &b).unwrap(), expected);
    }
}
