//! Source trees that an evaluation which writes nothing (`--read-only`) has computed the store paths of.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::Path;

use xbuild_eval::host::{FileType, HostError, HostResult, PathFilter, Requisite};
use xbuild_store_model::store_path::make_fixed_output_path;
use xbuild_store_model::{FileIngestionMethod, HashAlgo, Hasher, StorePath, nar};

use super::StoreHost;

/// What is hashed, and how.
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    /// Where it lies.
    pub(super) physical: &'a Path,
    pub(super) method: FileIngestionMethod,
    pub(super) algo: HashAlgo,
}

impl StoreHost {
    /// The store path that `source` would get; who expects another one compares. Without a filter, what is read below it is read from the source.
    pub(super) fn compute_path(
        &self,
        source: &Source<'_>,
        filter: Option<&mut PathFilter<'_>>,
    ) -> HostResult<StorePath> {
        let physical = source.physical;
        let is_whole = filter.is_none();
        let mut hasher = Hasher::new(source.algo);
        match (source.method, filter) {
            (FileIngestionMethod::Flat, _) => {
                io::copy(&mut File::open(physical)?, &mut hasher)?;
            }
            (FileIngestionMethod::NixArchive, None) => {
                nar::write_path(physical, &mut hasher)?;
            }
            (FileIngestionMethod::NixArchive, Some(filter)) => {
                let mut below =
                    |path: &Path, kind: FileType| filter(path, kind).map_err(HostError::into_cause);
                nar::write_path_filtered(physical, &mut hasher, &mut below)?;
            }
        }
        let hash = hasher.finish();
        let path =
            make_fixed_output_path(source.method, &hash, source.name, &BTreeSet::new(), false)?;
        if is_whole {
            self.computed
                .borrow_mut()
                .insert(path.clone(), physical.to_owned());
        }
        Ok(path)
    }

    /// What of `wanted` has to be in the store. Where nothing is written, nothing can be built either.
    pub(super) fn check_there(&self, wanted: &[Requisite]) -> HostResult<Vec<StorePath>> {
        let check = |requisite: &Requisite| {
            let (Requisite::Path(path) | Requisite::Output(path, _)) = requisite;
            if matches!(requisite, Requisite::Path(_))
                && (self.computed.borrow().contains_key(path) || self.store.is_valid(path)?)
            {
                return Ok(path.clone());
            }
            Err(HostError::new(format!(
                "path '{}' is not valid\nhint: with --read-only nothing is written into the store, so what is not there yet cannot be read or built",
                path.base_name()
            )))
        };
        wanted.iter().map(check).collect()
    }
}
