//! What a step is expected to need: from earlier builds of the same name, else guesses from its sources and what it asks for.
//!
//! Guesses only steer: they decide what starts first and beside what, never what is built.

use rustc_hash::FxHashMap;
use xbuild_derivation::Derivation;
use xbuild_scheduler::StepSpec;
use xbuild_store::{History, Store};
use xbuild_store_model::StorePath;

use crate::event::StepKind;
use crate::options::{attribute, flag};
use crate::plan::{Plan, Step};
use crate::settings::Settings;

/// The assumed duration of a download, in milliseconds.
const DOWNLOAD_MS: u32 = 1_000;
/// What a build takes that has no source to speak of.
const BUILD_MS: u64 = 2_000;
/// What a build takes for each MB of its sources, packed as they mostly are. (The kernel, 134 MB: ten minutes on two cores.)
const SOURCE_MS_PER_MB: u64 = 4_500;
/// What a build takes for each of its inputs.
const INPUT_MS: u64 = 20;
/// The size of a source that is not there yet.
const UNKNOWN_SOURCE: u64 = 1_000_000;
/// The least that is assumed of a build that asks for a machine with the feature `big-parallel`.
const BIG_MS: u64 = 10 * 60 * 1_000;
/// The memory of a build that was never measured, for each processor.
const MEMORY: u64 = 128 << 20;
/// Builds that take less, in milliseconds, count as one processor whatever was measured.
const SHORT_MS: u64 = 1_000;

/// The feature of a machine that can run builds which take long and use many processors.
const BIG_PARALLEL: &str = "big-parallel";

/// What one step is expected to need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// For the scheduler.
    pub spec: StepSpec,
    /// Whether it takes part in the jobserver (`enableJobserver`).
    pub(crate) jobserver: bool,
    /// Whether an earlier build is known.
    pub known: bool,
    /// Bytes of its sources that are there.
    sources: u64,
    /// How many of its sources will be downloaded.
    missing: u32,
}

/// What each step of a plan is expected to need.
#[derive(Debug)]
pub struct Demands {
    demands: Vec<Demand>,
    cores: u32,
}

impl Demands {
    /// Of all steps of `plan`. A history that cannot be read counts as empty.
    #[must_use]
    pub fn of(plan: &Plan, store: &Store, settings: &Settings) -> Self {
        let history = store.builds().and_then(xbuild_store::Builds::history);
        let history = history.unwrap_or_default();
        let cores = u32::try_from(settings.build_cores()).unwrap_or(u32::MAX);
        let mut sizes = Sizes {
            store,
            known: FxHashMap::default(),
        };
        let demand = |step: &Step| {
            if step.kind == StepKind::Fetch {
                return Demand {
                    spec: StepSpec::download(DOWNLOAD_MS),
                    jobserver: false,
                    known: false,
                    sources: 0,
                    missing: 0,
                };
            }
            let missing = step
                .after
                .iter()
                .filter(|before| plan.steps[**before].kind == StepKind::Fetch)
                .count();
            let mut demand = Demand {
                spec: StepSpec::build(0),
                jobserver: flag(&step.drv, "enableJobserver"),
                known: false,
                sources: 0,
                missing: u32::try_from(missing).unwrap_or(u32::MAX),
            };
            if !demand.know(step, &history, cores) {
                let there = step.drv.input_srcs.iter().map(|path| sizes.of(path));
                demand.sources = there.sum::<u64>() + step.sources;
                demand.guess(&step.drv, cores);
            }
            demand
        };
        Self {
            demands: plan.steps.iter().map(demand).collect(),
            cores,
        }
    }

    /// Of one step, by its index.
    #[must_use]
    pub fn get(&self, index: usize) -> &Demand {
        &self.demands[index]
    }

    /// A source of the step has been downloaded, of so many bytes. The new expected duration, if that changes it.
    pub(crate) fn source_arrived(&mut self, index: usize, step: &Step, bytes: u64) -> Option<u32> {
        let demand = &mut self.demands[index];
        if demand.known || step.kind == StepKind::Fetch {
            return None;
        }
        demand.sources = demand.sources.saturating_add(bytes);
        demand.missing = demand.missing.saturating_sub(1);
        demand.guess(&step.drv, self.cores);
        Some(demand.spec.expected_ms)
    }
}

impl Demand {
    /// Takes what is known of earlier builds. Whether there were any.
    fn know(&mut self, step: &Step, history: &History, cores: u32) -> bool {
        let system = String::from_utf8_lossy(&step.drv.system);
        let Some(usage) = history.expected(&step.drv.name, &system) else {
            return false;
        };
        let ms = usage.duration.as_millis();
        self.known = true;
        self.spec.expected_ms = u32::try_from(ms).unwrap_or(u32::MAX);
        self.spec.memory = usage.peak_memory;
        if !self.jobserver && ms >= u128::from(SHORT_MS) {
            let processors = usage.processors.saturating_add(500) / 1000;
            self.spec.processors = u32::try_from(processors)
                .unwrap_or(u32::MAX)
                .clamp(1, cores.max(1));
        }
        true
    }

