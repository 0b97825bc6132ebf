//! Random graphs run against a simulated clock: random durations, failures, cancellations, memory that comes and goes, builds that run
//! out of it, and steps that are added on the way. Everything follows from one seed, which a failing test prints.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::num::NonZeroU32;

use proptest::prelude::*;
use xbuild_scheduler::{
    Because, Class, Counts, Graph, Memory, Outcome, Policy, Scheduler, State, StepId, StepSpec,
};

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    fn spec(&mut self) -> StepSpec {
        let class = if self.percent(30) {
            Class::Download
        } else {
            Class::Build
        };
        let processors = if self.percent(20) {
            self.below(6) as u32
        } else {
            1
        };
        let memory = if self.percent(30) {
            self.below(1000)
        } else {
            0
        };
        StepSpec {
            class,
            processors,
            memory,
            expected_ms: self.below(1000) as u32,
        }
    }
}

/// How a simulated run goes wrong, in percent a step.
#[derive(Clone, Copy, Debug, Default)]
struct Trouble {
    fails: u64,
    cancels: u64,
    adds: u64,
    /// Builds that run out of memory.
    kills: u64,
    /// Measurements of the memory.
    measures: u64,
    /// Expectations that change.
    expects: u64,
}

struct Run {
    scheduler: Scheduler,
    /// Every edge ever accepted.
    edges: Vec<(StepId, StepId)>,
    failed: BTreeSet<StepId>,
    cancelled: bool,
    /// Builds that ran out of memory once.
    killed: BTreeSet<StepId>,
    /// What was last said of the memory.
    memory: Option<Memory>,
    /// The steps in the order of their start.
    started: Vec<StepId>,
}

fn simulate(seed: u64, steps: u64, edges: u64, policy: Policy, trouble: Trouble) -> Run {
    let mut random = Random(seed);
    let mut graph = Graph::with_capacity(steps as usize, edges as usize);
    for _ in 0..steps {
        graph.add_step(random.spec());
    }
    // A random order of the steps that is not the order of their ids; all edges follow it.
    let mut order: Vec<u32> = (0..steps as u32).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, random.below(i as u64 + 1) as usize);
    }
    let mut all_edges = Vec::new();
    for _ in 0..if steps < 2 { 0 } else { edges } {
        let later = 1 + random.below(steps - 1);
        let edge = (
            StepId(order[random.below(later) as usize]),
            StepId(order[later as usize]),
        );
        graph.add_edge(edge.0, edge.1);
        all_edges.push(edge);
    }
    let mut run = Run {
        scheduler: Scheduler::new(graph, policy).expect("the edges follow an order"),
        edges: all_edges,
        failed: BTreeSet::new(),
        cancelled: false,
        killed: BTreeSet::new(),
        memory: None,
        started: Vec::new(),
    };
    let mut clock = 0;
    let mut running = BinaryHeap::new();
    loop {
        loop {
            let before: Vec<_> = running.iter().map(|&Reverse((_, step))| step).collect();
            let Some(step) = run.scheduler.next() else {
                check_idleness(&run, policy, &before);
                break;
            };
            check_room(&run, policy, &before, step);
            assert_eq!(run.scheduler.state(step), State::Running);
            for before in run.scheduler.graph().before(step) {
                assert_eq!(
                    run.scheduler.state(before),
                    State::Done,
                    "{step} started before {before}"
                );
            }
            assert!(
                run.failed.is_empty() || policy.keep_going,
                "{step} started after a failure"
            );
            assert!(!run.cancelled, "{step} started after the cancellation");
            let expected = u64::from(run.scheduler.graph().spec(step).expected_ms);
            running.push(Reverse((clock + random.below(2 * expected + 1), step)));
            run.started.push(step);
        }
        check_counts(&run.scheduler, running.len());
        let Some(Reverse((time, step))) = running.pop() else {
            break;
        };
        clock = time;
        let is_build = run.scheduler.graph().spec(step).class == Class::Build;
        let outcome = if run.cancelled && random.percent(50) {
            Outcome::Interrupted
        } else if is_build && random.percent(trouble.kills) {
            let stopping = run.scheduler.is_stopping();
            if !run.killed.insert(step) || stopping {
                run.failed.insert(step);
            }
            Outcome::OutOfMemory
        } else if random.percent(trouble.fails) {
            run.failed.insert(step);
            Outcome::Failed
        } else {
            Outcome::Done
        };
        run.scheduler
            .finished(step, outcome)
            .expect("it is running");
        check_counts(&run.scheduler, running.len());
        if random.percent(trouble.measures) {
            let memory = Memory {
                free: random.below(2000),
                used: random.below(2000),
                pressure: random.percent(10),
            };
            run.scheduler.set_memory(memory);
            run.memory = Some(memory);
        }
        if random.percent(trouble.expects) {
            let count = run.scheduler.graph().len() as u64;
            let step = StepId(random.below(count) as u32);
            run.scheduler.expect(step, random.below(2000) as u32);
        }
        if random.percent(trouble.cancels) {
            run.scheduler.cancel();
            run.cancelled = true;
        }
        if random.percent(trouble.adds) {
            add_some(&mut run, &mut random);
        }
    }
    run
}

