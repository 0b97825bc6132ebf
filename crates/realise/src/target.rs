//! What a step builds, and what it registers: its derivation, or the one that this resolves to.

use std::borrow::Cow;
use std::collections::BTreeMap;

use xbuild_derivation::Derivation;
use xbuild_store::{DrvOutput, Realisation};
use xbuild_store_model::StorePath;
use xbuild_store_model::store_path::make_scratch_path;

use crate::error::{Error, FailureReason};
use crate::output_paths::OutputPaths;
use crate::plan::{Step, read_derivation};

/// What a step builds: its derivation, or the one that this resolves to.
pub(crate) struct Target<'a> {
    step: &'a Step,
    paths: &'a OutputPaths<'a>,
    pub(crate) drv_path: StorePath,
    pub(crate) drv: Cow<'a, Derivation>,
}

impl<'a> Target<'a> {
    /// All inputs of the step must be built.
    pub(crate) fn of(paths: &'a OutputPaths<'a>, step: &'a Step) -> Result<Self, FailureReason> {
        paths.require_features(&step.drv_path, &step.drv)?;
        if !paths.content_addressed() || !step.drv.should_resolve() {
            return Ok(Self {
                step,
                paths,
                drv_path: step.drv_path.clone(),
                drv: Cow::Borrowed(&step.drv),
            });
        }
        let bad = |error: xbuild_derivation::Error| Error::BadDerivation {
            path: step.drv_path.clone(),
            reason: error.to_string(),
        };
        let mut inputs = BTreeMap::new();
        for (input, outputs) in &step.drv.input_drvs {
            let drv = read_derivation(paths.store(), input)?;
            inputs.insert(input, paths.require(input, &drv, Some(outputs))?);
        }
        let mut path_of = |input: &StorePath, output: &str| {
            let found = inputs.get(input).and_then(|outputs| outputs.get(output));
            found
                .cloned()
                .ok_or_else(|| xbuild_derivation::Error::NoSuchOutput {
                    name: step.drv.name.clone(),
                    input: input.clone(),
                    output: output.to_owned(),
                })
        };
        let drv = step.drv.resolve(&mut path_of).map_err(bad)?;
        Ok(Self {
            step,
            paths,
            drv_path: drv.drv_path().map_err(bad)?,
            drv: Cow::Owned(drv),
        })
    }

    fn is_resolved(&self) -> bool {
        matches!(self.drv, Cow::Owned(_))
    }

    /// What is locked while it is built: each output's path or, where that is not known, a name that stock Nix locks as well.
    pub(crate) fn locks(&self) -> Vec<StorePath> {
        let lock = |(name, path): (&str, Option<&StorePath>)| {
            path.cloned().or_else(|| {
                let lock = format!("{}.{name}", self.drv_path.base_name());
                // A name that is too long for that is locked as a whole.
                let lock = StorePath::from_base_name(&lock);
                Some(lock.unwrap_or_else(|_| self.drv_path.clone()))
            })
        };
        self.drv.output_paths().filter_map(lock).collect()
    }

    /// Where the builder finds its outputs: at their paths; or, where these are not known, at paths of the same length.
    pub(crate) fn places(
        &self,
        valid: &BTreeMap<String, StorePath>,
        rebuild: bool,
    ) -> Result<BTreeMap<String, StorePath>, FailureReason> {
        let place = |(name, path): (&str, Option<&StorePath>)| {
            let known = path.or_else(|| valid.get(name).filter(|_| !rebuild));
            let place = match known {
                Some(path) => path.clone(),
                None => make_scratch_path(&self.drv_path, name)
                    .map_err(|error| FailureReason::Unsupported(error.to_string()))?,
            };
            Ok((name.to_owned(), place))
        };
        self.drv.output_paths().map(place).collect()
    }

    /// Writes a resolved derivation to the store: it is what made the outputs.
    pub(crate) fn write(&self) -> Result<(), FailureReason> {
        if self.is_resolved() {
            let name = format!("{}.drv", self.drv.name);
            let references = self.drv.references();
            let store = self.paths.store();
            let written = store.add_text(&name, &self.drv.to_aterm(), &references);
            if written.map_err(Error::from)? != self.drv_path {
                return Err(FailureReason::Internal(format!(
                    "{} resolves to a derivation with two paths",
                    self.step.drv_path
                )));
            }
        }
        Ok(())
    }

    /// The realisations that follow from `outputs`: all of what was built, and those of the step's derivation that were wanted.
    pub(crate) fn realisations(
        &self,
        outputs: &BTreeMap<String, StorePath>,
    ) -> Result<Vec<Realisation>, FailureReason> {
        let mut realisations = Vec::new();
        if !self.paths.content_addressed() || self.step.drv.is_impure() {
            return Ok(realisations);
        }
        let mut add = |ids: BTreeMap<String, DrvOutput>| {
            for (name, id) in ids {
                if let Some(path) = outputs.get(&name).cloned() {
                    realisations.push(Realisation { id, path });
                }
            }
        };
        add(self.paths.drv_outputs(&self.drv_path, &self.drv)?);
        if self.is_resolved() {
            let mut ids = self
                .paths
                .drv_outputs(&self.step.drv_path, &self.step.drv)?;
            ids.retain(|name, _| self.step.wanted.contains(name));
            add(ids);
        }
        Ok(realisations)
    }

    /// Tells later steps where the outputs are: there, unless another realisation was there before.
    pub(crate) fn note(&self, mut outputs: BTreeMap<String, StorePath>, held: &[Realisation]) {
        if self.step.drv.has_known_paths() {
            return;
        }
        // Those of the step's own derivation come last.
        for realisation in held {
            outputs.insert(realisation.id.output.clone(), realisation.path.clone());
        }
        self.paths.note(&self.step.drv_path, outputs);
    }
}
