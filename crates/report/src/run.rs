//! A run as its events tell it: every step with its times. All reports are made of this.

use std::collections::BTreeSet;
use std::time::Duration;

use xbuild_store_model::StorePath;

use crate::event::{Event, FORMAT, How, Outcome, Planned, Pool, Slot, StepId, StepKind, Usage};

/// What is known of a run, at its end or in the middle of it.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// The version of xbuild.
    pub version: String,
    /// When it began, in milliseconds since 1970 UTC.
    pub unix_ms: u64,
    /// The command line.
    pub command: Vec<String>,
    /// How many builds may run at once.
    pub jobs: u32,
    /// How many processors one build may use.
    pub cores: u32,
    /// Every step of every plan; [`StepId`] is the index.
    pub steps: Vec<Step>,
    /// Derivations whose outputs were valid before, and that were not built again.
    pub present: BTreeSet<StorePath>,
    /// When the first plan was made.
    pub planned: Option<Duration>,
    /// The time of the last event.
    pub last: Duration,
    /// How it ended; none while it runs, or if it was killed.
    pub outcome: Option<Outcome>,
    /// Builds, rebuilds included.
    pub builds: Tally,
    /// Downloads.
    pub fetches: Tally,
    /// The steps that run, in the order in which they began.
    pub running: Vec<StepId>,
}

/// How many steps are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// All.
    pub total: usize,
    /// Those that ended well, here or elsewhere.
    pub done: usize,
    /// Those that run.
    pub running: usize,
    /// Those that failed.
    pub failed: usize,
}

impl Tally {
    fn of(&mut self, state: StepState) -> Option<&mut usize> {
        match state {
            StepState::Made | StepState::Present => Some(&mut self.done),
            StepState::Running => Some(&mut self.running),
            StepState::Failed => Some(&mut self.failed),
            StepState::Waiting | StepState::Stopped | StepState::Skipped => None,
        }
    }
}

/// A step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its number.
    pub id: StepId,
    /// Its derivation.
    pub drv: StorePath,
    /// What it does.
    pub kind: StepKind,
    /// The steps before it.
    pub after: Vec<StepId>,
    /// How long it took earlier.
    pub expected: Option<Duration>,
    /// What became of it.
    pub state: StepState,
    /// Where it ran.
    pub slot: Option<Slot>,
    /// When it began to wait for another process.
    pub waiting: Option<Duration>,
    /// When it began.
    pub started: Option<Duration>,
    /// When its builder ended well.
    pub built: Option<Duration>,
    /// When it came to its final state.
    pub ended: Option<Duration>,
    /// What its builder used.
    pub usage: Option<Usage>,
    /// What it downloads.
    pub download: Option<Download>,
    /// What its builder said it does, and since when.
    pub phases: Vec<(Duration, String)>,
    /// Why it failed, in a line.
    pub reason: Option<String>,
    /// The failed step because of which it was skipped.
    pub because: Option<StepId>,
    /// What was tried before it ran as said above.
    pub attempts: Vec<Attempt>,
}

/// A time that a step ran, ended badly, and was to be started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Where it ran.
    pub slot: Slot,
    /// When it began.
    pub started: Duration,
    /// When it ended.
    pub ended: Duration,
    /// What happened, for the user.
    pub message: String,
}

impl Attempt {
    /// How long it ran.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.ended.saturating_sub(self.started)
    }
}

/// A download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// Where from.
    pub url: String,
    /// Bytes so far.
    pub bytes: u64,
    /// All bytes, where the server told.
    pub total: Option<u64>,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    /// Its turn did not come yet.
    Waiting,
    /// It runs.
    Running,
    /// It ran, and ended well.
    Made,
    /// Another process had made its outputs.
    Present,
    /// It failed.
    Failed,
    /// It was stopped.
    Stopped,
    /// It was not run.
    Skipped,
}

impl StepState {
    /// Whether nothing changes any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }

