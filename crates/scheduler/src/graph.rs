//! The steps and edges, stored compactly, and the walks over them.

use std::fmt;

use crate::{Cycle, State};

/// A step of one graph. Ids are given out from 0 upwards, so they can index the caller's own tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId(pub u32);

impl StepId {
    /// The id as an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}", self.0)
    }
}

/// What a step competes for. Each class has its own slots, so downloads go on while all builders are busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Uses processors and memory.
    Build,
    /// Waits for the network.
    Download,
}

impl Class {
    pub(crate) const ALL: [Self; 2] = [Self::Build, Self::Download];
}

/// What the scheduler needs to know of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepSpec {
    /// Which slots it uses.
    pub class: Class,
    /// How many processors a build uses that takes no part in a jobserver; one that does counts as 1, and its other processors are
    /// [`Tokens`](crate::Tokens). 0 counts as 1, and more than [`Policy::processors`](crate::Policy::processors) as all of
    /// them. Means nothing for a download.
    pub processors: u32,
    /// The most memory a build is expected to use at a time, in bytes; 0 if nothing is known. Means nothing for a download.
    pub memory: u64,
    /// How long it is expected to take, in milliseconds: an earlier build's duration, or a guess. Only the order depends on it.
    pub expected_ms: u32,
}

impl StepSpec {
    /// A build on one processor of which nothing else is known.
    #[must_use]
    pub const fn build(expected_ms: u32) -> Self {
        Self {
            class: Class::Build,
            processors: 1,
            memory: 0,
            expected_ms,
        }
    }

    /// A download.
    #[must_use]
    pub const fn download(expected_ms: u32) -> Self {
        Self {
            class: Class::Download,
            processors: 1,
            memory: 0,
            expected_ms,
        }
    }
}

/// The end of an edge list.
const NIL: u32 = u32::MAX;

/// Both lists that an edge is in are threaded through the edge itself: 16 bytes an edge, no allocation of its own for a
/// step, and edges can be added at any time.
#[derive(Clone, Copy, Debug)]
struct Edge {
    before: StepId,
    after: StepId,
    /// The next edge out of `before`.
    next_out: u32,
    /// The next edge into `after`.
    next_in: u32,
}

/// A place in the list of edges out of one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EdgeCursor(u32);

#[derive(Clone, Debug)]
struct Step {
    /// Milliseconds from this step's start to the end of the longest chain of steps after it.
    priority: u64,
    state: State,
    /// How many edges come in from steps that are not done.
    missing: u32,
    first_out: u32,
    first_in: u32,
    spec: StepSpec,
    /// It ran out of memory beside others, and now runs when nothing else does.
    alone: bool,
}

/// Steps, and which must be done before which.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    steps: Vec<Step>,
    edges: Vec<Edge>,
}

impl Graph {
    /// A graph without steps.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A graph without steps that has room for so many steps and edges.
    #[must_use]
    pub fn with_capacity(steps: usize, edges: usize) -> Self {
        Self {
            steps: Vec::with_capacity(steps),
            edges: Vec::with_capacity(edges),
        }
    }

    /// Adds a step that nothing waits for and that waits for nothing.
    ///
    /// # Panics
    /// If the graph has 2³² − 1 steps already.
    pub fn add_step(&mut self, spec: StepSpec) -> StepId {
        assert!(self.steps.len() < NIL as usize, "too many steps");
        let id = StepId(self.steps.len() as u32);
        self.steps.push(Step {
            priority: u64::from(spec.expected_ms),
            state: State::Waiting,
            missing: 0,
            first_out: NIL,
            first_in: NIL,
            spec: StepSpec {
                processors: spec.processors.max(1),
                ..spec
            },
            alone: false,
        });
        id
    }

    /// Says that `before` must be done when `after` starts. Saying it twice is harmless.
    ///
    /// # Panics
    /// If one of the two is not a step of this graph, or the graph has 2³² − 1 edges already.
    pub fn add_edge(&mut self, before: StepId, after: StepId) {
        assert!(self.edges.len() < NIL as usize, "too many edges");
        let edge = self.edges.len() as u32;
        self.edges.push(Edge {
            before,
            after,
            next_out: std::mem::replace(&mut self.steps[before.index()].first_out, edge),
            next_in: std::mem::replace(&mut self.steps[after.index()].first_in, edge),
        });
        if self.state(before) != State::Done {
            self.steps[after.index()].missing += 1;
        }
    }

