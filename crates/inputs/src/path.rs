//! Directories.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use xbuild_flake_ref::Input;
use xbuild_store_model::{FileIngestionMethod, HashAlgo};

use crate::error::{Error, Result};
use crate::inputs::{Found, Inputs};

impl Inputs {
    pub(crate) fn fetch_path(&self, input: &Input) -> Result<Found> {
        let mut found = input.clone();
        let path = PathBuf::from(input.text("path").unwrap_or_default());
        if !path.is_absolute() {
            return Err(Error::refused(format!(
                "cannot fetch input '{}' because it uses a relative path",
                input.show()
            )));
        }
        let mut newest = 0;
        let in_store = self
            .store
            .logical(&path)
            .filter(|(_, rest)| rest.as_os_str().is_empty())
            .map(|(store_path, _)| store_path);
        let store_path = match in_store {
            Some(store_path)
                if store_path.name() == "source" && {
                    self.store.add_temp_root(&store_path)?;
                    self.store.is_valid(&store_path)?
                } =>
            {
                store_path
            }
            other => {
                let physical = match (other, self.store.logical(&path)) {
                    (Some(store_path), _) => self.store.physical(&store_path),
                    (None, Some((store_path, rest))) => self.store.physical(&store_path).join(rest),
                    (None, None) => path.clone(),
                };
                let exists = std::fs::symlink_metadata(&physical).map_err(|source| {
                    if source.kind() == std::io::ErrorKind::NotFound {
                        Error::refused(format!("path '{}' does not exist", path.display()))
                    } else {
                        Error::io("read", path.clone())(source)
                    }
                })?;
                newest = exists.mtime();
                let mut note = |entry: &Path, _| {
                    let metadata = std::fs::symlink_metadata(entry)?;
                    newest = newest.max(metadata.mtime());
                    Ok(true)
                };
                self.store.add_path(
                    "source",
                    &physical,
                    FileIngestionMethod::NixArchive,
                    HashAlgo::Sha256,
                    Some(&mut note),
                    None,
                )?
            }
        };
        if input.int("lastModified").is_none() {
            found.set("lastModified", u64::try_from(newest).unwrap_or_default());
        }
        Ok((store_path, found))
    }
}
