//! Making damaged store paths again.
//!
//! A path that a derivation of the store makes is built once more, and the result takes the place of what is there, in one step. Nothing
//! else can be repaired: of a source, the store has no other copy. A binary cache would be asked here, before anything is built.

use std::collections::{BTreeMap, BTreeSet};

use xbuild_store_model::StorePath;

use crate::error::{Error, Result};
use crate::event::StepKind;
use crate::output_paths::OutputPaths;
use crate::plan::{Plan, Step, Wanted, read_derivation};
use crate::platform::plan_for;
use crate::run::Realiser;
use crate::step::input_closure;

/// What became of damaged paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repaired {
    /// They are what they were.
    pub repaired: Vec<StorePath>,
    /// Their builds do not always give the same: they are sound, and other than before.
    pub different: Vec<StorePath>,
    /// Nothing in the store says how to make them.
    pub unknown: Vec<StorePath>,
}

impl Realiser<'_> {
    /// Makes `damaged` paths again: valid ones, whose contents are not those that were registered, or are gone.
    ///
    /// # Errors
    /// As [`Realiser::realise`]: what could not be built stays damaged.
    pub fn repair(&self, damaged: &[StorePath]) -> Result<Repaired> {
        let paths = self.output_paths();
        let mut report = Repaired::default();
        let mut before = BTreeMap::new();
        let mut makers: BTreeMap<StorePath, BTreeSet<StorePath>> = BTreeMap::new();
        self.store.add_temp_roots(damaged)?;
        for path in damaged {
            let info = self
                .store
                .query_path_info(path)?
                .ok_or_else(|| xbuild_store::Error::NotValid(path.clone()))?;
            match self.maker(&paths, path, info.deriver)? {
                Some(drv) => {
                    before.insert(path.clone(), info.nar_hash);
                    makers.entry(drv).or_default().insert(path.clone());
                }
                None => report.unknown.push(path.clone()),
            }
        }
        let plan = self.repair_plan(&paths, &makers)?;
        let wanted: BTreeSet<StorePath> = before.keys().cloned().collect();
        self.run_repairing(&paths, &plan, &wanted)?;
        for (path, hash) in before {
            let now = self.store.query_path_info(&path)?;
            if now.is_some_and(|info| info.nar_hash == hash) {
                report.repaired.push(path);
            } else {
                report.different.push(path);
            }
        }
        Ok(report)
    }

    /// The derivation that makes a path; its own deriver first.
    fn maker(
        &self,
        paths: &OutputPaths<'_>,
        path: &StorePath,
        deriver: Option<StorePath>,
    ) -> Result<Option<StorePath>> {
        for drv in deriver.into_iter().chain(self.store.derivers(path)?) {
            self.store.add_temp_root(&drv)?;
            if !self.store.is_valid(&drv)? {
                continue;
            }
            let derivation = read_derivation(self.store, &drv)?;
            if paths
                .get(&drv, &derivation, None)?
                .values()
                .any(|output| output.as_ref() == Some(path))
            {
                return Ok(Some(drv));
            }
        }
        Ok(None)
    }

    /// Builds once more by each of the `makers`, those first whose outputs others need. What is not valid of their inputs is built
    /// before.
    fn repair_plan(
        &self,
        paths: &OutputPaths<'_>,
        makers: &BTreeMap<StorePath, BTreeSet<StorePath>>,
    ) -> Result<Plan> {
        let mut needed = Vec::new();
        let mut derivations = BTreeMap::new();
        for drv_path in makers.keys() {
            let drv = read_derivation(self.store, drv_path)?;
            needed.extend(
                drv.input_drvs
                    .iter()
                    .map(|(input, outputs)| Wanted::Outputs(input.clone(), Some(outputs.clone()))),
            );
            derivations.insert(drv_path.clone(), drv);
        }
        self.run(paths, &plan_for(paths, self.settings, &needed)?)?;
        let mut steps = Vec::with_capacity(makers.len());
        for (drv_path, drv) in &derivations {
            let inputs = input_closure(paths, drv).map_err(|reason| Error::Unsupported {
                drv: drv_path.clone(),
                reason: reason.to_string(),
            })?;
            let after = makers
                .iter()
                .enumerate()
                .filter(|(_, (maker, outputs))| *maker != drv_path && !outputs.is_disjoint(&inputs))
                .map(|(index, _)| index)
                .collect();
            steps.push(Step {
                drv_path: drv_path.clone(),
                drv: drv.clone(),
                wanted: drv.outputs.keys().cloned().collect(),
                kind: StepKind::Rebuild,
                after,
                sources: Vec::new(),
            });
        }
        Ok(Plan { steps })
    }
}