    /// How many steps there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there is no step.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// All steps, in the order in which they were added.
    pub fn steps(&self) -> impl Iterator<Item = StepId> + use<> {
        (0..self.steps.len() as u32).map(StepId)
    }

    /// What was said of a step when it was added.
    #[must_use]
    pub fn spec(&self, step: StepId) -> &StepSpec {
        &self.steps[step.index()].spec
    }

    /// The steps that wait for `step` directly, the last added edge first.
    pub fn after(&self, step: StepId) -> impl Iterator<Item = StepId> {
        let mut at = self.steps[step.index()].first_out;
        std::iter::from_fn(move || {
            let edge = self.edges.get(at as usize)?;
            at = edge.next_out;
            Some(edge.after)
        })
    }

    /// The steps that `step` waits for directly, the last added edge first.
    pub fn before(&self, step: StepId) -> impl Iterator<Item = StepId> {
        let mut at = self.steps[step.index()].first_in;
        std::iter::from_fn(move || {
            let edge = self.edges.get(at as usize)?;
            at = edge.next_in;
            Some(edge.before)
        })
    }

    /// The first edge out of `step`, for [`edge_out`](Self::edge_out): a walk during which steps may change.
    pub(crate) fn first_edge_out(&self, step: StepId) -> EdgeCursor {
        EdgeCursor(self.steps[step.index()].first_out)
    }

    /// Where an edge leads, and the next edge out of the same step.
    pub(crate) fn edge_out(&self, at: EdgeCursor) -> Option<(StepId, EdgeCursor)> {
        let edge = self.edges.get(at.0 as usize)?;
        Some((edge.after, EdgeCursor(edge.next_out)))
    }

    pub(crate) fn state(&self, step: StepId) -> State {
        self.steps[step.index()].state
    }

    pub(crate) fn set_state(&mut self, step: StepId, state: State) {
        self.steps[step.index()].state = state;
    }

    pub(crate) fn is_alone(&self, step: StepId) -> bool {
        self.steps[step.index()].alone
    }

    pub(crate) fn set_alone(&mut self, step: StepId) {
        self.steps[step.index()].alone = true;
    }

    /// Changes how long a step is expected to take, and its own priority with that. Whether the priority fell.
    pub(crate) fn set_expected(&mut self, step: StepId, expected_ms: u32) -> bool {
        let entry = &mut self.steps[step.index()];
        let below = entry
            .priority
            .saturating_sub(u64::from(entry.spec.expected_ms));
        entry.spec.expected_ms = expected_ms;
        let old = std::mem::replace(
            &mut entry.priority,
            below.saturating_add(u64::from(expected_ms)),
        );
        entry.priority < old
    }

    pub(crate) fn priority(&self, step: StepId) -> u64 {
        self.steps[step.index()].priority
    }

    pub(crate) fn missing(&self, step: StepId) -> u32 {
        self.steps[step.index()].missing
    }

    /// One edge into `step` has been fulfilled. Whether it was the last.
    pub(crate) fn fulfil(&mut self, step: StepId) -> bool {
        let missing = &mut self.steps[step.index()].missing;
        *missing -= 1;
        *missing == 0
    }

    /// Computes all priorities anew, in time linear in steps and edges; fails if there is a cycle.
    pub(crate) fn prioritise(&mut self) -> Result<(), Cycle> {
        let order = self.topological_order()?;
        for &step in order.iter().rev() {
            let longest = self
                .after(step)
                .map(|next| self.priority(next))
                .max()
                .unwrap_or(0);
            let step = &mut self.steps[step.index()];
            step.priority = longest.saturating_add(u64::from(step.spec.expected_ms));
        }
        Ok(())
    }

    /// Raises the priorities of `before` and of what it waits for, after an edge to `after` was added. Looks at no more than `limit`
    /// steps; answers whether that was enough. If not, some priorities are too low now.
    ///
    /// Each raised step is reported to `raised`.
    pub(crate) fn raise(
        &mut self,
        before: StepId,
        after: StepId,
        limit: usize,
        raised: &mut dyn FnMut(&Self, StepId),
    ) -> bool {
        self.raise_all(vec![(before, self.priority(after))], limit, raised)
    }

    /// The same for all that come directly before `step`, after the priority of that has grown.
    pub(crate) fn raise_before(
        &mut self,
        step: StepId,
        limit: usize,
        raised: &mut dyn FnMut(&Self, StepId),
    ) -> bool {
        let priority = self.priority(step);
        let before = self.before(step).take(limit);
        let pending = before.map(|before| (before, priority)).collect();
        self.raise_all(pending, limit, raised)
    }

