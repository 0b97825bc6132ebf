//! The file that a download is written to, and its hash so far.

use std::fs::Permissions;
use std::io::{Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use xbuild_store_model::{HashAlgo, Hasher};

use super::Fetched;
use crate::error::FetchError;

/// A file with a temporary name beside the destination; removed when dropped.
pub(super) struct Partial {
    file: NamedTempFile,
    hasher: Hasher,
    algo: HashAlgo,
}

impl Partial {
    pub(super) fn create(dest: &Path, algo: Option<HashAlgo>) -> Result<Self, FetchError> {
        let directory = match dest.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let file = tempfile::Builder::new()
            .prefix(".download-")
            // For everybody to read, whatever the umask.
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(directory)
            .map_err(|source| FetchError::Io {
                action: "create a file in",
                path: directory.to_owned(),
                source,
            })?;
        let algo = algo.unwrap_or(HashAlgo::Sha256);
        Ok(Self {
            file,
            hasher: Hasher::new(algo),
            algo,
        })
    }

    /// How many bytes are there.
    pub(super) fn size(&self) -> u64 {
        self.hasher.count()
    }

    pub(super) fn write(&mut self, data: &[u8]) -> Result<(), FetchError> {
        let written = self.file.as_file_mut().write_all(data);
        written.map_err(|source| FetchError::Io {
            action: "write to",
            path: self.path(),
            source,
        })?;
        self.hasher.update(data);
        Ok(())
    }

    /// Forgets everything.
    pub(super) fn restart(&mut self) -> Result<(), FetchError> {
        let file = self.file.as_file_mut();
        let emptied = file.set_len(0).and_then(|()| file.rewind());
        emptied.map_err(|source| FetchError::Io {
            action: "truncate",
            path: self.path(),
            source,
        })?;
        self.hasher = Hasher::new(self.algo);
        Ok(())
    }

    pub(super) fn fetched(&self) -> Fetched {
        Fetched {
            size: self.size(),
            hash: self.hasher.clone().finish(),
        }
    }

    pub(super) fn persist(self, dest: &Path) -> Result<(), FetchError> {
        let failed = |source| FetchError::Io {
            action: "create",
            path: dest.to_owned(),
            source,
        };
        self.file
            .as_file()
            .set_permissions(Permissions::from_mode(0o644))
            .map_err(failed)?;
        self.file
            .persist(dest)
            .map_err(|error| failed(error.error))?;
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.file.path().to_owned()
    }
}
