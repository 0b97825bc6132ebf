//! The plan: which derivations must run, and in which order, so that what is wanted becomes valid.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;
use xbuild_derivation::Derivation;
use xbuild_report::StepKind;
use xbuild_store::Store;
use xbuild_store_model::StorePath;

use crate::error::{Error, Result};
use crate::estimate::nar_size;
use crate::output_paths::OutputPaths;

/// Something to be made valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// This path, which must be valid already.
    Path(StorePath),
    /// Outputs of a derivation: these, or all of them.
    Outputs(StorePath, Option<BTreeSet<String>>),
}

/// A derivation that must run.
#[derive(Debug, Clone)]
pub struct Step {
    /// The `.drv` file.
    pub drv_path: StorePath,
    /// What it says.
    pub drv: Derivation,
    /// The outputs that are needed.
    pub wanted: BTreeSet<String>,
    /// What the step does.
    pub kind: StepKind,
    /// The indices of the steps that must be done before, in [`Plan::steps`].
    pub after: Vec<usize>,
    /// Its valid inputs that were downloaded, and their NAR sizes in bytes.
    pub sources: Vec<(StorePath, u64)>,
}

/// The steps of a run.
#[derive(Debug, Default)]
pub struct Plan {
    /// Every derivation that must run, each once.
    pub steps: Vec<Step>,
    /// Derivations that were looked at and need not run: all outputs that are wanted of them are valid.
    pub present: Vec<StorePath>,
}

impl Plan {
    /// Builds, and downloads.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let fetches = self
            .steps
            .iter()
            .filter(|step| step.kind == StepKind::Fetch)
            .count();
        (self.steps.len() - fetches, fetches)
    }
}

/// Reads the derivation `path` from the store.
///
/// # Errors
/// It is not there, is not a derivation, or its contents are not those its path was made from.
pub fn read_derivation(store: &Store, path: &StorePath) -> Result<Derivation> {
    let physical = store.physical(path);
    let bytes = match xbuild_store::read_no_follow(&physical) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::Missing {
                path: path.clone(),
                by: String::new(),
            });
        }
        Err(error) => return Err(Error::io("read", physical)(error)),
    };
    let bad = |reason: String| Error::BadDerivation {
        path: path.clone(),
        reason,
    };
    let drv = Derivation::parse_at(path, &bytes).map_err(|error| bad(error.to_string()))?;
    // Its path is the promise of what it builds: one that was edited or damaged must build nothing under the old name.
    match drv.drv_path_of(&bytes) {
        Ok(made) if made == *path => Ok(drv),
        _ => Err(bad(
            "its contents were changed or damaged after it was written".to_owned(),
        )),
    }
}

/// What a derivation's step does.
fn kind(drv: &Derivation) -> StepKind {
    if drv.builder == b"builtin:fetchurl" {
        StepKind::Fetch
    } else {
        StepKind::Build
    }
}

/// Makes the plan for `wanted`. What depends on an output whose path is not known yet is planned to be built; whether it must be is
/// known once that path is.
///
/// # Errors
/// A derivation or source that is missing or damaged, an output that does not exist, or an experimental feature that is off.
pub fn plan(paths: &OutputPaths<'_>, wanted: &[Wanted]) -> Result<Plan> {
    let store = paths.store();
    let mut planner = Planner {
        store,
        paths,
        plan: Plan::default(),
        visited: FxHashMap::default(),
        valid: FxHashMap::default(),
        sources: FxHashMap::default(),
    };
    for want in wanted {
        match want {
            Wanted::Path(path) => {
                if !store.is_valid(path)? {
                    return Err(Error::Missing {
                        path: path.clone(),
                        by: String::new(),
                    });
                }
            }
            Wanted::Outputs(drv, outputs) => {
                // Its closure, all derivations and sources, is safe from a collector with it.
                store.add_temp_root(drv)?;
                if !store.is_valid(drv)? {
                    return Err(Error::Missing {
                        path: drv.clone(),
                        by: String::new(),
                    });
                }
                planner.visit(drv, outputs.as_ref())?;
            }
        }
    }
    Ok(planner.plan)
}

