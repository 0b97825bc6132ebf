//! Where outputs are: at the path that their derivation gives them, or, where that follows from their contents, at the one that a
//! build has found out (Nix manual, "Realisation").

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;
use xbuild_derivation::{Derivation, DrvHash, hash_modulo, output_hashes};
use xbuild_store::{DrvOutput, Store};
use xbuild_store_model::{Hash, StorePath};

use crate::error::{Error, Result};
use crate::plan::read_derivation;

/// Finds the paths of outputs in a store, and remembers what it found.
pub struct OutputPaths<'a> {
    store: &'a Store,
    features: &'a [String],
    /// The hashes modulo of derivations.
    hashes: Mutex<FxHashMap<StorePath, DrvHash>>,
    /// What was built while this lives. Of impure derivations, nothing else knows it.
    found: Mutex<FxHashMap<StorePath, BTreeMap<String, StorePath>>>,
}

impl<'a> OutputPaths<'a> {
    /// Paths in `store`; `features` are the experimental features that are on.
    #[must_use]
    pub fn new(store: &'a Store, features: &'a [String]) -> Self {
        Self {
            store,
            features,
            hashes: Mutex::default(),
            found: Mutex::default(),
        }
    }

    pub(crate) fn store(&self) -> &'a Store {
        self.store
    }

    /// Whether `ca-derivations` is on.
    pub(crate) fn content_addressed(&self) -> bool {
        self.has("ca-derivations")
    }

    fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|on| on == feature)
    }

    /// Refuses a derivation that needs an experimental feature that is off.
    pub(crate) fn require_features(&self, drv_path: &StorePath, drv: &Derivation) -> Result<()> {
        let missing = if drv.has_known_paths() {
            None
        } else if !self.content_addressed() {
            Some("ca-derivations")
        } else if drv.is_impure() && !self.has("impure-derivations") {
            Some("impure-derivations")
        } else {
            None
        };
        missing.map_or(Ok(()), |feature| {
            Err(Error::Feature {
                feature,
                drv: drv_path.clone(),
            })
        })
    }

    /// The paths of `outputs` of `drv` (all, if `None`); of those that only a build will tell, none. A path that a realisation tells
    /// is valid and a temporary root.
    ///
    /// # Errors
    /// An output that it does not have, a feature that is off, or a derivation that is missing or damaged.
    pub fn get(
        &self,
        drv_path: &StorePath,
        drv: &Derivation,
        outputs: Option<&BTreeSet<String>>,
    ) -> Result<BTreeMap<String, Option<StorePath>>> {
        self.require_features(drv_path, drv)?;
        let wanted: BTreeSet<&String> = match outputs {
            Some(names) => names.iter().collect(),
            None => drv.outputs.keys().collect(),
        };
        let found = lock(&self.found).get(drv_path).cloned();
        let mut hashes = None;
        let mut paths = BTreeMap::new();
        for name in wanted {
            let output = drv.outputs.get(name).ok_or_else(|| Error::NoSuchOutput {
                drv: drv_path.clone(),
                output: name.clone(),
                known: drv
                    .outputs
                    .keys()
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(", "),
            })?;
            let mut path = output.path().cloned();
            path = path.or_else(|| found.as_ref()?.get(name).cloned());
            if path.is_none() && !drv.is_impure() {
                let hashes = match &mut hashes {
                    Some(hashes) => hashes,
                    empty => empty.insert(self.output_hashes(drv_path, drv)?),
                };
                path = self.store.query_realisation(&drv_output(hashes, name)?)?;
            }
            paths.insert(name.clone(), path);
        }
        Ok(paths)
    }

    /// As [`OutputPaths::get`], where all are needed.
    ///
    /// # Errors
    /// As [`OutputPaths::get`]; and for a path that is not known before the build.
    pub fn require(
        &self,
        drv_path: &StorePath,
        drv: &Derivation,
        outputs: Option<&BTreeSet<String>>,
    ) -> Result<BTreeMap<String, StorePath>> {
        self.get(drv_path, drv, outputs)?
            .into_iter()
            .map(|(name, path)| match path {
                Some(path) => Ok((name, path)),
                None => Err(Error::NotRealised {
                    drv: drv_path.clone(),
                    output: name,
                }),
            })
            .collect()
    }

    /// What names the outputs of `drv` in realisations.
    pub(crate) fn drv_outputs(
        &self,
        drv_path: &StorePath,
        drv: &Derivation,
    ) -> Result<BTreeMap<String, DrvOutput>> {
        let hashes = self.output_hashes(drv_path, drv)?;
        hashes
            .keys()
            .map(|name| Ok((name.clone(), drv_output(&hashes, name)?)))
            .collect()
    }

    /// Remembers what a build of `drv` made.
    pub(crate) fn note(&self, drv: &StorePath, outputs: BTreeMap<String, StorePath>) {
        lock(&self.found)
            .entry(drv.clone())
            .or_default()
            .extend(outputs);
    }

    fn output_hashes(
        &self,
        drv_path: &StorePath,
        drv: &Derivation,
    ) -> Result<BTreeMap<String, Hash>> {
        let mut hashes = lock(&self.hashes);
        if drv.fixed_output().is_none() {
            for input in drv.input_drvs.keys() {
                self.hash_with_inputs(&mut hashes, input)?;
            }
        }
        output_hashes(drv, &mut |input| known(&hashes, input))
            .map_err(|error| bad(drv_path, &error))
    }

    /// Computes the hash modulo of a derivation, after those of its inputs. Iterative: a chain of derivations can be long.
    fn hash_with_inputs(
        &self,
        hashes: &mut FxHashMap<StorePath, DrvHash>,
        root: &StorePath,
    ) -> Result<()> {
        let mut read: FxHashMap<StorePath, Derivation> = FxHashMap::default();
        let mut stack = vec![root.clone()];
        while let Some(path) = stack.last().cloned() {
            if hashes.contains_key(&path) {
                stack.pop();
                continue;
            }
            let Some(drv) = read.remove(&path) else {
                let drv = read_derivation(self.store, &path)?;
                // How a fixed output is made does not count.
                if drv.fixed_output().is_none() {
                    let inputs = drv.input_drvs.keys();
                    stack.extend(inputs.filter(|input| !hashes.contains_key(*input)).cloned());
                }
                read.insert(path, drv);
                continue;
            };
            let hash = hash_modulo(&drv, &mut |input| known(hashes, input))
                .map_err(|error| bad(&path, &error))?;
            hashes.insert(path, hash);
            stack.pop();
        }
        Ok(())
    }
}

fn known(
    hashes: &FxHashMap<StorePath, DrvHash>,
    input: &StorePath,
) -> xbuild_derivation::Result<DrvHash> {
    hashes
        .get(input)
        .cloned()
        .ok_or_else(|| xbuild_derivation::Error::NotADerivation {
            path: input.clone(),
        })
}

fn bad(drv: &StorePath, error: &xbuild_derivation::Error) -> Error {
    Error::BadDerivation {
        path: drv.clone(),
        reason: error.to_string(),
    }
}

fn drv_output(hashes: &BTreeMap<String, Hash>, name: &str) -> Result<DrvOutput> {
    let hash = hashes
        .get(name)
        .ok_or_else(|| Error::Internal(format!("output `{name}` has no hash")))?;
    Ok(DrvOutput {
        drv_hash: *hash,
        output: name.to_owned(),
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
