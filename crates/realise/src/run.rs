//! Runs a plan: the scheduler says what may start, and as many threads as steps run at a time do it.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use xbuild_fetch::Fetcher;
use xbuild_report as report;
use xbuild_report::{Cause, Event, Events, How, Planned, Pool, Slot, StepKind};
use xbuild_sandbox::{CancelToken, Sandbox, ScratchPool};
use xbuild_scheduler::{Because, Graph, Outcome, Policy, Scheduler, StepId, StepSpec};
use xbuild_store::Store;
use xbuild_store_model::StorePath;

use crate::error::{Error, FailureReason, Failures, Result, StepFailure};
use crate::plan::{Plan, Step, Wanted, output_paths, read_derivation};
use crate::platform::{self, plan_for};
use crate::settings::Settings;
use crate::step;

/// Makes things valid.
pub struct Realiser<'a> {
    pub(crate) store: &'a Store,
    sandbox: &'a Sandbox,
    fetcher: &'a Fetcher,
    settings: &'a Settings,
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
        plan_for(self.store, self.settings, wanted)
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
        let realised = self.outputs(wanted)?;
        self.store
            .add_temp_roots(realised.iter().flat_map(|r| r.outputs.values()))?;
        let plan = self.plan(wanted)?;
        let announced = self.announce(&plan);
        self.refuse_what_cannot_run(&announced, wanted)?;
        self.run(&announced)?;
        if mode == Mode::Rebuild {
            let plan = self.rebuild_plan(wanted)?;
            self.run(&self.announce(&plan))?;
        }
        Ok(realised)
    }

    /// Refuses what was asked for by itself and is to be built on another kind of machine, before what it needs is built in vain: of
    /// that, only itself knows what to build in its place.
    fn refuse_what_cannot_run(&self, announced: &Announced<'_>, wanted: &[Wanted]) -> Result<()> {
        if self.settings.keep_going {
            return Ok(());
        }
        let is_wanted = |step: &Step| {
            let of =
                |want: &Wanted| matches!(want, Wanted::Outputs(drv, _) if *drv == step.drv_path);
            wanted.iter().any(of)
        };
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
                    .tell(&failure_event(announced.number(index), &failure));
                failed.push(failure);
            }
        }
        if failed.is_empty() {
            return Ok(());
        }
        let skipped = Vec::new();
        Err(Error::Failed(Box::new(Failures { failed, skipped })))
    }

    /// The paths of everything that is wanted, valid or not.
    fn outputs(&self, wanted: &[Wanted]) -> Result<Vec<Realised>> {
        let outputs = |want: &Wanted| match want {
            Wanted::Path(path) => Ok(Realised {
                drv: None,
                outputs: BTreeMap::from([("out".to_owned(), path.clone())]),
            }),
            Wanted::Outputs(drv, names) => {
                let derivation = read_derivation(self.store, drv)?;
                Ok(Realised {
                    drv: Some(drv.clone()),
                    outputs: output_paths(drv, &derivation, names.as_ref())?,
                })
            }
        };
        wanted.iter().map(outputs).collect()
    }

    /// The derivations that were asked for by themselves, to be built once more.
    fn rebuild_plan(&self, wanted: &[Wanted]) -> Result<Plan> {
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
                drv,
                kind: StepKind::Rebuild,
                after: Vec::new(),
            });
        }
        // The outputs can be valid while the inputs are not any more.
        let inputs = self.plan(&needed)?;
        self.run(&self.announce(&inputs))?;
        Ok(Plan {
            steps,
            present: Vec::new(),
        })
    }

    /// Tells what `plan` is going to do.
    pub(crate) fn announce<'p>(&self, plan: &'p Plan) -> Announced<'p> {
        let announced = Announced {
            plan,
            first: self.events.number(plan.steps.len()),
            expected: plan.steps.iter().map(|step| self.expected(step)).collect(),
        };
        let planned = |(index, step): (usize, &Step)| Planned {
            step: announced.number(index),
            drv: step.drv_path.clone(),
            kind: step.kind,
            after: step.after.iter().map(|i| announced.number(*i)).collect(),
            expected: announced.expected[index],
        };
        self.events.tell(&Event::Planned {
            steps: plan.steps.iter().enumerate().map(planned).collect(),
            present: plan.present.clone(),
        });
        announced
    }

    /// Runs all steps of a plan.
    pub(crate) fn run(&self, announced: &Announced<'_>) -> Result<()> {
        self.run_repairing(announced, &BTreeSet::new())
    }

    /// The same; outputs that are in `damaged` and are built again take the places of the damaged ones.
    pub(crate) fn run_repairing(
        &self,
        announced: &Announced<'_>,
        damaged: &BTreeSet<StorePath>,
    ) -> Result<()> {
        let plan = announced.plan;
        if self.cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
        if plan.steps.is_empty() {
            return Ok(());
        }
        if self.settings.max_jobs == 0 {
            return Err(Error::NoJobs {
                steps: plan.steps.len(),
            });
        }
        let mut scheduler = self.scheduler(announced)?;
        let stop = CancelToken::new().map_err(Error::io("make", "an event descriptor"))?;
        // Locked as long as this run lives, so whatever it leaves is collected.
        let work = self.store.work_dir()?;
        let scratch = ScratchPool::new(work.path())?;
        let context = step::Context {
            store: self.store,
            sandbox: self.sandbox,
            scratch: &scratch,
            fetcher: self.fetcher,
            settings: self.settings,
            events: self.events,
            stop: &stop,
            damaged,
        };
        let mut failed = Vec::new();
        let (ended, ends) = mpsc::channel();
        let (started, starts) = mpsc::channel::<(StepId, Slot)>();
        let mut slots = Slots::default();
        let starts = Mutex::new(starts);
        thread::scope(|scope| -> Result<()> {
            // When this ends, the threads see that nothing will start any more.
            let started = started;
            let (mut threads, mut running) = (0usize, 0usize);
            loop {
                if self.cancel.is_cancelled() {
                    scheduler.cancel();
                    stop.cancel();
                }
                while let Some(id) = scheduler.next() {
                    if running == threads {
                        let (ended, starts, context) = (ended.clone(), &starts, &context);
                        let work = move || {
                            while let Some((id, slot)) = next_start(starts) {
                                let place = step::Place {
                                    id: announced.number(id.0 as usize),
                                    slot,
                                };
                                let result = run_caught(context, &plan.steps[id.0 as usize], place);
                                // The receiver lives as long as any step runs.
                                let _ = ended.send((id, slot, result));
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
                    let slot = slots.take(plan.steps[id.0 as usize].kind);
                    let _ = started.send((id, slot));
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
                let outcome = self.report(announced.number(id.0 as usize), result, &mut failed);
                if outcome == Outcome::Failed && !self.settings.keep_going {
                    // As Nix does: what runs beside a failure is stopped, so that the error comes at once.
                    stop.cancel();
                }
                scheduler
                    .finished(id, outcome)
                    .map_err(|error| Error::Internal(error.to_string()))?;
            }
        })?;
        let summary = scheduler.summary();
        for (id, because) in &summary.skipped {
            self.events.tell(&Event::Skipped {
                step: announced.number(id.0 as usize),
                because: match because {
                    Because::Failed(cause) => Some(announced.number(cause.0 as usize)),
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
        result: std::result::Result<How, Box<StepFailure>>,
        failed: &mut Vec<StepFailure>,
    ) -> Outcome {
        match result {
            Ok(how) => {
                self.events.tell(&Event::Done { step, how });
                Outcome::Done
            }
            Err(failure) if matches!(failure.reason, FailureReason::Cancelled) => {
                self.events.tell(&Event::Stopped { step });
                Outcome::Interrupted
            }
            Err(failure) => {
                self.events.tell(&failure_event(step, &failure));
                failed.push(*failure);
                Outcome::Failed
            }
        }
    }

    fn scheduler(&self, announced: &Announced<'_>) -> Result<Scheduler> {
        let plan = announced.plan;
        let mut graph = Graph::with_capacity(
            plan.steps.len(),
            plan.steps.iter().map(|s| s.after.len()).sum(),
        );
        let mut ids = Vec::with_capacity(plan.steps.len());
        for (step, expected) in plan.steps.iter().zip(&announced.expected) {
            let spec = match step.kind {
                StepKind::Fetch => StepSpec::download(DOWNLOAD_ESTIMATE_MS),
                StepKind::Build | StepKind::Rebuild => {
                    let expected = expected.map_or(BUILD_ESTIMATE_MS, |expected| {
                        u32::try_from(expected.as_millis()).unwrap_or(u32::MAX)
                    });
                    StepSpec::build(expected)
                }
            };
            ids.push(graph.add_step(spec));
        }
        for (index, step) in plan.steps.iter().enumerate() {
            for before in &step.after {
                graph.add_edge(ids[*before], ids[index]);
            }
        }
        let slots = |n: usize| {
            NonZeroU32::new(u32::try_from(n).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN)
        };
        let mut policy = Policy::new(slots(self.settings.max_jobs));
        policy.max_downloads = slots(self.settings.http_connections);
        policy.keep_going = self.settings.keep_going;
        Scheduler::new(graph, policy).map_err(|error| match error {
            xbuild_scheduler::Error::Cycle(cycle) => Error::Cycle(
                cycle
                    .steps()
                    .iter()
                    .map(|id| plan.steps[id.0 as usize].drv_path.to_string())
                    .collect::<Vec<_>>()
                    .join(" → "),
            ),
            other => Error::Internal(other.to_string()),
        })
    }

    /// How long a build took the last time.
    fn expected(&self, step: &Step) -> Option<Duration> {
        if step.kind == StepKind::Fetch {
            return None;
        }
        let system = String::from_utf8_lossy(&step.drv.system);
        let known = self
            .store
            .builds()
            .and_then(|builds| builds.expected(&step.drv.name, &system))
            .ok()
            .flatten();
        known.map(|known| known.duration)
    }
}

/// A plan that the stream of events knows.
pub(crate) struct Announced<'p> {
    plan: &'p Plan,
    /// The number of the plan's first step.
    first: report::StepId,
    /// How long each step took the last time.
    expected: Vec<Option<Duration>>,
}

impl Announced<'_> {
    /// The number that the step `index` of the plan has in the stream.
    fn number(&self, index: usize) -> report::StepId {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        report::StepId(self.first.0.saturating_add(index))
    }
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

/// Waits for a step to start; `None` when there will be none.
fn next_start(starts: &Mutex<mpsc::Receiver<(StepId, Slot)>>) -> Option<(StepId, Slot)> {
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
    place: step::Place,
) -> std::result::Result<How, Box<StepFailure>> {
    let run = AssertUnwindSafe(|| step::run(context, step, place));
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

/// The assumed duration of a build that was never measured.
const BUILD_ESTIMATE_MS: u32 = 10_000;
/// The assumed duration of a download.
const DOWNLOAD_ESTIMATE_MS: u32 = 1_000;
