//! What a step is expected to need: from earlier builds of the same name, else guesses from its sources and what it asks for.
//!
//! A derivation with `src` or `srcs` compiles that; what else it takes are tools. One without only moves data: it unpacks, or puts
//! together. A tree that another step unpacks counts as what that step unpacks.
//!
//! Guesses only steer: they decide what starts first and beside what, never what is built.

use rustc_hash::FxHashMap;
use xbuild_derivation::{Derivation, Output};
use xbuild_report::StepKind;
use xbuild_scheduler::StepSpec;
use xbuild_store::{History, Store};
use xbuild_store_model::StorePath;

use crate::options::{attribute, flag};
use crate::plan::{Plan, Step};
use crate::settings::Settings;

/// The assumed duration of a download, in milliseconds.
const DOWNLOAD_MS: u32 = 1_000;
/// What a build takes that has no source to speak of.
const BUILD_MS: u64 = 2_000;
/// What a build takes for each MB of the sources that it compiles, packed as they mostly are. (The kernel, 134 MB: ten minutes on two
/// cores.)
const COMPILE_MS_PER_MB: u64 = 4_500;
/// What a build takes for each MB that it only moves.
const MOVE_MS_PER_MB: u64 = 100;
/// How much smaller sources are when they are packed.
const PACKED: u64 = 5;
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
    /// Whether an earlier build, or the same download, is known.
    pub known: bool,
    /// The size of a download, in bytes, if it is known: because it was made earlier, or is a file of this machine.
    pub download: Option<u64>,
    /// Bytes of its sources that are there, or were when they were packed.
    sources: u64,
    /// How many of its sources will be downloaded.
    missing: u32,
    /// Whether it compiles its sources.
    compiles: bool,
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
        let mut made = Self {
            demands: plan.steps.iter().map(Demand::new).collect(),
            cores,
        };
        for (demand, step) in made.demands.iter_mut().zip(&plan.steps) {
            if step.kind == StepKind::Fetch {
                demand.know_download(step, &history);
            }
        }
        let sources = Sources::of(plan, store);
        // First those without `src`: those with one may need what they found.
        for compiles in [false, true] {
            for (index, step) in plan.steps.iter().enumerate() {
                let demand = &made.demands[index];
                if step.kind == StepKind::Fetch || demand.compiles != compiles {
                    continue;
                }
                let (bytes, missing) = sources.of_step(&made, step);
                let demand = &mut made.demands[index];
                (demand.sources, demand.missing) = (bytes, missing);
                if !demand.know(step, &history, cores) {
                    demand.guess(&step.drv, cores);
                }
            }
        }
        made
    }

    /// Of one step, by its index.
    #[must_use]
    pub fn get(&self, index: usize) -> &Demand {
        &self.demands[index]
    }

    /// What the step makes its sources from has been downloaded: `source` is what it takes, itself or unpacked, `bytes` what was
    /// downloaded. The new expected duration, if that changes it.
    pub(crate) fn source_arrived(
        &mut self,
        index: usize,
        step: &Step,
        source: &StorePath,
        bytes: u64,
    ) -> Option<u32> {
        let demand = &mut self.demands[index];
        let is_source = match source_text(&step.drv) {
            Some(text) => text.contains(source.base_name()),
            None => true,
        };
        if demand.known || demand.missing == 0 || !is_source || step.kind == StepKind::Fetch {
            return None;
        }
        demand.sources = demand.sources.saturating_add(bytes);
        demand.missing -= 1;
        demand.guess(&step.drv, self.cores);
        Some(demand.spec.expected_ms)
    }
}

impl Demand {
    /// Of a step of which nothing is known.
    fn new(step: &Step) -> Self {
        let is_fetch = step.kind == StepKind::Fetch;
        Self {
            spec: if is_fetch {
                StepSpec::download(DOWNLOAD_MS)
            } else {
                StepSpec::build(0)
            },
            jobserver: !is_fetch && flag(&step.drv, "enableJobserver"),
            known: false,
            download: None,
            sources: 0,
            missing: 0,
            compiles: source_text(&step.drv).is_some(),
        }
    }

    /// Takes what is known of the same download.
    fn know_download(&mut self, step: &Step, history: &History) {
        let path = step.drv.outputs.values().find_map(Output::path);
        if let Some(download) = path.and_then(|path| history.download(path)) {
            self.known = true;
            self.download = Some(download.bytes);
            let ms = u32::try_from(download.duration.as_millis()).unwrap_or(u32::MAX);
            self.spec = StepSpec::download(ms);
            return;
        }
        let urls = attribute(&step.drv, "urls").or_else(|| attribute(&step.drv, "url"));
        let urls = urls.unwrap_or_default();
        let mut files = urls
            .split_ascii_whitespace()
            .filter_map(|url| url.strip_prefix("file://"))
            .filter_map(|file| std::fs::metadata(file).ok())
            .filter(std::fs::Metadata::is_file);
        self.download = files.next().map(|meta| meta.len());
    }

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
        let parallel = big || self.jobserver || flag(drv, "enableParallelBuilding");
        let processes = if parallel { cores.max(1) } else { 1 };
        if !self.jobserver {
            self.spec.processors = processes;
        }
        let sources = self
            .sources
            .saturating_add(u64::from(self.missing) * UNKNOWN_SOURCE);
        let inputs = (drv.input_drvs.len() + drv.input_srcs.len()) as u64;
        let rate = if self.compiles {
            COMPILE_MS_PER_MB
        } else {
            MOVE_MS_PER_MB
        };
        let ms = (sources.saturating_mul(rate) / 1_000_000)
            .saturating_add(BUILD_MS + INPUT_MS * inputs)
            .max(if big { BIG_MS } else { 0 });
        self.spec.expected_ms = u32::try_from(ms).unwrap_or(u32::MAX);
        self.spec.memory = MEMORY * u64::from(processes);
    }
}

