//! How long a run will still take, from how long its steps took earlier.

use std::time::Duration;

use crate::event::StepKind;
use crate::figures::critical_path;
use crate::run::{Run, Step};

/// How long `run` will go on after `now`: the longer one of its remaining critical path and its remaining work on all slots. None
/// where too little is known: when more than half of the remaining builds never ran before. Downloads count as nothing, for nobody
/// knows how long they take.
#[must_use]
pub fn remaining(run: &Run, now: Duration) -> Option<Duration> {
    let is_open = |step: &&Step| !step.state.is_final() && step.kind != StepKind::Fetch;
    let (mut open, mut known, mut sum) = (0u32, 0u32, Duration::ZERO);
    for step in run.steps.iter().filter(is_open) {
        open += 1;
        if let Some(expected) = step.expected {
            known += 1;
            sum += expected;
        }
    }
    if open == 0 || known * 2 < open {
        return None;
    }
    let mean = sum / known.max(1);
    let left = |step: &Step| {
        if !is_open(&step) {
            return Duration::ZERO;
        }
        let expected = step.expected.unwrap_or(mean);
        expected.saturating_sub(step.duration(now).unwrap_or_default())
    };
    let (_, longest) = critical_path(run, left);
    let work: Duration = run.steps.iter().map(left).sum();
    Some(longest.max(work / run.jobs.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, How, Planned, Pool, Slot, StepId};
    use crate::script::drv;

    fn planned(expected: &[Option<u64>], chain: bool) -> Run {
        let mut run = Run {
            jobs: 2,
            ..Run::default()
        };
        let steps = expected.iter().enumerate().map(|(index, expected)| {
            let step = u32::try_from(index).unwrap();
            Planned {
                step: StepId(step),
                drv: drv(&format!("step-{index}")),
                kind: StepKind::Build,
                after: (chain && step > 0)
                    .then(|| StepId(step - 1))
                    .into_iter()
                    .collect(),
                expected: expected.map(Duration::from_secs),
            }
        });
        let (steps, present) = (steps.collect(), Vec::new());
        run.apply(Duration::ZERO, &Event::Planned { steps, present });
        run
    }

    fn left(run: &Run, now: u64) -> Option<u64> {
        remaining(run, Duration::from_secs(now)).map(|left| left.as_secs())
    }

    #[test]
    fn work_and_chains() {
        assert_eq!(
            left(&planned(&[Some(10); 4], false), 0),
            Some(20),
            "two at a time"
        );
        assert_eq!(
            left(&planned(&[Some(10); 4], true), 0),
            Some(40),
            "one after the other"
        );
        // What is not known is taken to be like the others.
        assert_eq!(left(&planned(&[Some(10), None], true), 0), Some(20));
        assert_eq!(left(&planned(&[Some(10), None, None], true), 0), None);
        assert_eq!(left(&planned(&[], true), 0), None);
    }

    #[test]
    fn what_was_done_counts() {
        let mut run = planned(&[Some(10); 2], true);
        let (step, slot) = (
            StepId(0),
            Slot {
                pool: Pool::Build,
                index: 0,
            },
        );
        run.apply(Duration::from_secs(1), &Event::Started { step, slot });
        assert_eq!(left(&run, 5), Some(16));
        assert_eq!(left(&run, 50), Some(10), "slower than expected");
        let how = How::Made;
        run.apply(Duration::from_secs(60), &Event::Done { step, how });
        assert_eq!(left(&run, 60), Some(10));
    }
}
