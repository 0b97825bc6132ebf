//! Unpacking an archive the way `fetchTarball` does.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use crate::archive::{
    Compression, Entry, EntryPath, Kind, OnExisting, Tree, UnpackError, decompressed,
    for_each_entry, for_each_zip_entry, is_zip,
};

/// Unpacks `archive` (tar, compressed with gzip, xz, zstd, bzip2 or not at all, or zip; its content decides, not its name) to
/// `dest`, which must not exist.
///
/// If everything in it is in one directory, `dest` becomes that directory; this is what stock Nix does. Files get mode 0644 or, if their
/// owner may execute them, 0755; directories 0755. Links may have any target, but no entry is written through one. If a path
/// is there twice, the last one counts, as with tar.
///
/// Gives the time of the newest entry, in seconds since 1970.
///
/// # Errors
/// If the archive is damaged, an entry leads out of it or is neither a file, a directory nor a link, or `dest` cannot be written. Nothing is left then.
pub fn unpack(archive: &Path, dest: &Path) -> Result<u64, UnpackError> {
    let read = |error| UnpackError::read(archive, error);
    if dest.symlink_metadata().is_ok() {
        return Err(UnpackError::write(
            "unpack to",
            dest,
            std::io::ErrorKind::AlreadyExists.into(),
        ));
    }
    let directory = dest
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    // On the same file system, so that the result can be renamed; removed in the end, whatever happens.
    let temporary = tempfile::Builder::new()
        .prefix(".unpack-")
        .tempdir_in(directory)
        .map_err(|error| UnpackError::write("create a directory in", directory, error))?;
    let whole = temporary.path().join("tree");
    let mut tree = Tree::create(&whole, OnExisting::Replace)?;
    tree.begin(archive);
    let mut newest = 0;
    let mut begun = false;
    let mut visit = |entry: Entry<'_>| {
        begun = true;
        newest = newest.max(entry.modified);
        let refused = |reason: &str| UnpackError::refused(archive, &entry.name, reason);
        let path = EntryPath::parse(&entry.name).map_err(refused)?;
        if path.is_root() && entry.kind != Kind::Directory {
            return Err(refused("the root of an archive must be a directory"));
        }
        match entry.kind {
            Kind::Directory => tree.directory(&path),
            Kind::File { executable, size } => tree.file(&path, executable, size, entry.data),
            Kind::Symlink(target) if target.contains(&0) => {
                Err(refused("its target contains a NUL byte"))
            }
            Kind::Symlink(target) => tree.symlink(&path, &target),
            Kind::HardLink(target) => {
                let target = EntryPath::parse(&target)
                    .map_err(|reason| refused(&format!("the target of a hard link: {reason}")))?;
                tree.hard_link(&path, &target)
            }
        }
    };
    let is_plain = |start: &[u8]| Compression::of_content(start) == Compression::None;
    let mut file = File::open(archive).map_err(read)?;
    let mut start = Vec::new();
    (&mut file)
        .take(Compression::MAGIC as u64)
        .read_to_end(&mut start)
        .map_err(read)?;
    if is_zip(&start) {
        for_each_zip_entry(archive, file, &mut visit)?;
    } else {
        let ended = decompressed(archive)
            .map_err(read)
            .and_then(|reader| for_each_entry(archive, reader, &mut visit));
        match ended {
            // Nothing of what is in a file that is no archive is told: it may be a secret.
            Err(UnpackError::Read { .. }) if !begun && is_plain(&start) => {
                return Err(UnpackError::Unrecognized);
            }
            ended => ended?,
        }
    }
    let only = {
        let mut top = tree.top_level();
        match (top.next(), top.next()) {
            (Some((path, true)), None) => Some(path.on_disk(&whole)),
            _ => None,
        }
    };
    let renamed = fs::rename(only.as_ref().unwrap_or(&whole), dest);
    renamed.map_err(|error| UnpackError::write("create", dest, error))?;
    if only.is_none() {
        tree.finish();
    }
    Ok(newest)
}