struct Planner<'a> {
    store: &'a Store,
    paths: &'a OutputPaths<'a>,
    plan: Plan,
    /// The step of a derivation that was looked at and must run.
    visited: FxHashMap<StorePath, usize>,
    /// Outputs of others that are valid.
    valid: FxHashMap<StorePath, BTreeSet<String>>,
    /// Those of them that were downloaded: the output and its NAR size, by derivation.
    sources: FxHashMap<StorePath, (StorePath, u64)>,
}

impl Planner<'_> {
    /// Adds the steps that make `outputs` of `root` valid. Iterative: a chain of derivations can be long.
    fn visit(&mut self, root: &StorePath, outputs: Option<&BTreeSet<String>>) -> Result<()> {
        // Derivations to look at, with the step that waits for them.
        let mut stack: Vec<(StorePath, Option<BTreeSet<String>>, Option<usize>)> =
            vec![(root.clone(), outputs.cloned(), None)];
        while let Some((drv_path, outputs, waiting)) = stack.pop() {
            if let Some(&step) = self.visited.get(&drv_path) {
                let planned = &mut self.plan.steps[step];
                let paths = self.paths.get(&drv_path, &planned.drv, outputs.as_ref())?;
                planned.wanted.extend(paths.into_keys());
                self.wait(waiting, step);
                continue;
            }
            if let (Some(known), Some(outputs)) = (self.valid.get(&drv_path), &outputs)
                && outputs.is_subset(known)
            {
                self.count_source(waiting, &drv_path);
                continue;
            }
            let drv = read_derivation(self.store, &drv_path)?;
            self.refuse_impure_input(waiting, &drv_path, &drv)?;
            let paths = self.paths.get(&drv_path, &drv, outputs.as_ref())?;
            // First a root, then the question: what is valid now stays so until the end of the run.
            self.store.add_temp_roots(paths.values().flatten())?;
            let mut missing = false;
            for path in paths.values() {
                missing |= match path {
                    Some(path) => !self.store.is_valid(path)?,
                    None => true,
                };
            }
            if !missing {
                if let (Some(_), Some(Some(path))) = (drv.fixed_output(), paths.values().next()) {
                    let size = nar_size(self.store, path);
                    self.sources.insert(drv_path.clone(), (path.clone(), size));
                }
                self.count_source(waiting, &drv_path);
                let known = self.valid.entry(drv_path.clone()).or_insert_with(|| {
                    self.plan.present.push(drv_path);
                    BTreeSet::new()
                });
                known.extend(paths.into_keys());
                continue;
            }
            for source in &drv.input_srcs {
                if !self.store.is_valid(source)? {
                    return Err(Error::Missing {
                        path: source.clone(),
                        by: format!(" by {drv_path}"),
                    });
                }
            }
            let index = self.plan.steps.len();
            for (input, outputs) in &drv.input_drvs {
                stack.push((input.clone(), Some(outputs.clone()), Some(index)));
            }
            self.visited.insert(drv_path.clone(), index);
            self.plan.steps.push(Step {
                kind: kind(&drv),
                drv_path,
                drv,
                wanted: paths.into_keys().collect(),
                after: Vec::new(),
                sources: Vec::new(),
            });
            self.wait(waiting, index);
        }
        Ok(())
    }

    /// What is built once cannot use what is different each time, unless its contents are known.
    fn refuse_impure_input(
        &self,
        waiting: Option<usize>,
        input: &StorePath,
        drv: &Derivation,
    ) -> Result<()> {
        let Some(user) = waiting.map(|step| &self.plan.steps[step]) else {
            return Ok(());
        };
        if drv.is_impure() && !user.drv.is_impure() && user.drv.fixed_output().is_none() {
            return Err(Error::ImpureInput {
                drv: user.drv_path.clone(),
                input: input.clone(),
            });
        }
        Ok(())
    }

    /// Counts a valid download as a source of the step that takes it.
    fn count_source(&mut self, waiting: Option<usize>, drv: &StorePath) {
        if let (Some(waiting), Some(source)) = (waiting, self.sources.get(drv)) {
            self.plan.steps[waiting].sources.push(source.clone());
        }
    }

    fn wait(&mut self, waiting: Option<usize>, before: usize) {
        if let Some(waiting) = waiting {
            self.plan.steps[waiting].after.push(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use xbuild_derivation::Output;
    use xbuild_store::{NewPath, StoreOptions};
    use xbuild_store_model::{ContentAddressMethod, Hash, HashAlgo, nar};

    use super::*;
    use crate::environment::tests::derivation;

    /// An output path of its own for each derivation and output.
    fn output(drv: &str, name: &str) -> StorePath {
        let hash = Hash::of(HashAlgo::Sha256, format!("{drv} {name}").as_bytes()).to_base32();
        StorePath::from_base_name(&format!("{}-{drv}-{name}", &hash[..32])).unwrap()
    }

    /// Writes a derivation with the outputs `dev` and `out`, which needs the `out` of `inputs`.
    fn add(store: &Store, name: &str, inputs: &[&StorePath]) -> StorePath {
        let mut drv = derivation();
        name.clone_into(&mut drv.name);
        drv.outputs = ["dev", "out"]
            .map(|o| (o.to_owned(), Output::InputAddressed(output(name, o))))
            .into();
        drv.input_drvs = inputs
            .iter()
            .map(|input| ((*input).clone(), BTreeSet::from(["out".to_owned()])))
            .collect();
        store
            .add_text(&format!("{name}.drv"), &drv.to_aterm(), &drv.references())
            .unwrap()
    }

    /// Makes an output valid.
    fn make_valid(store: &Store, path: &StorePath) {
        let physical = store.physical(path);
        fs::write(&physical, "").unwrap();
        store.canonicalise(&physical).unwrap();
        let (nar_hash, nar_size) = nar::hash_path(&physical, HashAlgo::Sha256).unwrap();
        store
            .register(&[NewPath {
                path: path.clone(),
                physical,
                nar_hash,
                nar_size,
                references: BTreeSet::new(),
                deriver: None,
                ca: None,
                ultimate: true,
                sigs: Vec::new(),
            }])
            .unwrap();
    }

    fn plan(store: &Store, wanted: &[Wanted]) -> Result<Plan> {
        super::plan(&OutputPaths::new(store, &[]), wanted)
    }

    fn names(plan: &Plan) -> Vec<&str> {
        plan.steps
            .iter()
            .map(|step| step.drv.name.as_str())
            .collect()
    }

    fn open() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        (dir, store)
    }

    fn all(drv: &StorePath) -> [Wanted; 1] {
        [Wanted::Outputs(drv.clone(), None)]
    }

    fn some(drv: &StorePath, output: &str) -> [Wanted; 1] {
        [Wanted::Outputs(
            drv.clone(),
            Some(BTreeSet::from([output.to_owned()])),
        )]
    }

    #[test]
    fn what_is_valid_is_not_planned_and_neither_is_what_only_that_needs() {
        let (_dir, store) = open();
        let a = add(&store, "a", &[]);
        let b = add(&store, "b", &[&a]);
        let c = add(&store, "c", &[&a, &b]);
        let whole = plan(&store, &all(&c)).unwrap();
        let mut planned = names(&whole);
        planned.sort_unstable();
        assert_eq!(planned, ["a", "b", "c"], "each once");
        for step in &whole.steps {
            let mut before: Vec<_> = step
                .after
                .iter()
                .map(|i| whole.steps[*i].drv.name.as_str())
                .collect();
            before.sort_unstable();
            let expected: &[&str] = match step.drv.name.as_str() {
                "a" => &[],
                "b" => &["a"],
                _ => &["a", "b"],
            };
            assert_eq!(before, expected);
        }
        make_valid(&store, &output("b", "out"));
        let partly = plan(&store, &all(&c)).unwrap();
        assert_eq!(names(&partly), ["c", "a"], "c itself needs a");
        assert_eq!(partly.present, std::slice::from_ref(&b));
        make_valid(&store, &output("a", "out"));
        assert_eq!(names(&plan(&store, &all(&c)).unwrap()), ["c"]);
        assert_eq!(names(&plan(&store, &some(&b, "out")).unwrap()), [""; 0]);
        assert_eq!(
            names(&plan(&store, &some(&b, "dev")).unwrap()),
            ["b"],
            "the other output is missing"
        );
    }

    #[test]
    fn what_the_plan_relies_on_is_safe_from_collectors() {
        let (dir, store) = open();
        let a = add(&store, "a", &[]);
        let b = add(&store, "b", &[&a]);
        make_valid(&store, &output("a", "out"));
        drop(store);
        // The roots of the process that added them are gone.
        let planner = Store::open(dir.path(), StoreOptions::default()).unwrap();
        assert_eq!(names(&plan(&planner, &all(&b)).unwrap()), ["b"]);
        let collector = Store::open(dir.path(), StoreOptions::default()).unwrap();
        collector.gc(&xbuild_store::GcOptions::default()).unwrap();
        for path in [&a, &b, &output("a", "out")] {
            assert!(collector.is_valid(path).unwrap(), "{path}");
        }
    }

    #[test]
    fn an_edited_derivation_builds_nothing() {
        let (_dir, store) = open();
        let a = add(&store, "a", &[]);
        let file = store.physical(&a);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("/bin/sh", "/bin/zz")).unwrap();
        let message = plan(&store, &all(&a)).unwrap_err().to_string();
        assert!(
            message.contains("its contents were changed or damaged"),
            "{message}"
        );
        fs::write(&file, &text[..text.len() / 2]).unwrap();
        let message = plan(&store, &all(&a)).unwrap_err().to_string();
        assert!(
            message.starts_with(&format!("cannot read the derivation {a}: ")),
            "{message}"
        );
    }

    #[test]
    fn what_does_not_exist_is_named() {
        let (_dir, store) = open();
        let a = add(&store, "a", &[]);
        let message = |wanted: &[Wanted]| plan(&store, wanted).unwrap_err().to_string();
        assert_eq!(
            message(&some(&a, "lib")),
            format!("derivation {a} has no output `lib`; it has dev, out")
        );
        let absent = output("x", "y");
        assert!(
            message(&[Wanted::Path(absent.clone())])
                .starts_with(&format!("store path {absent} is needed but"))
        );
        let unwritten = StorePath::from_base_name(&format!("{}-z.drv", "0".repeat(32))).unwrap();
        assert!(
            message(&all(&unwritten)).starts_with(&format!("store path {unwritten} is needed but"))
        );
        // It lies there, but was never registered.
        fs::copy(store.physical(&a), store.physical(&unwritten)).unwrap();
        assert!(
            message(&all(&unwritten)).starts_with(&format!("store path {unwritten} is needed but"))
        );
    }

    #[test]
    fn long_chains_need_no_stack() {
        let (_dir, store) = open();
        let mut last = add(&store, "n", &[]);
        for i in 0..3000 {
            last = add(&store, &format!("n{i}"), &[&last]);
        }
        assert_eq!(plan(&store, &all(&last)).unwrap().steps.len(), 3001);
        // One whose path follows from its contents is looked up by a hash over all of them.
        let mut drv = derivation();
        drv.outputs = [(
            "out".to_owned(),
            Output::Floating {
                method: ContentAddressMethod::NIX_ARCHIVE,
                algo: HashAlgo::Sha256,
            },
        )]
        .into();
        drv.input_drvs = [(last, BTreeSet::from(["out".to_owned()]))].into();
        let top = store
            .add_text("top.drv", &drv.to_aterm(), &drv.references())
            .unwrap();
        let features = ["ca-derivations".to_owned()];
        let planned = super::plan(&OutputPaths::new(&store, &features), &all(&top));
        assert_eq!(planned.unwrap().steps.len(), 3002);
        let message = plan(&store, &all(&top)).unwrap_err().to_string();
        assert!(message.starts_with("experimental Nix feature 'ca-derivations' is disabled"));
    }
}
