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
use xbuild_report as report;
use xbuild_report::{Cause, Event, Events, How, Planned, Pool, Slot, StepKind};
use xbuild_sandbox::{CancelToken, Sandbox, ScratchPool};
use xbuild_scheduler::{Because, Forecast, Graph, Outcome, Policy, Scheduler, State, StepId};
use xbuild_store::Store;
use xbuild_store_model::StorePath;

use crate::builtin;
use crate::error::{Error, FailureReason, Failures, Result, StepFailure};
use crate::estimate::{Demands, nar_size};
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
    events: &'a Events,
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
    /// A realiser on `store`, which tells `events` what happens. When `cancel` is set, running builds are stopped and nothing new starts.
    #[must_use]
    pub fn new(
        store: &'a Store,
        sandbox: &'a Sandbox,
        fetcher: &'a Fetcher,
        settings: &'a Settings,
        events: &'a Events,
        cancel: &'a CancelToken,
    ) -> Self {
        Self {
            store,
            sandbox,
            fetcher,
            settings,
            events,
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
        self.ended(self.realise_wanted(wanted, mode))
    }

    /// Tells that all plans were run, and how that ended.
    pub(crate) fn ended<T>(&self, result: Result<T>) -> Result<T> {
        let outcome = match &result {
            Ok(_) => report::Outcome::Success,
            Err(Error::Interrupted) => report::Outcome::Interrupted,
            Err(_) => report::Outcome::Failure,
        };
        self.events.tell(&Event::Ended { outcome });
        result
    }

    fn realise_wanted(&self, wanted: &[Wanted], mode: Mode) -> Result<Vec<Realised>> {
        let paths = self.output_paths();
        self.add_roots(&paths, wanted)?;
        let plan = plan_for(&paths, self.settings, wanted)?;
        let announced = self.announce(&plan);
        self.refuse_what_cannot_run(&announced, wanted)?;
        self.run(&paths, announced)?;
        if mode == Mode::Rebuild {
            let plan = self.rebuild_plan(&paths, wanted)?;
            self.run(&paths, self.announce(&plan))?;
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
    fn refuse_what_cannot_run(&self, announced: &Announced<'_>, wanted: &[Wanted]) -> Result<()> {
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
        for (index, step) in announced.plan.steps.iter().enumerate() {
            if is_wanted(step)
                && let Err(reason) = platform::check(self.settings, &step.drv)
            {
                let failure = StepFailure {
                    drv: step.drv_path.clone(),
                    reason,
                    log: None,
                    tail: Vec::new(),
                    kept: None,
                };
                self.events
                    .tell(&failure_event(announced.numbers.of(index), &failure));
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
        let inputs = plan_for(paths, self.settings, &needed)?;
        self.run(paths, self.announce(&inputs))?;
        Ok(Plan {
            steps,
            present: Vec::new(),
        })
    }

    /// Tells what `plan` is going to do.
    pub(crate) fn announce<'p>(&self, plan: &'p Plan) -> Announced<'p> {
        let numbers = Numbers(self.events.number(plan.steps.len()));
        let demands = Demands::of(plan, self.store, self.settings);
        let expected = |index| {
            let demand = demands.get(index);
            let expected = Duration::from_millis(demand.spec.expected_ms.into());
            demand.known.then_some(expected)
        };
        let planned = |(index, step): (usize, &Step)| Planned {
            step: numbers.of(index),
            drv: step.drv_path.clone(),
            kind: step.kind,
            after: step.after.iter().map(|i| numbers.of(*i)).collect(),
            expected: expected(index),
        };
        self.events.tell(&Event::Planned {
            steps: plan.steps.iter().enumerate().map(planned).collect(),
            present: plan.present.clone(),
        });
        Announced {
            plan,
            numbers,
            demands,
        }
    }

    /// Runs all steps of a plan.
    pub(crate) fn run(&self, paths: &OutputPaths<'_>, announced: Announced<'_>) -> Result<()> {
        self.run_repairing(paths, announced, &BTreeSet::new())
    }

    /// The same; outputs that are in `damaged` and are built again take the places of the damaged ones.
    pub(crate) fn run_repairing(
        &self,
        paths: &OutputPaths<'_>,
        announced: Announced<'_>,
        damaged: &BTreeSet<StorePath>,
    ) -> Result<()> {
        let Announced {
            plan,
            numbers,
            mut demands,
        } = announced;
        if self.cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
        if plan.steps.is_empty() {
            return Ok(());
        }
        let is_builtin = |step: &&Step| step.drv.builder.starts_with(builtin::PREFIX);
        let builders = plan.steps.len() - plan.steps.iter().filter(is_builtin).count();
        // Builders that are part of xbuild run in any case, as in Nix.
        if self.settings.max_jobs == 0 && builders > 0 {
            return Err(Error::NoJobs { steps: builders });
        }
        let mut scheduler = scheduler(plan, &demands, self.settings)?;
        let stop = CancelToken::new().map_err(Error::io("make", "an event descriptor"))?;
        // Locked as long as this run lives, so whatever it leaves is collected.
        let work = self.store.work_dir()?;
        let scratch = ScratchPool::new(work.path())?;
        let jobserver = Jobserver::new(policy(self.settings).processors.get(), work.path())?;
        let kills = AtomicU64::new(0);
        let groups = xbuild_sandbox::Hierarchy::of_process();
        let context = step::Context {
            store: self.store,
            paths,
            sandbox: self.sandbox,
            scratch: &scratch,
            fetcher: self.fetcher,
            settings: self.settings,
            events: self.events,
            jobserver: &jobserver,
            kills: &kills,
            stop: &stop,
            damaged,
        };
        let mut failed = Vec::new();
        let (ended, ends) = mpsc::channel();
        let (started, starts) = mpsc::channel::<(StepId, step::Start)>();
        let mut slots = Slots::default();
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
                    if let Some(memory) = memory::measure(groups.as_ref(), scheduler.is_short()) {
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
                                let _ = ended.send((id, start.place.slot, result));
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
                    let slot = slots.take(plan.steps[id.index()].kind);
                    let start = step::Start {
                        place: step::Place {
                            id: numbers.of(id.index()),
                            slot,
                        },
                        demand: *demands.get(id.index()),
                        alone: scheduler.is_alone(id),
                    };
                    let _ = started.send((id, start));
                    running += 1;
                }
                if running == 0 {
                    return Ok(());
                }
                let Ok((id, slot, result)) = ends.recv_timeout(CANCEL_POLL) else {
                    continue;
                };
                running -= 1;
                slots.give_back(slot);
                scheduler
                    .finished(id, outcome(&result))
                    .map_err(|error| Error::Internal(error.to_string()))?;
                self.report(
                    numbers.of(id.index()),
                    scheduler.state(id),
                    result,
                    &mut failed,
                );
                if scheduler.state(id) == State::Failed && !self.settings.keep_going {
                    // As Nix does: what runs beside a failure is stopped, so that the error comes at once.
                    stop.cancel();
                }
                self.expect(plan, &mut demands, &mut scheduler, id);
            }
        })?;
        let summary = scheduler.summary();
        for (id, because) in &summary.skipped {
            self.events.tell(&Event::Skipped {
                step: numbers.of(id.index()),
                because: match because {
                    Because::Failed(cause) => Some(numbers.of(cause.index())),
                    Because::Stopped(_) | Because::Cancelled => None,
                },
            });
        }
        if self.cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
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

    /// Tells how a step ended.
    fn report(
        &self,
        step: report::StepId,
        state: State,
        result: std::result::Result<How, Box<StepFailure>>,
        failed: &mut Vec<StepFailure>,
    ) {
        match (result, state) {
            (Ok(how), _) => self.events.tell(&Event::Done { step, how }),
            (Err(failure), State::Failed) => {
                self.events.tell(&failure_event(step, &failure));
                failed.push(*failure);
            }
            (Err(failure), State::Ready) => self.events.tell(&Event::Retried {
                step,
                message: format!(
                    "build of {} failed: {}; it is tried once more, with nothing built beside it",
                    failure.drv, failure.reason
                ),
            }),
            // It was told to stop.
            (Err(_), _) => self.events.tell(&Event::Stopped { step }),
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

/// A plan that the stream of events knows.
pub(crate) struct Announced<'p> {
    plan: &'p Plan,
    numbers: Numbers,
    demands: Demands,
}

/// The numbers that the steps of a plan have in the stream: from the first one on.
#[derive(Debug, Clone, Copy)]
struct Numbers(report::StepId);

impl Numbers {
    /// That of the step `index`.
    fn of(self, index: usize) -> report::StepId {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        report::StepId(self.0.0.saturating_add(index))
    }
}

/// How a step ended, for the scheduler.
fn outcome(result: &std::result::Result<How, Box<StepFailure>>) -> Outcome {
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
) -> std::result::Result<How, Box<StepFailure>> {
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

fn failure_event(step: report::StepId, failure: &StepFailure) -> Event<'static> {
    let reason = failure.reason.to_string();
    Event::Failed {
        step,
        reason: reason.lines().next().unwrap_or_default().to_owned(),
        cause: match failure.reason {
            FailureReason::Exit(code) => Cause::Exit(code),
            FailureReason::HashMismatch { .. } => Cause::HashMismatch,
            _ => Cause::Other,
        },
        message: failure.to_string(),
    }
}

/// The slots in which steps run.
#[derive(Default)]
struct Slots {
    taken: BTreeSet<Slot>,
}

impl Slots {
    /// Takes the lowest free slot for a step; the scheduler sees to it that there are no more steps than slots.
    fn take(&mut self, kind: StepKind) -> Slot {
        let pool = match kind {
            StepKind::Fetch => Pool::Fetch,
            StepKind::Build | StepKind::Rebuild => Pool::Build,
        };
        let mut slot = Slot { pool, index: 0 };
        while !self.taken.insert(slot) {
            slot.index += 1;
        }
        slot
    }

    fn give_back(&mut self, slot: Slot) {
        self.taken.remove(&slot);
    }
}
