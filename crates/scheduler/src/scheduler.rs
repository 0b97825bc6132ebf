//! The state machine.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::{
    Because, Class, Counts, Cycle, Graph, Memory, Outcome, Policy, State, StepId, StepSpec, Summary,
};

/// How many builds may start before one that is more urgent, but for which there is no room. Then none starts until there is.
pub const PATIENCE: u32 = 16;

/// How many builds without room are passed over in the search for one that has room.
const PASSED_OVER: usize = 64;

/// A call that the state machine refuses. It has changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The steps wait for each other.
    #[error("these steps wait for each other: {0}")]
    Cycle(Cycle),
    /// Something was reported of a step that is not running.
    #[error("{step} was reported as finished, but it is not running (it is {state:?})")]
    NotRunning {
        /// The step.
        step: StepId,
        /// Its state.
        state: State,
    },
    /// An edge into a step that has started.
    #[error("{before} cannot be put before {after}, which has started already (it is {state:?})")]
    Started {
        /// The step to be put before the other one.
        before: StepId,
        /// The step that has started.
        after: StepId,
        /// The state of `after`.
        state: State,
    },
}

/// An entry of the ready queue: the longest remaining chain first, then the step that was added first. It is out of
/// date, and passed over, if the step is no longer ready or has another priority by now.
type Entry = (u64, Reverse<StepId>);

/// What one edge that is added to a running graph may cost in re-computed priorities, in steps. Beyond that, the work is put off.
const RAISE_LIMIT: usize = 256;

/// Whether new steps may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Going,
    /// Nothing new starts; what did not start is skipped when the last running step has ended.
    Stopping(Because),
}

/// A graph that is being run. See the [crate's documentation](crate) for the protocol.
#[derive(Clone, Debug)]
pub struct Scheduler {
    graph: Graph,
    policy: Policy,
    mode: Mode,
    counts: Counts,
    /// By class.
    ready: [BinaryHeap<Entry>; Class::ALL.len()],
    /// Running steps, by class.
    running: [u32; Class::ALL.len()],
    /// Processors in use beyond one for each running build.
    processors: u32,
    /// The memory that running builds are expected to need, in bytes.
    memory: u64,
    /// What there is, if anybody has said.
    available: Option<Memory>,
    /// A build that ran out of memory before is running: nothing starts beside it.
    alone: bool,
    /// Ready builds that there was no room for when they were last looked at, the most urgent first.
    parked: Vec<Entry>,
    /// Whether one of those needs several processors.
    parked_wide: bool,
    /// The build that is not overtaken for ever: there was no room for it, and so many builds have started since.
    overtaken: Option<(StepId, u32)>,
    /// The work on priorities that was put off by added edges, in steps. When it exceeds the number of steps, all priorities are
    /// re-computed: so an added edge costs constant time on average. Until then some are too low; they only steer.
    stale: usize,
}

impl Scheduler {
    /// Takes a graph and finds what can start at once.
    ///
    /// # Errors
    /// [`Error::Cycle`] if the graph has a cycle.
    pub fn new(mut graph: Graph, policy: Policy) -> Result<Self, Error> {
        graph.prioritise().map_err(Error::Cycle)?;
        let mut scheduler = Self {
            counts: Counts {
                waiting: graph.len() as u32,
                ..Counts::default()
            },
            graph,
            policy,
            mode: Mode::Going,
            ready: Default::default(),
            running: Default::default(),
            processors: 0,
            memory: 0,
            available: None,
            alone: false,
            parked: Vec::new(),
            parked_wide: false,
            overtaken: None,
            stale: 0,
        };
        for step in scheduler.graph.steps() {
            if scheduler.graph.missing(step) == 0 {
                scheduler.make_ready(step);
            }
        }
        Ok(scheduler)
    }

