//! The machine's disk: the image, unpacked into a sparse file and grown.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::description::Disk;
use crate::error::{Error, Result};

/// Zeros of this size and alignment become holes: the block size of the usual file systems.
const BLOCK: usize = 4096;
/// How much is unpacked at a time.
const CHUNK: usize = 1 << 20;
const MIB: u64 = 1 << 20;

/// A disk.
#[derive(Debug)]
pub struct Made {
    /// Open for reading and writing.
    pub file: File,
    /// The image's bytes.
    pub image: u64,
    /// The disk's bytes; more than the image's.
    pub size: u64,
}

/// Unpacks `image` (gzip) into a file without a name, in `directory`. `cancelled` is asked again and again.
///
/// # Errors
/// A damaged image, no space left.
pub fn temporary(
    image: &Path,
    disk: &Disk,
    directory: &Path,
    cancelled: &dyn Fn() -> bool,
) -> Result<Made> {
    let file =
        tempfile::tempfile_in(directory).map_err(Error::file("make a file in", directory))?;
    fill(file, image, disk, directory, cancelled)
}

/// As [`temporary`], into the file `path`; if there is one already, that is the disk, as an earlier run left it. It is locked as long
/// as it is open: two machines with one disk destroy its file systems.
///
/// # Errors
/// As before; a file that is no disk, or the disk of another machine. A file that could not be finished is removed.
pub fn kept(image: &Path, disk: &Disk, path: &Path, cancelled: &dyn Fn() -> bool) -> Result<Made> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match options.open(path) {
        Ok(file) => {
            lock(&file, path)?;
            let size = file.metadata().map_err(Error::file("read", path))?.len();
            if !has_partitions(&file).map_err(Error::file("read", path))? {
                return Err(Error::NoDisk {
                    path: path.to_owned(),
                });
            }
            return Ok(Made {
                file,
                image: size,
                size,
            });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Error::file("open", path)(error)),
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // It gets its name when it is whole.
    let file = tempfile::NamedTempFile::new_in(directory)
        .map_err(Error::file("make a file in", directory))?;
    let own = file.reopen().map_err(Error::file("open", file.path()))?;
    lock(&own, path)?;
    let made = fill(own, image, disk, directory, cancelled)?;
    file.persist_noclobber(path)
        .map_err(|error| Error::file("write", path)(error.error))?;
    Ok(made)
}

fn lock(file: &File, path: &Path) -> Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(Error::InUse {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(Error::file("lock", path)(error)),
    }
}

