//! How long a run will take if every step takes as long as expected: the scheduler, driven by a clock that jumps.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::{Class, Error, Graph, Outcome, Policy, Scheduler, StepId};

/// A run that is foreseen. Times are milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// From the first start to the last end.
    pub makespan: u64,
    /// The longest chain of steps: no schedule is shorter.
    pub critical_path: u64,
    /// All builds one after the other. Divided by the jobs, no schedule of builds on one processor each is shorter.
    pub build_work: u64,
    /// When each step starts, by id.
    pub starts: Vec<u64>,
}

impl Forecast {
    /// Foresees the run of a graph. In time as a run of steps that take none.
    ///
    /// # Errors
    /// [`Error::Cycle`] if the graph has a cycle.
    pub fn of(graph: Graph, policy: Policy) -> Result<Self, Error> {
        let mut scheduler = Scheduler::new(graph, policy)?;
        let steps = scheduler.graph().steps();
        let critical_path = steps
            .map(|step| scheduler.graph().priority(step))
            .max()
            .unwrap_or(0);
        let builds = scheduler
            .graph()
            .steps()
            .map(|step| scheduler.graph().spec(step));
        let build_work = builds
            .filter(|spec| spec.class == Class::Build)
            .map(|spec| u64::from(spec.expected_ms))
            .sum();
        let mut starts = vec![0; scheduler.graph().len()];
        let mut now = 0;
        let mut running: BinaryHeap<Reverse<(u64, StepId)>> = BinaryHeap::new();
        loop {
            while let Some(step) = scheduler.next() {
                starts[step.index()] = now;
                let expected = u64::from(scheduler.graph().spec(step).expected_ms);
                running.push(Reverse((now + expected, step)));
            }
            let Some(Reverse((end, step))) = running.pop() else {
                break;
            };
            now = end;
            scheduler.finished(step, Outcome::Done)?;
        }
        Ok(Self {
            makespan: now,
            critical_path,
            build_work,
            starts,
        })
    }

    /// What no schedule with so many jobs can go below, if every build uses one processor.
    #[must_use]
    pub fn lower_bound(&self, max_jobs: u32) -> u64 {
        let shared = self.build_work.div_ceil(u64::from(max_jobs.max(1)));
        self.critical_path.max(shared)
    }
}