/// A new step with random edges to and from older ones, of which the impossible must be refused.
fn add_some(run: &mut Run, random: &mut Random) {
    let count = run.scheduler.graph().len() as u64;
    let new = run.scheduler.add_step(random.spec());
    for _ in 0..4 {
        let old = StepId(random.below(count) as u32);
        let edge = if random.percent(50) {
            (old, new)
        } else {
            (new, old)
        };
        let fixed = !matches!(run.scheduler.state(edge.1), State::Waiting | State::Ready);
        let skipped = matches!(run.scheduler.state(edge.1), State::Skipped { .. });
        let would_cycle = reaches(run.scheduler.graph(), edge.1, edge.0);
        let accepted = run.scheduler.add_edge(edge.0, edge.1).is_ok();
        assert_eq!(
            accepted,
            skipped || !(fixed || would_cycle),
            "edge {edge:?}"
        );
        if accepted && !skipped {
            run.edges.push(edge);
        }
    }
}

fn reaches(graph: &Graph, from: StepId, to: StepId) -> bool {
    let mut pending = vec![from];
    let mut seen = vec![false; graph.len()];
    while let Some(step) = pending.pop() {
        if step == to {
            return true;
        }
        if !std::mem::replace(&mut seen[step.index()], true) {
            pending.extend(graph.after(step));
        }
    }
    false
}

/// The builds among `steps`.
fn builds<'a>(run: &'a Run, steps: &'a [StepId]) -> impl Iterator<Item = StepId> + 'a {
    let is_build = |step: &StepId| run.scheduler.graph().spec(*step).class == Class::Build;
    steps.iter().copied().filter(is_build)
}

/// What must be true when `step` starts beside `running`.
fn check_room(run: &Run, policy: Policy, running: &[StepId], step: StepId) {
    let spec = *run.scheduler.graph().spec(step);
    let count = builds(run, running).count() as u32;
    if spec.class == Class::Download {
        let downloads = running.len() as u32 - count;
        assert!(
            downloads < policy.max_downloads.get(),
            "too many downloads run"
        );
        return;
    }
    assert!(count < policy.max_jobs.get(), "too many builds run");
    if count == 0 {
        return;
    }
    let is_alone = |step| run.killed.contains(&step);
    assert!(!is_alone(step), "{step} is to run alone");
    assert!(
        !builds(run, running).any(is_alone),
        "{step} started beside one that is to run alone"
    );
    let limit = policy.processors.get();
    let graph = run.scheduler.graph();
    let more = |step| graph.spec(step).processors.min(limit) - 1;
    let used: u32 = builds(run, running).map(more).sum();
    assert!(
        more(step) == 0 || used + more(step) <= limit,
        "{step} uses {} processors more, {used} are in use",
        more(step)
    );
    if let Some(memory) = run.memory {
        let promised: u64 = builds(run, running)
            .map(|step| graph.spec(step).memory)
            .sum();
        let left = memory
            .free
            .saturating_sub(promised.saturating_sub(memory.used));
        assert!(!memory.pressure, "{step} started under pressure");
        assert!(spec.memory <= left, "{step} has no memory");
    }
}

/// What must be true when nothing starts: a slot is left empty for a reason only.
fn check_idleness(run: &Run, policy: Policy, running: &[StepId]) {
    let scheduler = &run.scheduler;
    if scheduler.is_stopping() {
        return;
    }
    let count = builds(run, running).count() as u32;
    let ready = |class| {
        let steps = scheduler.graph().steps();
        let mut of_class = steps.filter(move |&step| {
            scheduler.state(step) == State::Ready && scheduler.graph().spec(step).class == class
        });
        of_class.next()
    };
    if (running.len() as u32 - count) < policy.max_downloads.get() {
        assert_eq!(ready(Class::Download), None, "a download could start");
    }
    if count == 0 {
        assert_eq!(ready(Class::Build), None, "a build could start");
    }
}

/// What must be true after every event.
fn check_counts(scheduler: &Scheduler, running: usize) {
    let mut counts = Counts::default();
    for step in scheduler.graph().steps() {
        match scheduler.state(step) {
            State::Waiting => counts.waiting += 1,
            State::Ready => counts.ready += 1,
            State::Running => counts.running += 1,
            State::Done => counts.done += 1,
            State::Failed => counts.failed += 1,
            State::Skipped { .. } => counts.skipped += 1,
        }
    }
    assert_eq!(counts, scheduler.counts());
    assert_eq!(counts.running as usize, running);
}

