//! Runs a plan: the scheduler says what may start, and as many threads as steps run at a time do it.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use xbuild_derivation::Output;
use xbuild_fetch::Fetcher;
use xbuild_sandbox::{CancelToken, Sandbox, ScratchPool};
use xbuild_scheduler::{Because, Forecast, Graph, Outcome, Policy, Scheduler, State, StepId};
use xbuild_store::Store;
use xbuild_store_model::StorePath;

use crate::builtin;
use crate::error::{Error, FailureReason, Failures, Result, StepFailure};
use crate::estimate::{Demands, nar_size};
use crate::event::{Event, Observer, StepKind};
use crate::jobserver::Jobserver;
use crate::memory;
use crate::output_paths::OutputPaths;
use crate::plan::{Plan, Step, Wanted, read_derivation};
use crate::platform::{self, plan_for};
use crate::settings::{Settings, processors};
use crate::step;

/// Makes things valid.
pub struct Realiser<'a> {
    pub(crate) store: &'a Store,
    sandbox: &'a Sandbox,
    fetcher: &'a Fetcher,
    pub(crate) settings: &'a Settings,
    observer: &'a dyn Observer,
    cancel: &'a CancelToken,
}

/// What became of one [`Wanted`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Realised {
    /// The derivation, if it was one.
    pub drv: Option<StorePath>,
    /// The valid outputs by name; for a path, itself as `out`.
    pub outputs: BTreeMap<String, StorePath>,
}

/// What to do with a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Build what is missing.
    Build,
    /// Build what is missing, then build what was wanted once more and compare (`--rebuild`).
    Rebuild,
}

/// How often a run looks whether the user wants to stop.
const CANCEL_POLL: Duration = Duration::from_millis(50);

/// How often a run looks at the memory of the machine, at most.
const MEMORY_POLL: Duration = Duration::from_millis(250);

impl<'a> Realiser<'a> {
    /// A realiser on `store`. When `cancel` is set, running builds are stopped and nothing new starts.
    #[must_use]
    pub fn new(
        store: &'a Store,
        sandbox: &'a Sandbox,
        fetcher: &'a Fetcher,
        settings: &'a Settings,
        observer: &'a dyn Observer,
        cancel: &'a CancelToken,
    ) -> Self {
        Self {
            store,
            sandbox,
            fetcher,
            settings,
            observer,
            cancel,
        }
    }

    /// What would run for `wanted`.
    ///
    /// # Errors
    /// As [`plan`].
    pub fn plan(&self, wanted: &[Wanted]) -> Result<Plan> {
        plan_for(&self.output_paths(), self.settings, wanted)
    }