    /// Guesses, from the sources.
    fn guess(&mut self, drv: &Derivation, cores: u32) {
        let big = attribute(drv, "requiredSystemFeatures").is_some_and(|features| {
            features
                .split_ascii_whitespace()
                .any(|feature| feature == BIG_PARALLEL)
        });
        if !self.jobserver && (big || flag(drv, "enableParallelBuilding")) {
            self.spec.processors = cores.max(1);
        }
        let sources = self
            .sources
            .saturating_add(u64::from(self.missing) * UNKNOWN_SOURCE);
        let inputs = (drv.input_drvs.len() + drv.input_srcs.len()) as u64;
        let ms = (sources.saturating_mul(SOURCE_MS_PER_MB) / 1_000_000)
            .saturating_add(BUILD_MS + INPUT_MS * inputs)
            .max(if big { BIG_MS } else { 0 });
        self.spec.expected_ms = u32::try_from(ms).unwrap_or(u32::MAX);
        self.spec.memory = MEMORY * u64::from(self.spec.processors);
    }
}

/// NAR sizes of valid paths, each asked for once: most steps share the scripts that they are built with.
struct Sizes<'a> {
    store: &'a Store,
    known: FxHashMap<StorePath, u64>,
}

impl Sizes<'_> {
    fn of(&mut self, path: &StorePath) -> u64 {
        if let Some(size) = self.known.get(path) {
            return *size;
        }
        let size = nar_size(self.store, path);
        self.known.insert(path.clone(), size);
        size
    }
}

/// The NAR size of a valid path; 0 of others.
pub(crate) fn nar_size(store: &Store, path: &StorePath) -> u64 {
    let info = store.query_path_info(path).ok().flatten();
    info.map_or(0, |info| info.nar_size)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use xbuild_store::{StoreOptions, Usage};

    use super::*;
    use crate::environment::tests::derivation;

    fn step(name: &str, variables: &[(&str, &str)], sources: u64) -> Step {
        let mut drv = derivation();
        name.clone_into(&mut drv.name);
        for (name, value) in variables {
            drv.env.insert((*name).into(), (*value).into());
        }
        Step {
            drv_path: crate::environment::tests::path(&format!("{name}.drv")),
            drv,
            kind: StepKind::Build,
            after: Vec::new(),
            sources,
        }
    }

    fn demand(store: &Store, step: Step) -> Demand {
        let plan = Plan { steps: vec![step] };
        let settings = Settings {
            cores: 8,
            ..Settings::default()
        };
        *Demands::of(&plan, store, &settings).get(0)
    }

    #[test]
    fn what_is_known_wins_over_guesses() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        let usage = Usage {
            duration: Duration::from_secs(100),
            peak_memory: 5 << 30,
            processors: 3400,
        };
        store
            .builds()
            .unwrap()
            .record_build("big-1.0", "x86_64-linux", usage)
            .unwrap();
        let parallel = [("enableParallelBuilding", "1")];
        let known = demand(&store, step("big-1.1", &parallel, 1 << 30));
        let spec = StepSpec {
            processors: 3,
            memory: 5 << 30,
            ..StepSpec::build(100_000)
        };
        assert_eq!((known.spec, known.known), (spec, true));
        let takes_part = [("enableJobserver", "1"), ("enableParallelBuilding", "1")];
        let shared = demand(&store, step("big-1.1", &takes_part, 0));
        assert_eq!((shared.spec.processors, shared.jobserver), (1, true));
    }

    #[test]
    fn guesses_follow_sources_and_features() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        let guess = |variables: &[(&str, &str)], sources| {
            let demand = demand(&store, step("x", variables, sources));
            assert!(!demand.known);
            (demand.spec.expected_ms, demand.spec.processors)
        };
        assert_eq!(guess(&[], 0), (2_000, 1));
        assert_eq!(guess(&[], 100_000_000), (452_000, 1));
        assert_eq!(guess(&[("enableParallelBuilding", "1")], 0), (2_000, 8));
        assert_eq!(guess(&[("enableParallelBuilding", "")], 0), (2_000, 1));
        let big = [("requiredSystemFeatures", "kvm big-parallel")];
        assert_eq!(guess(&big, 0), (600_000, 8));
        let json = [("__json", r#"{"requiredSystemFeatures":["big-parallel"]}"#)];
        assert_eq!(guess(&json, 0), (600_000, 8));
        let json = [("__json", r#"{"enableParallelBuilding":true}"#)];
        assert_eq!(guess(&json, 0), (2_000, 8));
    }

    #[test]
    fn a_source_that_arrives_changes_the_guess() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        let mut fetch = step("fetch", &[], 0);
        fetch.kind = StepKind::Fetch;
        let mut build = step("build", &[], 0);
        build.after.push(0);
        let plan = Plan {
            steps: vec![fetch, build],
        };
        let mut demands = Demands::of(&plan, &store, &Settings::default());
        assert_eq!(demands.get(1).spec.expected_ms, 2_000 + 4_500);
        let arrived = demands.source_arrived(1, &plan.steps[1], 100_000_000);
        assert_eq!(arrived, Some(452_000));
    }
}