/// Whether there is a table of partitions (UEFI specification, 5.3.2): nothing else is taken for a disk, and written to.
fn has_partitions(file: &File) -> io::Result<bool> {
    let mut signature = [0; 8];
    match file.read_exact_at(&mut signature, 512) {
        Ok(()) => Ok(&signature == b"EFI PART"),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn fill(
    mut file: File,
    image: &Path,
    disk: &Disk,
    directory: &Path,
    cancelled: &dyn Fn() -> bool,
) -> Result<Made> {
    let packed = File::open(image).map_err(Error::file("read", image))?;
    let mut unpacked = MultiGzDecoder::new(BufReader::with_capacity(CHUNK, packed));
    let mut chunk = vec![0; CHUNK];
    let mut size = 0_u64;
    let no_space = |size: u64| {
        let path = directory.to_owned();
        let needed = size / MIB + 1;
        move |error| Error::NoSpace {
            path,
            needed,
            error,
        }
    };
    loop {
        if cancelled() {
            return Err(Error::Interrupted);
        }
        let filled = read_full(&mut unpacked, &mut chunk).map_err(|error| Error::Image {
            path: image.to_owned(),
            error,
        })?;
        if filled == 0 {
            break;
        }
        write_sparse(&mut file, size, &chunk[..filled]).map_err(no_space(size))?;
        size += filled as u64;
    }
    if size == 0 {
        return Err(Error::Image {
            path: image.to_owned(),
            error: io::Error::new(io::ErrorKind::UnexpectedEof, "it is empty"),
        });
    }
    let grown = grown(size, disk);
    file.set_len(grown).map_err(no_space(grown))?;
    Ok(Made {
        file,
        image: size,
        size: grown,
    })
}

/// The disk's bytes for an image of `image` bytes.
fn grown(image: u64, disk: &Disk) -> u64 {
    let wanted = image
        .next_multiple_of(MIB)
        .saturating_add(disk.grow.saturating_mul(MIB));
    if disk.power_of_two {
        wanted.checked_next_power_of_two().unwrap_or(wanted)
    } else {
        wanted
    }
}

/// Reads until `buffer` is full or there is no more.
fn read_full(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Writes `data` at `at`, a multiple of the block size, except for blocks of zeros.
fn write_sparse(file: &mut File, at: u64, data: &[u8]) -> io::Result<()> {
    let is_hole = |block: &[u8]| block.iter().all(|byte| *byte == 0);
    let mut start = 0;
    while start < data.len() {
        let mut end = start;
        let mut blocks = data[start..].chunks(BLOCK).peekable();
        while let Some(block) = blocks.next_if(|block| !is_hole(block)) {
            end += block.len();
        }
        if end > start {
            file.seek(SeekFrom::Start(at + start as u64))?;
            file.write_all(&data[start..end])?;
        }
        // Past the hole, too.
        start = end + BLOCK;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;
    use crate::description::Interface;

    fn disk(grow: u64, power_of_two: bool) -> Disk {
        Disk {
            interface: Interface::Sd,
            bus: 1,
            grow,
            power_of_two,
        }
    }

    fn packed(directory: &Path, content: &[u8]) -> std::path::PathBuf {
        let path = directory.join("disk.img.gz");
        let mut writer = GzEncoder::new(File::create(&path).unwrap(), Compression::fast());
        writer.write_all(content).unwrap();
        writer.finish().unwrap();
        path
    }

    fn contents(made: &mut Made) -> Vec<u8> {
        let mut bytes = Vec::new();
        made.file.rewind().unwrap();
        made.file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn sizes() {
        assert_eq!(grown(3 * MIB - 1, &disk(0, false)), 3 * MIB);
        assert_eq!(grown(3 * MIB, &disk(10, false)), 13 * MIB);
        assert_eq!(grown(3 * MIB, &disk(0, true)), 4 * MIB);
        assert_eq!(grown(4 * MIB, &disk(1, true)), 8 * MIB);
    }

    #[test]
    fn an_image_is_unpacked_with_holes() {
        let directory = tempfile::tempdir().unwrap();
        let mut content = vec![0; 40 * CHUNK];
        content[5 * CHUNK + 17] = 1;
        content.extend_from_slice(b"the end");
        let image = packed(directory.path(), &content);
        let mut made = temporary(&image, &disk(2, true), directory.path(), &|| false).unwrap();
        assert_eq!((made.image, made.size), (content.len() as u64, 64 * MIB));
        assert!(made.file.metadata().unwrap().blocks() * 512 < 4 * MIB);
        content.resize(64 * CHUNK, 0);
        assert!(contents(&mut made) == content);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_kept_disk_is_used_again() {
        let directory = tempfile::tempdir().unwrap();
        let image = packed(
            directory.path(),
            &[&[0; 512], b"EFI PART".as_slice()].concat(),
        );
        let path = directory.path().join("disk");
        let mut made = kept(&image, &disk(1, false), &path, &|| false).unwrap();
        made.file.rewind().unwrap();
        made.file.write_all(b"changed").unwrap();
        let error = kept(&image, &disk(1, false), &path, &|| false).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("the disk of a machine that runs"),
            "{error}"
        );
        drop(made);
        let mut again = kept(&image, &disk(1, false), &path, &|| false).unwrap();
        assert_eq!(again.size, 2 * MIB);
        assert!(contents(&mut again).starts_with(b"changed"));
    }

    #[test]
    fn what_is_no_disk_is_not_written_to() {
        let directory = tempfile::tempdir().unwrap();
        let image = packed(directory.path(), b"content");
        for bytes in [b"".as_slice(), &[b'x'; 4096]] {
            let path = directory.path().join("README.md");
            std::fs::write(&path, bytes).unwrap();
            let error = kept(&image, &disk(1, false), &path, &|| false).unwrap_err();
            assert!(error.to_string().contains("is no disk"), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
    }

    #[test]
    fn damaged_images() {
        let directory = tempfile::tempdir().unwrap();
        let image = packed(directory.path(), &[7; 5000]);
        let whole = std::fs::read(&image).unwrap();
        for bytes in [&whole[..whole.len() - 9], b"no gzip file", b""] {
            std::fs::write(&image, bytes).unwrap();
            let path = directory.path().join("disk");
            let error = kept(&image, &disk(1, false), &path, &|| false).unwrap_err();
            assert!(error.to_string().contains("cannot be unpacked"), "{error}");
            assert!(!path.exists());
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn unpacking_can_be_interrupted() {
        let directory = tempfile::tempdir().unwrap();
        let image = packed(directory.path(), &[7; 5000]);
        let made = temporary(&image, &disk(1, false), directory.path(), &|| true);
        assert!(matches!(made, Err(Error::Interrupted)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 50, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_pattern_of_holes(pieces in prop::collection::vec((0..3 * BLOCK, any::<u8>()), 0..12)) {
            let content: Vec<u8> = pieces.iter().flat_map(|(size, byte)| vec![byte % 2; *size]).collect();
            let mut file = tempfile::tempfile().unwrap();
            write_sparse(&mut file, 0, &content).unwrap();
            file.set_len(content.len() as u64).unwrap();
            let mut made = Made { file, image: 0, size: 0 };
            prop_assert!(contents(&mut made) == content);
        }
    }
}