    pub(crate) fn output_paths(&self) -> OutputPaths<'_> {
        OutputPaths::new(self.store, &self.settings.experimental_features)
    }

    /// Makes `wanted` valid.
    ///
    /// # Errors
    /// [`Error::Failed`] when steps failed; [`Error::Interrupted`] when the user stopped it; others when the
    /// run could not go on.
    pub fn realise(&self, wanted: &[Wanted], mode: Mode) -> Result<Vec<Realised>> {
        let paths = self.output_paths();
        self.add_roots(&paths, wanted)?;
        let plan = plan_for(&paths, self.settings, wanted)?;
        self.refuse_what_cannot_run(&plan, wanted)?;
        self.run(&paths, &plan)?;
        if mode == Mode::Rebuild {
            self.run(&paths, &self.rebuild_plan(&paths, wanted)?)?;
        }
        self.outputs(&paths, wanted)
    }

    /// Keeps collectors from everything that is wanted, as far as its path is known.
    fn add_roots(&self, paths: &OutputPaths<'_>, wanted: &[Wanted]) -> Result<()> {
        let mut roots = Vec::new();
        for want in wanted {
            match want {
                Wanted::Path(path) => roots.push(path.clone()),
                Wanted::Outputs(drv, names) => {
                    let derivation = read_derivation(self.store, drv)?;
                    let paths = paths.get(drv, &derivation, names.as_ref())?;
                    roots.extend(paths.into_values().flatten());
                }
            }
        }
        Ok(self.store.add_temp_roots(&roots)?)
    }

    /// Refuses what was asked for by itself and is to be built on another kind of machine, before what it needs is built in vain: of
    /// that, only itself knows what to build in its place.
    fn refuse_what_cannot_run(&self, plan: &Plan, wanted: &[Wanted]) -> Result<()> {
        if self.settings.keep_going {
            return Ok(());
        }
        let drv = |want: &Wanted| match want {
            Wanted::Outputs(drv, _) => Some(drv.clone()),
            Wanted::Path(_) => None,
        };
        let drvs: BTreeSet<StorePath> = wanted.iter().filter_map(drv).collect();
        let is_wanted = |step: &Step| drvs.contains(&step.drv_path);
        let mut failed = Vec::new();
        for step in plan.steps.iter().filter(|step| is_wanted(step)) {
            if let Err(reason) = platform::check(self.settings, &step.drv) {
                let failure = StepFailure {
                    drv: step.drv_path.clone(),
                    reason,
                    log: None,
                    tail: Vec::new(),
                    kept: None,
                };
                self.observer.event(Event::Failed {
                    drv: &step.drv_path,
                    message: &failure.to_string(),
                });
                failed.push(failure);
            }
        }
        if failed.is_empty() {
            return Ok(());
        }
        let skipped = Vec::new();
        Err(Error::Failed(Box::new(Failures { failed, skipped })))
    }

    /// The paths of everything that was wanted and is valid now.
    fn outputs(&self, paths: &OutputPaths<'_>, wanted: &[Wanted]) -> Result<Vec<Realised>> {
        let outputs = |want: &Wanted| match want {
            Wanted::Path(path) => Ok(Realised {
                drv: None,
                outputs: BTreeMap::from([("out".to_owned(), path.clone())]),
            }),
            Wanted::Outputs(drv, names) => {
                let derivation = read_derivation(self.store, drv)?;
                Ok(Realised {
                    drv: Some(drv.clone()),
                    outputs: paths.require(drv, &derivation, names.as_ref())?,
                })
            }
        };
        wanted.iter().map(outputs).collect()
    }

    /// The derivations that were asked for by themselves, to be built once more.
    fn rebuild_plan(&self, paths: &OutputPaths<'_>, wanted: &[Wanted]) -> Result<Plan> {
        let drvs: BTreeSet<&StorePath> = wanted
            .iter()
            .filter_map(|want| match want {
                Wanted::Outputs(drv, _) => Some(drv),
                Wanted::Path(_) => None,
            })
            .collect();
        let mut steps = Vec::new();
        let mut needed = Vec::new();
        for drv_path in drvs {
            let drv = read_derivation(self.store, drv_path)?;
            needed.extend(
                drv.input_drvs
                    .iter()
                    .map(|(d, o)| Wanted::Outputs(d.clone(), Some(o.clone()))),
            );
            // Comparing needs every output to be there.
            needed.push(Wanted::Outputs(drv_path.clone(), None));
            steps.push(Step {
                drv_path: drv_path.clone(),
                wanted: drv.outputs.keys().cloned().collect(),
                drv,
                kind: StepKind::Rebuild,
                after: Vec::new(),
                sources: Vec::new(),
            });
        }
        // The outputs can be valid while the inputs are not any more.
        let plan = plan_for(paths, self.settings, &needed)?;
        self.run(paths, &plan)?;
        Ok(Plan { steps })
    }

    /// Runs all steps of `plan`.
    pub(crate) fn run(&self, paths: &OutputPaths<'_>, plan: &Plan) -> Result<()> {
        self.run_repairing(paths, plan, &BTreeSet::new())
    }

    /// The same; outputs that are in `damaged` and are built again take the places of the damaged ones.
    pub(crate) fn run_repairing(
        &self,
        paths: &OutputPaths<'_>,
        plan: &Plan,
        damaged: &BTreeSet<StorePath>,
    ) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let (builds, fetches) = plan.counts();
        self.observer.event(Event::Planned { builds, fetches });
        if plan.steps.is_empty() {
            return Ok(());
        }
        let is_builtin = |step: &&Step| step.drv.builder.starts_with(builtin::PREFIX);
        let builders = plan.steps.len() - plan.steps.iter().filter(is_builtin).count();
        // Builders that are part of xbuild run in any case, as in Nix.
        if self.settings.max_jobs == 0 && builders > 0 {
            return Err(Error::NoJobs { steps: builders });
        }
        let mut demands = Demands::of(plan, self.store, self.settings);
        let mut scheduler = scheduler(plan, &demands, self.settings)?;
        let stop = CancelToken::new().map_err(Error::io("make", "an event descriptor"))?;
        // Locked as long as this run lives, so whatever it leaves is collected.
        let work = self.store.work_dir()?;
        let scratch = ScratchPool::new(work.path())?;
        let jobserver = Jobserver::new(policy(self.settings).processors.get(), work.path())?;
        let kills = AtomicU64::new(0);
        let context = step::Context {
            store: self.store,
            paths,
            sandbox: self.sandbox,
            scratch: &scratch,
            fetcher: self.fetcher,
            settings: self.settings,
            observer: self.observer,
            jobserver: &jobserver,
            kills: &kills,
            stop: &stop,
            damaged,
        };
        let mut failed = Vec::new();
        let (ended, ends) = mpsc::channel();
        let (started, starts) = mpsc::channel::<(StepId, step::Start)>();
        let starts = Mutex::new(starts);
        thread::scope(|scope| -> Result<()> {
            // When this ends, the threads see that nothing will start any more.
            let started = started;
            let (mut threads, mut running) = (0usize, 0usize);
            let mut measured: Option<Instant> = None;
            loop {
                if self.cancel.is_cancelled() {
                    scheduler.cancel();
                    stop.cancel();
                }
                if measured.is_none_or(|at| at.elapsed() >= MEMORY_POLL) {
                    measured = Some(Instant::now());
                    kills.store(memory::kills().unwrap_or(u64::MAX), Ordering::Relaxed);
                    if let Some(memory) = memory::measure(scheduler.is_short()) {
                        scheduler.set_memory(memory);
                    }
                }
                while let Some(id) = scheduler.next() {
                    if running == threads {
                        let (ended, starts, context) = (ended.clone(), &starts, &context);
                        let work = move || {
                            while let Some((id, start)) = next_start(starts) {
                                let result = run_caught(context, &plan.steps[id.index()], start);
                                // The receiver lives as long as any step runs.
                                let _ = ended.send((id, result));
                            }
                        };
                        thread::Builder::new()
                            .name(format!("step-{threads}"))
                            .spawn_scoped(scope, work)
                            .map_err(|error| {
                                stop.cancel();
                                Error::io("start", "a thread")(error)
                            })?;
                        threads += 1;
                    }
                    // The receiver lives as long as this.
                    let start = step::Start {
                        demand: *demands.get(id.index()),
                        alone: scheduler.is_alone(id),
                    };
                    let _ = started.send((id, start));
                    running += 1;
                }
                if running == 0 {
                    return Ok(());
                }
                let Ok((id, result)) = ends.recv_timeout(CANCEL_POLL) else {
                    continue;
                };
                running -= 1;
                scheduler
                    .finished(id, outcome(&result))
                    .map_err(|error| Error::Internal(error.to_string()))?;
                self.report(plan, &scheduler, id, result, &mut failed);
                if scheduler.state(id) == State::Failed && !self.settings.keep_going {
                    // As Nix does: what runs beside a failure is stopped, so that the error comes at once.
                    stop.cancel();
                }
                self.expect(plan, &mut demands, &mut scheduler, id);
            }
        })?;
        if self.cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let summary = scheduler.summary();
        if summary.is_success() {
            return Ok(());
        }
        let drv = |id: StepId| plan.steps[id.0 as usize].drv_path.clone();
        let skipped = summary
            .skipped
            .iter()
            .filter_map(|(id, because)| match because {
                Because::Failed(cause) => Some((drv(*id), drv(*cause))),
                Because::Stopped(_) | Because::Cancelled => None,
            })
            .collect();
        Err(Error::Failed(Box::new(Failures { failed, skipped })))
    }

    /// Tells the observer how a step ended.
    fn report(
        &self,
        plan: &Plan,
        scheduler: &Scheduler,
        id: StepId,
        result: std::result::Result<step::Ended, Box<StepFailure>>,
        failed: &mut Vec<StepFailure>,
    ) {
        let step = &plan.steps[id.index()];
        match (result, scheduler.state(id)) {
            (Ok(ended), _) => {
                let (drv, kind) = (&step.drv_path, step.kind);
                self.observer.event(match ended {
                    step::Ended::Built(wall) => Event::Finished { drv, kind, wall },
                    step::Ended::AlreadyBuilt => Event::AlreadyBuilt { drv, kind },
                });
            }
            (Err(failure), State::Failed) => {
                self.observer.event(Event::Failed {
                    drv: &step.drv_path,
                    message: &failure.to_string(),
                });
                failed.push(*failure);
            }
            (Err(failure), State::Ready) => self.observer.event(Event::Retried {
                drv: &step.drv_path,
                message: &format!(
                    "build of {} failed: {}; it is tried once more, with nothing built beside it",
                    step.drv_path, failure.reason
                ),
            }),
            // It was told to stop.
            (Err(_), _) => {}
        }
    }

    /// After a download: how long what needs it will take, by its size.
    fn expect(&self, plan: &Plan, demands: &mut Demands, scheduler: &mut Scheduler, id: StepId) {
        let step = &plan.steps[id.index()];
        if step.kind != StepKind::Fetch || scheduler.state(id) != State::Done {
            return;
        }
        let Some(path) = step.drv.outputs.values().find_map(Output::path) else {
            return;
        };
        let bytes = nar_size(self.store, path);
        let graph = scheduler.graph();
        let mut changed: Vec<(StepId, &StorePath)> =
            graph.after(id).map(|after| (after, path)).collect();
        // What is built from the tree that another step unpacks.
        for after in graph.after(id) {
            for path in plan.steps[after.index()].drv.outputs.values() {
                let path = path.path();
                changed.extend(graph.after(after).filter_map(|far| Some((far, path?))));
            }
        }
        for (id, source) in changed {
            let step = &plan.steps[id.index()];
            if let Some(expected_ms) = demands.source_arrived(id.index(), step, source, bytes) {
                scheduler.expect(id, expected_ms);
            }
        }
    }
}