    /// A word for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "not run",
            Self::Running => "running",
            Self::Made => "done",
            Self::Present => "already built",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Skipped => "skipped",
        }
    }
}

impl Step {
    fn new(planned: Planned) -> Self {
        Self {
            id: planned.step,
            drv: planned.drv,
            kind: planned.kind,
            after: planned.after,
            expected: planned.expected,
            state: StepState::Waiting,
            slot: None,
            waiting: None,
            started: None,
            built: None,
            ended: None,
            usage: None,
            download: None,
            phases: Vec::new(),
            reason: None,
            because: None,
            attempts: Vec::new(),
        }
    }

    /// The derivation's name without `.drv`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.drv.derivation_name().unwrap_or(self.drv.name())
    }

    /// How long it ran; up to `now` if it still runs. None if it never did.
    #[must_use]
    pub fn duration(&self, now: Duration) -> Option<Duration> {
        let end = self.ended.unwrap_or(now);
        Some(end.saturating_sub(self.started?))
    }

    /// How long slots were taken by it up to `now`, with what was tried before.
    #[must_use]
    pub fn occupied(&self, now: Duration) -> Duration {
        let earlier: Duration = self.attempts.iter().map(Attempt::duration).sum();
        earlier + self.duration(now).unwrap_or_default()
    }
}

impl Run {
    /// Takes in what happened at `at`. Events that make no sense (of steps that were never announced) are passed over.
    pub fn apply(&mut self, at: Duration, event: &Event<'_>) {
        self.last = self.last.max(at);
        match event {
            Event::Begun {
                version,
                unix_ms,
                command,
                jobs,
                cores,
                format: _,
            } => {
                version.clone_into(&mut self.version);
                command.clone_into(&mut self.command);
                (self.unix_ms, self.jobs, self.cores) = (*unix_ms, *jobs, *cores);
            }
            Event::Planned { steps, present } => {
                self.planned.get_or_insert(at);
                self.present.extend(present.iter().cloned());
                for planned in steps {
                    self.present.remove(&planned.drv);
                    if planned.step.index() == self.steps.len() {
                        self.steps.push(Step::new(planned.clone()));
                        self.tally(planned.kind).total += 1;
                    }
                }
            }
            Event::Waiting { step } => self.change(*step, |step| step.waiting = Some(at)),
            Event::Started { step, slot } => {
                self.enter(*step, StepState::Running);
                self.change(*step, |step| {
                    (step.started, step.slot) = (Some(at), Some(*slot));
                });
            }
            Event::Phase { step, phase } => {
                self.change(*step, |step| step.phases.push((at, phase.clone())));
            }
            Event::Downloaded {
                step,
                url,
                bytes,
                total,
            } => self.change(*step, |step| {
                let download = step.download.get_or_insert_with(|| Download {
                    url: String::new(),
                    bytes: 0,
                    total: None,
                });
                if download.url != *url {
                    url.as_ref().clone_into(&mut download.url);
                }
                (download.bytes, download.total) = (*bytes, *total);
            }),
            Event::Built { step, usage } => self.change(*step, |step| {
                (step.built, step.usage) = (Some(at), Some(*usage));
            }),
            Event::Done { step, how } => self.end(
                *step,
                at,
                match how {
                    How::Made => StepState::Made,
                    How::Present => StepState::Present,
                },
            ),
            Event::Failed { step, reason, .. } => {
                self.end(*step, at, StepState::Failed);
                self.change(*step, |step| step.reason = Some(reason.clone()));
            }
            Event::Retried { step, message } => {
                self.enter(*step, StepState::Waiting);
                self.change(*step, |step| {
                    if let (Some(slot), Some(started)) = (step.slot, step.started) {
                        step.attempts.push(Attempt {
                            slot,
                            started,
                            ended: at,
                            message: message.clone(),
                        });
                    }
                    (step.started, step.slot, step.built) = (None, None, None);
                    step.phases.clear();
                });
            }
            Event::Stopped { step } => self.end(*step, at, StepState::Stopped),
            Event::Skipped { step, because } => {
                self.end(*step, at, StepState::Skipped);
                self.change(*step, |step| step.because = *because);
            }
            Event::LogLine { .. } | Event::Message { .. } | Event::Unknown => {}
            Event::Ended { outcome } => {
                // What an evaluation needed can have been built well before the rest failed.
                self.outcome = Some(match (self.outcome, outcome) {
                    (None | Some(Outcome::Success), outcome) => *outcome,
                    (Some(worse), _) => worse,
                });
            }
        }
    }