    fn raise_all(
        &mut self,
        mut pending: Vec<(StepId, u64)>,
        limit: usize,
        raised: &mut dyn FnMut(&Self, StepId),
    ) -> bool {
        for _ in 0..limit {
            let Some((step, below)) = pending.pop() else {
                return true;
            };
            let entry = &mut self.steps[step.index()];
            let priority = below.saturating_add(u64::from(entry.spec.expected_ms));
            if entry.state.is_final() || priority <= entry.priority {
                continue;
            }
            entry.priority = priority;
            raised(self, step);
            // With more than `limit` of them the answer is no in any case.
            pending.extend(
                self.before(step)
                    .take(limit)
                    .map(|earlier| (earlier, priority)),
            );
        }
        pending.is_empty()
    }

    /// Kahn's algorithm.
    fn topological_order(&self) -> Result<Vec<StepId>, Cycle> {
        let mut incoming = vec![0_u32; self.len()];
        for edge in &self.edges {
            incoming[edge.after.index()] += 1;
        }
        let mut order = Vec::with_capacity(self.len());
        order.extend(self.steps().filter(|step| incoming[step.index()] == 0));
        let mut next = 0;
        while next < order.len() {
            for after in self.after(order[next]) {
                incoming[after.index()] -= 1;
                if incoming[after.index()] == 0 {
                    order.push(after);
                }
            }
            next += 1;
        }
        match self.steps().find(|step| incoming[step.index()] > 0) {
            None => Ok(order),
            Some(stuck) => Err(self.cycle_upstream_of(stuck, &incoming)),
        }
    }

    /// A cycle among the steps that Kahn's algorithm left over. Each of them waits for another of them, so walking
    /// backwards must come to a step twice.
    fn cycle_upstream_of(&self, stuck: StepId, incoming: &[u32]) -> Cycle {
        let mut seen_at = rustc_hash::FxHashMap::default();
        let mut path = Vec::new();
        let mut step = stuck;
        loop {
            if let Some(start) = seen_at.insert(step, path.len()) {
                let mut cycle = path.split_off(start);
                cycle.reverse();
                return Cycle::new(cycle);
            }
            path.push(step);
            match self
                .before(step)
                .find(|before| incoming[before.index()] > 0)
            {
                Some(before) => step = before,
                None => {
                    unreachable!("a step left over by the topological order waits for another one")
                }
            }
        }
    }

    /// The cycle that an edge from `before` to `after` would close, if any.
    ///
    /// Searches forwards from `after` and backwards from `before` in turn, and ends when either side is exhausted. A step that
    /// was just added has nothing on one of its sides, so the usual edge to or from it costs nothing, however large the graph.
    pub(crate) fn cycle_through(&self, before: StepId, after: StepId) -> Option<Cycle> {
        let mut forwards = Search::new(after);
        let mut backwards = Search::new(before);
        loop {
            // Whatever a done step waited for is done, and `after` is not: no cycle leads through it.
            if let Some(path) = forwards.advance(before, |step| self.after(step))? {
                return Some(Cycle::new(path));
            }
            if let Some(mut path) = backwards.advance(after, |step| {
                self.before(step)
                    .filter(|&earlier| self.state(earlier) != State::Done)
            })? {
                path.reverse();
                return Some(Cycle::new(path));
            }
        }
    }
}

/// A depth-first search that can be paused.
struct Search {
    pending: Vec<StepId>,
    /// Each step found, and from where.
    parent: rustc_hash::FxHashMap<StepId, StepId>,
}

impl Search {
    fn new(start: StepId) -> Self {
        Self {
            pending: vec![start],
            parent: std::iter::once((start, start)).collect(),
        }
    }

    /// Looks at one more step. `None`: nothing is left to look at. `Some(Some(path))`: `goal` was reached, by this path.
    fn advance<I: Iterator<Item = StepId>>(
        &mut self,
        goal: StepId,
        neighbours: impl FnOnce(StepId) -> I,
    ) -> Option<Option<Vec<StepId>>> {
        let step = self.pending.pop()?;
        if step == goal {
            let mut path = vec![step];
            let mut at = step;
            while self.parent[&at] != at {
                at = self.parent[&at];
                path.push(at);
            }
            path.reverse();
            return Some(Some(path));
        }
        for next in neighbours(step) {
            if let std::collections::hash_map::Entry::Vacant(entry) = self.parent.entry(next) {
                entry.insert(step);
                self.pending.push(next);
            }
        }
        Some(None)
    }
}