/// How a step ended, for the scheduler.
fn outcome(result: &std::result::Result<step::Ended, Box<StepFailure>>) -> Outcome {
    match result {
        Ok(_) => Outcome::Done,
        Err(failure) => match failure.reason {
            FailureReason::Cancelled => Outcome::Interrupted,
            FailureReason::OutOfMemory { .. } => Outcome::OutOfMemory,
            _ => Outcome::Failed,
        },
    }
}

/// What may run at once.
fn policy(settings: &Settings) -> Policy {
    let at_least_one =
        |n: usize| NonZeroU32::new(u32::try_from(n).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN);
    Policy {
        max_jobs: at_least_one(settings.max_jobs),
        max_downloads: at_least_one(settings.http_connections),
        processors: at_least_one(processors().max(settings.build_cores())),
        keep_going: settings.keep_going,
    }
}

/// What every step of a plan is expected to need, and how the run goes if that is right.
///
/// # Errors
/// [`Error::Cycle`].
pub fn forecast(plan: &Plan, store: &Store, settings: &Settings) -> Result<(Demands, Forecast)> {
    let demands = Demands::of(plan, store, settings);
    let forecast = Forecast::of(graph(plan, &demands), policy(settings));
    let forecast = forecast.map_err(|error| cycle(plan, error))?;
    Ok((demands, forecast))
}