    fn change(&mut self, step: StepId, change: impl FnOnce(&mut Step)) {
        if let Some(step) = self.steps.get_mut(step.index()) {
            change(step);
        }
    }

    fn end(&mut self, step: StepId, at: Duration, state: StepState) {
        self.enter(step, state);
        self.change(step, |step| step.ended = Some(at));
    }

    /// Brings a step to a state, from which there is no way back if it is final.
    fn enter(&mut self, id: StepId, state: StepState) {
        let Some(step) = self.steps.get_mut(id.index()) else {
            return;
        };
        let (old, kind) = (step.state, step.kind);
        if old.is_final() || old == state {
            return;
        }
        step.state = state;
        let tally = self.tally(kind);
        if let Some(count) = tally.of(old) {
            *count -= 1;
        }
        if let Some(count) = tally.of(state) {
            *count += 1;
        }
        if old == StepState::Running {
            self.running.retain(|running| *running != id);
        }
        if state == StepState::Running {
            self.running.push(id);
        }
    }

    fn tally(&mut self, kind: StepKind) -> &mut Tally {
        match kind {
            StepKind::Fetch => &mut self.fetches,
            StepKind::Build | StepKind::Rebuild => &mut self.builds,
        }
    }

    /// The step, if it was announced.
    #[must_use]
    pub fn step(&self, step: StepId) -> Option<&Step> {
        self.steps.get(step.index())
    }

    /// The name of a step, for people.
    #[must_use]
    pub fn name(&self, step: StepId) -> &str {
        self.step(step).map_or("?", Step::name)
    }

    /// The steps from number `first` on, each after those that it needs.
    #[must_use]
    pub fn in_order(&self, first: usize) -> Vec<&Step> {
        let steps = &self.steps;
        let mut seen = vec![false; steps.len()];
        let mut order = Vec::with_capacity(steps.len().saturating_sub(first));
        for root in (first..steps.len()).rev() {
            // A step is pushed once to look at what it needs, and once to be put down.
            let mut stack = vec![(root, false)];
            while let Some((index, needs_are_down)) = stack.pop() {
                if needs_are_down {
                    order.push(&steps[index]);
                } else if index < steps.len() && index >= first && !seen[index] {
                    seen[index] = true;
                    stack.push((index, true));
                    stack.extend(steps[index].after.iter().map(|step| (step.index(), false)));
                }
            }
        }
        order
    }

    /// From the first step's begin to the last one's end; zero if none ran.
    #[must_use]
    pub fn span(&self) -> (Duration, Duration) {
        let attempts = || self.steps.iter().flat_map(|step| &step.attempts);
        let begin = self.steps.iter().filter_map(|step| step.started);
        let begin = begin.chain(attempts().map(|attempt| attempt.started)).min();
        let end = self
            .steps
            .iter()
            .filter(|step| step.started.is_some())
            .map(|step| step.ended.unwrap_or(self.last))
            .chain(attempts().map(|attempt| attempt.ended))
            .max();
        match (begin, end) {
            (Some(begin), Some(end)) => (begin, end.max(begin)),
            _ => (Duration::ZERO, Duration::ZERO),
        }
    }

    /// Whether a stream that begins with `event` is understood here.
    #[must_use]
    pub fn understands(event: &Event<'_>) -> bool {
        matches!(event, Event::Begun { format, .. } if *format == FORMAT)
    }
}

impl Pool {
    /// A word for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Fetch => "download",
        }
    }
}