/// `src` and `srcs`, if the derivation has one of them.
fn source_text(drv: &Derivation) -> Option<String> {
    match (attribute(drv, "src"), attribute(drv, "srcs")) {
        (Some(one), Some(more)) => Some(format!("{one}\n{more}")),
        (one, more) => one.or(more),
    }
}

/// Where the sources of a plan's steps come from.
struct Sources<'a> {
    plan: &'a Plan,
    store: &'a Store,
    /// The step that makes a path.
    made_by: FxHashMap<&'a StorePath, usize>,
}

impl<'a> Sources<'a> {
    fn of(plan: &'a Plan, store: &'a Store) -> Self {
        let mut made_by = FxHashMap::default();
        for (index, step) in plan.steps.iter().enumerate() {
            let paths = step.drv.outputs.values().filter_map(Output::path);
            made_by.extend(paths.map(|path| (path, index)));
        }
        Self {
            plan,
            store,
            made_by,
        }
    }

    /// The bytes of a step's sources that are there, and how many are to be downloaded. `known` has what steps without `src` found.
    fn of_step(&self, known: &Demands, step: &Step) -> (u64, u32) {
        let Some(text) = source_text(&step.drv) else {
            let is_fetch = |before: &&usize| self.plan.steps[**before].kind == StepKind::Fetch;
            let missing = step.after.iter().filter(is_fetch).count();
            let there = step.sources.iter().map(|(_, size)| size).sum();
            return (there, u32::try_from(missing).unwrap_or(u32::MAX));
        };
        let (mut bytes, mut missing) = (0_u64, 0_u32);
        for word in text.split_ascii_whitespace() {
            let Ok(path) = StorePath::parse(word) else {
                continue; // A file within one, or no path at all.
            };
            let there = step.sources.iter().find(|(source, _)| *source == path);
            match (there, self.made_by.get(&path)) {
                (Some((_, size)), _) => bytes += size,
                (None, None) => bytes += nar_size(self.store, &path) / PACKED,
                (None, Some(&index)) if self.plan.steps[index].kind == StepKind::Fetch => {
                    missing += 1;
                }
                (None, Some(&index)) => {
                    bytes += known.demands[index].sources;
                    missing += known.demands[index].missing;
                }
            }
        }
        (bytes, missing)
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
    use crate::environment::tests::{derivation, path};

    /// A step with one source of so many bytes.
    fn step(name: &str, variables: &[(&str, &str)], bytes: u64) -> Step {
        let mut drv = derivation();
        name.clone_into(&mut drv.name);
        for (name, value) in variables {
            drv.env.insert((*name).into(), (*value).into());
        }
        Step {
            drv_path: path(&format!("{name}.drv")),
            wanted: drv.outputs.keys().cloned().collect(),
            drv,
            kind: StepKind::Build,
            after: Vec::new(),
            sources: vec![(path("source"), bytes)],
        }
    }

    fn demand(store: &Store, step: Step) -> Demand {
        let plan = Plan {
            steps: vec![step],
            ..Plan::default()
        };
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
        assert_eq!(guess(&[], 100_000_000), (12_000, 1), "moved only");
        let source = path("source").to_string();
        assert_eq!(guess(&[("src", &source)], 100_000_000), (452_000, 1));
        assert_eq!(
            guess(&[("src", &path("unknown").to_string())], 100_000_000),
            (2_000, 1),
            "the other input is a tool"
        );
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
        let with_output = |name: &str, variables: &[(&str, &str)]| {
            let mut step = step(name, variables, 0);
            step.sources.clear();
            step.drv.outputs = [("out".to_owned(), Output::InputAddressed(path(name)))].into();
            step
        };
        let mut fetch = with_output("fetch", &[]);
        fetch.kind = StepKind::Fetch;
        let mut unpack = with_output("unpack", &[]);
        unpack.after.push(2);
        let mut build = with_output("build", &[("src", &path("unpack").to_string())]);
        build.after.push(1);
        let plan = Plan {
            steps: vec![build, unpack, fetch],
            ..Plan::default()
        };
        let mut demands = Demands::of(&plan, &store, &Settings::default());
        let expected = |demands: &Demands| [0, 1].map(|index| demands.get(index).spec.expected_ms);
        assert_eq!(expected(&demands), [6_500, 2_100]);
        let size = 100_000_000;
        for (index, source) in [(1, "fetch"), (0, "unpack")] {
            demands.source_arrived(index, &plan.steps[index], &path(source), size);
        }
        assert_eq!(expected(&demands), [452_000, 12_000]);
        // Each counts once.
        let again = demands.source_arrived(0, &plan.steps[0], &path("unpack"), size);
        assert_eq!(again, None);
    }
}
