//! What a run comes down to: totals, the critical path, how busy the slots were.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::event::{Pool, Slot, StepId, StepKind};
use crate::run::{Run, Step, StepState};

/// The figures of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// From the first step's begin to the last one's end.
    pub wall: Duration,
    /// From the stream's begin to the first plan: evaluation, mostly.
    pub before: Duration,
    /// Builds that ran and ended well.
    pub built: usize,
    /// Downloads that ended well.
    pub fetched: usize,
    /// Steps that had nothing left to do.
    pub made_elsewhere: usize,
    /// Steps that failed.
    pub failed: usize,
    /// Steps that were stopped, skipped or never began.
    pub not_run: usize,
    /// The durations of all builds together.
    pub work: Duration,
    /// Processor time of all builders.
    pub cpu: Duration,
    /// How many builds ran at once, in the mean.
    pub parallelism: f64,
    /// The most memory that a single build used, in bytes.
    pub peak_memory: Option<u64>,
    /// Bytes that were downloaded.
    pub downloaded: u64,
    /// The chain of steps, each of which needs the one before, that took longest; in the order in which they ran. With any number of
    /// slots, the run would have taken that long.
    pub critical: Vec<StepId>,
    /// How long that was.
    pub critical_length: Duration,
    /// Every slot in which a step ran.
    pub slots: Vec<SlotUse>,
    /// Build slots in which nothing ever ran.
    pub unused: usize,
}

/// How a slot was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotUse {
    /// Which.
    pub slot: Slot,
    /// How many steps ran in it; one that was tried twice counts twice.
    pub steps: usize,
    /// How long.
    pub busy: Duration,
}

impl Figures {
    /// The figures of `run`.
    #[must_use]
    pub fn of(run: &Run) -> Self {
        let (begin, end) = run.span();
        let mut figures = Self {
            wall: end - begin,
            before: run.planned.unwrap_or_default(),
            ..Self::default()
        };
        let mut slots: BTreeMap<Slot, SlotUse> = BTreeMap::new();
        for step in &run.steps {
            let is_fetch = step.kind == StepKind::Fetch;
            match step.state {
                StepState::Made if is_fetch => figures.fetched += 1,
                StepState::Made => figures.built += 1,
                StepState::Present => figures.made_elsewhere += 1,
                StepState::Failed => figures.failed += 1,
                StepState::Running => {}
                StepState::Waiting | StepState::Stopped | StepState::Skipped => {
                    figures.not_run += 1;
                }
            }
            let took = step.duration(run.last).unwrap_or_default();
            if !is_fetch {
                figures.work += step.occupied(run.last);
            }
            if let Some(usage) = &step.usage {
                figures.cpu += usage.user + usage.system;
                figures.peak_memory = figures.peak_memory.max(usage.peak_memory);
            }
            figures.downloaded += step.download.as_ref().map_or(0, |download| download.bytes);
            let mut busy = |slot, time| {
                let used = slots.entry(slot).or_insert(SlotUse {
                    slot,
                    steps: 0,
                    busy: Duration::ZERO,
                });
                used.steps += 1;
                used.busy += time;
            };
            if let (Some(slot), Some(_)) = (step.slot, step.started) {
                busy(slot, took);
            }
            for attempt in &step.attempts {
                busy(attempt.slot, attempt.duration());
            }
        }
        if !figures.wall.is_zero() {
            figures.parallelism = figures.work.as_secs_f64() / figures.wall.as_secs_f64();
        }
        figures.slots = slots.into_values().collect();
        let builders = figures
            .slots
            .iter()
            .filter(|used| used.slot.pool == Pool::Build)
            .count();
        figures.unused = (run.jobs as usize).saturating_sub(builders);
        (figures.critical, figures.critical_length) =
            critical_path(run, |step| step.occupied(run.last));
        figures
    }
}