/// What must be true of every run that has come to its end.
fn check_end(run: &Run) {
    let scheduler = &run.scheduler;
    assert!(scheduler.is_done(), "stuck: {:?}", scheduler.counts());
    let summary = scheduler.summary();
    let counts = scheduler.counts();
    assert_eq!(counts.total() as usize, scheduler.graph().len());
    assert_eq!(
        (
            summary.done,
            summary.failed.len() as u32,
            summary.skipped.len() as u32
        ),
        (counts.done, counts.failed, counts.skipped)
    );
    assert_eq!(
        summary.failed.iter().copied().collect::<BTreeSet<_>>(),
        run.failed
    );
    let mut starts = std::collections::BTreeMap::new();
    for step in &run.started {
        *starts.entry(*step).or_insert(0) += 1;
    }
    for (step, starts) in starts {
        let most = 1 + i32::from(run.killed.contains(&step));
        assert!(starts <= most, "{step} started {starts} times");
    }
    for &(before, after) in &run.edges {
        if scheduler.state(after) == State::Done {
            assert_eq!(
                scheduler.state(before),
                State::Done,
                "{after} was done without {before}"
            );
        }
    }
    for &(step, because) in &summary.skipped {
        match because {
            Because::Failed(failed) => {
                assert!(run.failed.contains(&failed));
                assert!(
                    reaches(scheduler.graph(), failed, step),
                    "{step} does not need {failed}"
                );
            }
            Because::Stopped(failed) => assert!(run.failed.contains(&failed)),
            Because::Cancelled => assert!(run.cancelled),
        }
    }
}

/// With keep-going and no cancellation: done is exactly what needs no failed step.
fn check_keep_going(run: &Run) {
    let graph = run.scheduler.graph();
    let mut doomed = vec![false; graph.len()];
    let mut pending: Vec<_> = run.failed.iter().copied().collect();
    while let Some(step) = pending.pop() {
        if !std::mem::replace(&mut doomed[step.index()], true) {
            pending.extend(graph.after(step));
        }
    }
    for step in run.scheduler.graph().steps() {
        let doomed = doomed[step.index()];
        assert_eq!(run.scheduler.state(step) != State::Done, doomed, "{step}");
    }
}

fn any_policy() -> impl Strategy<Value = Policy> {
    (1_u32..6, 1_u32..6, 1_u32..6, any::<bool>()).prop_map(
        |(jobs, downloads, processors, keep_going)| Policy {
            max_jobs: NonZeroU32::new(jobs).expect("from 1"),
            max_downloads: NonZeroU32::new(downloads).expect("from 1"),
            processors: NonZeroU32::new(processors).expect("from 1"),
            keep_going,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_run_ends_well_or_says_why(
        seed: u64, steps in 0_u64..60, density in 0_u64..5, policy in any_policy(),
        fails in 0_u64..20, cancels in prop_oneof![Just(0_u64), 0_u64..10], adds in prop_oneof![Just(0_u64), 0_u64..60],
        kills in prop_oneof![Just(0_u64), 0_u64..20], measures in prop_oneof![Just(0_u64), 0_u64..100], expects in 0_u64..30,
    ) {
        let trouble = Trouble { fails, cancels, adds, kills, measures, expects };
        let run = simulate(seed, steps, steps * density, policy, trouble);
        check_end(&run);
        if policy.keep_going && !run.cancelled {
            check_keep_going(&run);
        }
        let again = simulate(seed, steps, steps * density, policy, trouble);
        prop_assert_eq!(run.started, again.started, "the same calls must give the same answers");
    }

    #[test]
    fn the_scheduler_is_never_idle_without_need(seed: u64, steps in 1_u64..40, jobs in 1_u32..5) {
        // With one class, weight 1 and durations as expected, this is list scheduling, so at most twice as long as the best
        // schedule (Graham 1966), which takes no less than the longest chain and no less than the work divided by the slots.
        let mut random = Random(seed);
        let mut graph = Graph::new();
        let mut chains: Vec<u64> = Vec::new();
        let mut work = 0;
        for i in 0..steps {
            let expected_ms = 1 + random.below(100) as u32;
            let step = graph.add_step(StepSpec::build(expected_ms));
            work += u64::from(expected_ms);
            let mut longest = 0;
            for _ in 0..random.below(3).min(i) {
                let before = random.below(i) as u32;
                graph.add_edge(StepId(before), step);
                longest = longest.max(chains[before as usize]);
            }
            chains.push(longest + u64::from(expected_ms));
        }
        let bound = chains.iter().max().unwrap() + work / u64::from(jobs);
        let mut scheduler = Scheduler::new(graph, Policy::new(NonZeroU32::new(jobs).unwrap())).unwrap();
        let mut clock = 0;
        let mut running = BinaryHeap::new();
        loop {
            while let Some(step) = scheduler.next() {
                running.push(Reverse((clock + u64::from(scheduler.graph().spec(step).expected_ms), step)));
            }
            let Some(Reverse((time, step))) = running.pop() else { break };
            clock = time;
            scheduler.finished(step, Outcome::Done).unwrap();
        }
        prop_assert!(scheduler.is_done());
        prop_assert!(clock <= bound, "took {} ms, at most {} is possible", clock, bound);
    }
}

#[test]
fn a_large_graph_with_failures_and_additions() {
    let policy = Policy {
        keep_going: true,
        ..Policy::new(NonZeroU32::new(8).unwrap())
    };
    let run = simulate(
        1,
        2_000,
        60_000,
        policy,
        Trouble {
            adds: 30,
            measures: 50,
            ..Trouble::default()
        },
    );
    check_end(&run);
    assert!(run.scheduler.summary().is_success());
}