fn graph(plan: &Plan, demands: &Demands) -> Graph {
    let edges = plan.steps.iter().map(|step| step.after.len()).sum();
    let mut graph = Graph::with_capacity(plan.steps.len(), edges);
    let ids: Vec<StepId> = (0..plan.steps.len())
        .map(|index| graph.add_step(demands.get(index).spec))
        .collect();
    for (index, step) in plan.steps.iter().enumerate() {
        for before in &step.after {
            graph.add_edge(ids[*before], ids[index]);
        }
    }
    graph
}

fn scheduler(plan: &Plan, demands: &Demands, settings: &Settings) -> Result<Scheduler> {
    Scheduler::new(graph(plan, demands), policy(settings)).map_err(|error| cycle(plan, error))
}

fn cycle(plan: &Plan, error: xbuild_scheduler::Error) -> Error {
    match error {
        xbuild_scheduler::Error::Cycle(cycle) => Error::Cycle(
            cycle
                .steps()
                .iter()
                .map(|id| plan.steps[id.index()].drv_path.to_string())
                .collect::<Vec<_>>()
                .join(" → "),
        ),
        other => Error::Internal(other.to_string()),
    }
}

/// Waits for a step to start; `None` when there will be none.
fn next_start(
    starts: &Mutex<mpsc::Receiver<(StepId, step::Start)>>,
) -> Option<(StepId, step::Start)> {
    starts
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .recv()
        .ok()
}

/// Runs a step. A fault of ours in it becomes its failure, since the run waits for an answer.
fn run_caught(
    context: &step::Context<'_>,
    step: &Step,
    start: step::Start,
) -> std::result::Result<step::Ended, Box<StepFailure>> {
    let run = AssertUnwindSafe(|| step::run(context, step, start));
    panic::catch_unwind(run).unwrap_or_else(|_| {
        Err(Box::new(StepFailure {
            drv: step.drv_path.clone(),
            reason: FailureReason::Internal(
                "internal error: the step panicked; please report this".to_owned(),
            ),
            log: None,
            tail: Vec::new(),
            kept: None,
        }))
    })
}