/// The longest chain of steps by `length`, and how long it is. Steps that never ran take no part.
pub(crate) fn critical_path(
    run: &Run,
    length: impl Fn(&Step) -> Duration,
) -> (Vec<StepId>, Duration) {
    let steps = &run.steps;
    // Kahn's algorithm: a step is looked at when all before it were.
    let mut missing = vec![0usize; steps.len()];
    let mut dependents: Vec<Vec<u32>> = vec![Vec::new(); steps.len()];
    for (index, step) in steps.iter().enumerate() {
        for before in &step.after {
            if let Some(list) = dependents.get_mut(before.index()) {
                list.push(u32::try_from(index).unwrap_or(u32::MAX));
                missing[index] += 1;
            }
        }
    }
    let mut ready: Vec<usize> = (0..steps.len()).filter(|&i| missing[i] == 0).collect();
    let mut finish = vec![Duration::ZERO; steps.len()];
    let mut before: Vec<Option<usize>> = vec![None; steps.len()];
    while let Some(index) = ready.pop() {
        finish[index] += length(&steps[index]);
        for &dependent in &dependents[index] {
            let dependent = dependent as usize;
            if finish[index] > finish[dependent] {
                finish[dependent] = finish[index];
                before[dependent] = Some(index);
            }
            missing[dependent] -= 1;
            if missing[dependent] == 0 {
                ready.push(dependent);
            }
        }
    }
    let Some(last) = (0..steps.len()).max_by_key(|&i| (finish[i], std::cmp::Reverse(i))) else {
        return (Vec::new(), Duration::ZERO);
    };
    let total = finish[last];
    let mut chain = Vec::new();
    let mut at = Some(last);
    while let Some(index) = at {
        if !length(&steps[index]).is_zero() {
            chain.push(steps[index].id);
        }
        at = before[index];
    }
    chain.reverse();
    (chain, total)
}

#[cfg(test)]
mod tests {
    use xbuild_store_model::StorePath;

    use super::*;
    use crate::event::{Event, How, Planned};
    use crate::script::drv;

    /// A run of steps that are given by what they need, and by when they began and ended, in seconds.
    fn run(steps: &[(&[u32], u64, u64)]) -> Run {
        let mut run = Run {
            jobs: 4,
            ..Run::default()
        };
        let name = |index: usize| -> StorePath { drv(&format!("step-{index}")) };
        let planned = |(index, step): (usize, &(&[u32], u64, u64))| Planned {
            step: StepId(u32::try_from(index).unwrap()),
            drv: name(index),
            kind: StepKind::Build,
            after: step.0.iter().copied().map(StepId).collect(),
            expected: None,
        };
        let planned = steps.iter().enumerate().map(planned).collect();
        let present = Vec::new();
        let steps_of_plan = Event::Planned {
            steps: planned,
            present,
        };
        run.apply(Duration::ZERO, &steps_of_plan);
        for (index, (_, begin, end)) in steps.iter().enumerate() {
            let step = StepId(u32::try_from(index).unwrap());
            let slot = Slot {
                pool: Pool::Build,
                index: step.0 % 2,
            };
            run.apply(Duration::from_secs(*begin), &Event::Started { step, slot });
            let how = How::Made;
            run.apply(Duration::from_secs(*end), &Event::Done { step, how });
        }
        run
    }

    #[test]
    fn the_longest_chain_is_critical() {
        // 0 needs 1 and 2, 1 needs 3: 3 (4 s), 1 (1 s), 0 (2 s); and 2 alone takes 4 s.
        let figures = Figures::of(&run(&[
            (&[1, 2], 6, 8),
            (&[3], 5, 6),
            (&[], 1, 5),
            (&[], 1, 5),
        ]));
        assert_eq!(figures.critical, [3, 1, 0].map(StepId));
        assert_eq!(figures.critical_length, Duration::from_secs(7));
        assert_eq!(figures.wall, Duration::from_secs(7));
        assert_eq!(figures.work, Duration::from_secs(11));
        assert!((figures.parallelism - 11.0 / 7.0).abs() < 1e-9);
        let busy: Vec<u64> = figures.slots.iter().map(|s| s.busy.as_secs()).collect();
        assert_eq!((busy.as_slice(), figures.unused), ([6, 5].as_slice(), 2));
    }

    #[test]
    fn steps_that_need_each_other_or_nobody_are_no_trouble() {
        let figures = Figures::of(&run(&[(&[1, 9], 0, 1), (&[0, 1], 1, 2), (&[], 0, 3)]));
        assert_eq!(figures.critical, [StepId(2)]);
        assert_eq!(Figures::of(&Run::default()).critical, []);
    }
}