    /// The most urgent step that may start now: it counts as running from here on, until
    /// [`finished`](Self::finished) is called for it. `None` if nothing may start before a running step has finished, or ever.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator would suggest that None is the end"
    )]
    pub fn next(&mut self) -> Option<StepId> {
        if self.mode != Mode::Going {
            return None;
        }
        if self.stale > self.graph.len() {
            self.refresh();
        }
        let class = Class::ALL
            .into_iter()
            .filter_map(|class| Some((self.candidate(class)?, class)));
        let (entry, class) = class.max_by_key(|&(entry, _)| entry)?;
        let Reverse(step) = entry.1;
        // What is chosen out of order stays in the queue, and is passed over there.
        if self.ready[class as usize].peek() == Some(&entry) {
            self.ready[class as usize].pop();
        }
        self.occupy(step);
        self.set_state(step, State::Running);
        Some(step)
    }

    /// Reports how a running step has ended.
    ///
    /// # Errors
    /// [`Error::NotRunning`] if it is not running.
    pub fn finished(&mut self, step: StepId, outcome: Outcome) -> Result<(), Error> {
        let state = self.state(step);
        if state != State::Running {
            return Err(Error::NotRunning { step, state });
        }
        self.vacate(step);
        match outcome {
            Outcome::Done => {
                self.set_state(step, State::Done);
                self.release_after(step);
            }
            Outcome::OutOfMemory if !self.graph.is_alone(step) && self.mode == Mode::Going => {
                self.graph.set_alone(step);
                self.make_ready(step);
            }
            Outcome::Failed | Outcome::OutOfMemory => {
                self.set_state(step, State::Failed);
                self.skip_after(step, Because::Failed(step));
                if self.mode == Mode::Going && !self.policy.keep_going {
                    self.mode = Mode::Stopping(Because::Stopped(step));
                }
            }
            Outcome::Interrupted => {
                let because = match self.mode {
                    Mode::Going => Because::Cancelled,
                    Mode::Stopping(because) => because,
                };
                self.set_state(step, State::Skipped { because });
                self.skip_after(step, because);
            }
        }
        self.settle();
        Ok(())
    }

    /// Says what memory there is. Until it is called for the first time, memory limits nothing.
    pub fn set_memory(&mut self, memory: Memory) {
        self.available = Some(memory);
        self.unpark();
    }

    /// Whether a build waits only because there is no memory, or no processor, for it now.
    #[must_use]
    pub fn is_short(&self) -> bool {
        !self.parked.is_empty()
    }

    /// Whether a step ran out of memory once, so that nothing is built beside it when it runs.
    ///
    /// # Panics
    /// If it is not a step of this graph.
    #[must_use]
    pub fn is_alone(&self, step: StepId) -> bool {
        self.graph.is_alone(step)
    }

    /// Says how long a step that has not started is now expected to take, in milliseconds. Of one that has, it means nothing.
    ///
    /// # Panics
    /// If it is not a step of this graph.
    pub fn expect(&mut self, step: StepId, expected_ms: u32) {
        let state = self.state(step);
        if !matches!(state, State::Waiting | State::Ready)
            || self.graph.spec(step).expected_ms == expected_ms
        {
            return;
        }
        let fell = self.graph.set_expected(step, expected_ms);
        if state == State::Ready {
            // An entry of the old priority is passed over.
            self.unpark();
            self.ready[self.graph.spec(step).class as usize]
                .push((self.graph.priority(step), Reverse(step)));
        }
        let ready = &mut self.ready;
        let complete = fell
            || self
                .graph
                .raise_before(step, RAISE_LIMIT, &mut |graph, step| {
                    if graph.state(step) == State::Ready {
                        ready[graph.spec(step).class as usize]
                            .push((graph.priority(step), Reverse(step)));
                    }
                });
        if fell || !complete {
            self.stale += RAISE_LIMIT;
        }
    }

    /// Starts nothing more. Running steps stay running until they are reported as finished; what did not start
    /// is skipped then.
    pub fn cancel(&mut self) {
        self.mode = Mode::Stopping(Because::Cancelled);
        self.settle();
    }

    /// Adds a step while the graph runs. It is ready at once: put steps before it, with [`add_edge`](Self::add_edge), before the next
    /// call of [`next`](Self::next). When the run is stopping, it is skipped.
    ///
    /// # Panics
    /// As [`Graph::add_step`].
    pub fn add_step(&mut self, spec: StepSpec) -> StepId {
        let step = self.graph.add_step(spec);
        self.counts.waiting += 1;
        self.make_ready(step);
        self.settle();
        step
    }

    /// Says, while the graph runs, that `before` must be done when `after` starts. If `before` has failed or was skipped, `after` is
    /// skipped.
    ///
    /// # Errors
    /// [`Error::Started`] if `after` has started or ended; [`Error::Cycle`] if `before` waits for `after`. But an edge
    /// into a skipped step is accepted and means nothing.
    ///
    /// # Panics
    /// As [`Graph::add_edge`].
    pub fn add_edge(&mut self, before: StepId, after: StepId) -> Result<(), Error> {
        match self.state(after) {
            State::Waiting | State::Ready => {}
            State::Skipped { .. } => return Ok(()),
            state @ (State::Running | State::Done | State::Failed) => {
                return Err(Error::Started {
                    before,
                    after,
                    state,
                });
            }
        }
        if self.state(before) != State::Done
            && let Some(cycle) = self.graph.cycle_through(before, after)
        {
            return Err(Error::Cycle(cycle));
        }
        let because = match self.state(before) {
            State::Done | State::Waiting | State::Ready | State::Running => None,
            State::Failed => Some(Because::Failed(before)),
            State::Skipped { because } => Some(because),
        };
        self.graph.add_edge(before, after);
        if let Some(because) = because {
            self.skip(after, because);
            self.settle();
            return Ok(());
        }
        if self.graph.missing(after) > 0 && self.state(after) == State::Ready {
            self.set_state(after, State::Waiting);
        }
        let ready = &mut self.ready;
        let complete = self
            .graph
            .raise(before, after, RAISE_LIMIT, &mut |graph, step| {
                if graph.state(step) == State::Ready {
                    ready[graph.spec(step).class as usize]
                        .push((graph.priority(step), Reverse(step)));
                }
            });
        if !complete {
            self.stale += RAISE_LIMIT;
        }
        Ok(())
    }

    /// Where a step stands.
    ///
    /// # Panics
    /// If it is not a step of this graph.
    #[must_use]
    pub fn state(&self, step: StepId) -> State {
        self.graph.state(step)
    }

    /// How many steps are in each state; costs nothing.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether every step is in a final state.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.counts.unfinished() == 0
    }

    /// Whether nothing new will start, because of a failure or a cancellation.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.mode != Mode::Going
    }

    /// The steps and edges.
    #[must_use]
    pub const fn graph(&self) -> &Graph {
        &self.graph
    }

    /// What became of the steps; in time linear in their number.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary::of(&self.graph)
    }

    /// The most urgent ready step of a class that there is room for. It is at the top of its queue then.
    fn candidate(&mut self, class: Class) -> Option<Entry> {
        if self.running[class as usize] >= self.policy.slots(class) {
            return None;
        }
        loop {
            let &(priority, Reverse(step)) = self.ready[class as usize].peek()?;
            if self.state(step) != State::Ready || self.graph.priority(step) != priority {
                self.ready[class as usize].pop();
                continue;
            }
            if class == Class::Download {
                return Some((priority, Reverse(step)));
            }
            if self.running[class as usize] == 0 {
                return Some((priority, Reverse(step)));
            }
            if self.alone || self.parked.len() >= PASSED_OVER {
                return None;
            }
            if let Some((waiting, starts)) = self.overtaken
                && starts >= PATIENCE
            {
                if self.state(waiting) != State::Ready {
                    self.overtaken = None;
                    continue;
                }
                let entry = (self.graph.priority(waiting), Reverse(waiting));
                return self.has_room(waiting).then_some(entry);
            }
            if self.has_room(step) {
                return Some((priority, Reverse(step)));
            }
            self.ready[class as usize].pop();
            self.parked.push((priority, Reverse(step)));
            self.parked_wide |= self.more_processors(step) > 0;
            self.overtaken.get_or_insert((step, 0));
        }
    }

    /// Whether a build can run beside those that do.
    fn has_room(&self, step: StepId) -> bool {
        let spec = self.graph.spec(step);
        if self.graph.is_alone(step) {
            return false;
        }
        // Who needs several processors is not overtaken by another one who does: else it might never start.
        let more = self.more_processors(step);
        let all = self.processors + more;
        if more > 0 && (self.parked_wide || all > self.policy.processors.get()) {
            return false;
        }
        self.available.is_none_or(|memory| {
            let promised = self.memory.saturating_sub(memory.used);
            !memory.pressure && spec.memory <= memory.free.saturating_sub(promised)
        })
    }

    /// The processors that a build uses beyond the first.
    fn more_processors(&self, step: StepId) -> u32 {
        let most = self.policy.processors.get();
        self.graph.spec(step).processors.min(most) - 1
    }

    fn occupy(&mut self, step: StepId) {
        let class = self.graph.spec(step).class;
        self.running[class as usize] += 1;
        if class == Class::Build {
            self.processors += self.more_processors(step);
            self.memory = self.memory.saturating_add(self.graph.spec(step).memory);
            self.alone = self.graph.is_alone(step);
            match &mut self.overtaken {
                Some((waiting, _)) if *waiting == step => self.overtaken = None,
                Some((_, starts)) => *starts += 1,
                None => {}
            }
        }
    }

    fn vacate(&mut self, step: StepId) {
        let class = self.graph.spec(step).class;
        self.running[class as usize] -= 1;
        if class == Class::Build {
            self.processors -= self.more_processors(step);
            self.memory = self.memory.saturating_sub(self.graph.spec(step).memory);
            self.alone = false;
            self.unpark();
        }
    }

    /// Builds without room are looked at again.
    fn unpark(&mut self) {
        if self.parked.is_empty() {
            return;
        }
        self.ready[Class::Build as usize].extend(self.parked.drain(..));
        self.parked_wide = false;
    }

    fn set_state(&mut self, step: StepId, state: State) {
        *self.counts.of(self.graph.state(step)) -= 1;
        *self.counts.of(state) += 1;
        self.graph.set_state(step, state);
    }

    fn make_ready(&mut self, step: StepId) {
        self.set_state(step, State::Ready);
        self.ready[self.graph.spec(step).class as usize]
            .push((self.graph.priority(step), Reverse(step)));
    }

    /// Steps that waited only for `step` become ready.
    fn release_after(&mut self, step: StepId) {
        let mut cursor = self.graph.first_edge_out(step);
        while let Some((after, next)) = self.graph.edge_out(cursor) {
            if self.graph.fulfil(after) && self.state(after) == State::Waiting {
                self.make_ready(after);
            }
            cursor = next;
        }
    }

    /// Skips everything that waits for `step`, directly or not. Each step is skipped once, so all calls together are linear.
    fn skip_after(&mut self, step: StepId, because: Because) {
        let mut pending: Vec<_> = self.graph.after(step).collect();
        while let Some(step) = pending.pop() {
            if matches!(self.state(step), State::Waiting | State::Ready) {
                self.set_state(step, State::Skipped { because });
                pending.extend(self.graph.after(step));
            }
        }
    }

    fn skip(&mut self, step: StepId, because: Because) {
        self.set_state(step, State::Skipped { because });
        self.skip_after(step, because);
    }

    /// When the run stops and nothing runs any more: skips what is left.
    fn settle(&mut self) {
        let Mode::Stopping(because) = self.mode else {
            return;
        };
        if self.counts.running > 0 || self.is_done() {
            return;
        }
        for step in self.graph.steps() {
            if !self.state(step).is_final() {
                self.set_state(step, State::Skipped { because });
            }
        }
    }

    /// Re-computes all priorities and with them the ready queues.
    fn refresh(&mut self) {
        self.stale = 0;
        self.unpark();
        if self.graph.prioritise().is_err() {
            unreachable!("add_edge keeps the graph free of cycles");
        }
        for queue in &mut self.ready {
            let steps = std::mem::take(queue)
                .into_iter()
                .map(|(_, Reverse(step))| step);
            let mut steps: Vec<_> = steps
                .filter(|&step| self.graph.state(step) == State::Ready)
                .collect();
            steps.sort_unstable();
            steps.dedup();
            *queue = steps
                .into_iter()
                .map(|step| (self.graph.priority(step), Reverse(step)))
                .collect();
        }
    }
}

#[cfg(test)]
mod tests;
