//! The scheduler's own cost: graphs whose steps take no time. `cargo bench -p xbuild-scheduler`.

use std::num::NonZeroU32;

use divan::{AllocProfiler, Bencher, black_box};
use xbuild_scheduler::{Graph, Outcome, Policy, Scheduler, StepId, StepSpec};

/// Prints the peak memory beside the times.
#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// Each step waits for up to four of the 1,000 steps before it, chosen by a fixed sequence.
fn layered(steps: u32) -> Graph {
    let mut graph = Graph::with_capacity(steps as usize, 4 * steps as usize);
    let mut random = 1_u32;
    for i in 0..steps {
        let step = graph.add_step(StepSpec::build(random % 1000));
        for _ in 0..4.min(i) {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            graph.add_edge(StepId(i - 1 - (random >> 8) % i.min(1000)), step);
        }
    }
    graph
}

fn drive(mut scheduler: Scheduler) -> Scheduler {
    let mut running = std::collections::VecDeque::new();
    loop {
        while let Some(step) = scheduler.next() {
            running.push_back(step);
        }
        let Some(step) = running.pop_front() else {
            return scheduler;
        };
        scheduler
            .finished(step, Outcome::Done)
            .expect("it is running");
    }
}

fn policy() -> Policy {
    Policy::new(NonZeroU32::new(16).expect("not 0"))
}

/// Building the graph, computing the priorities, running it.
#[divan::bench(args = [1_000, 250_000], sample_count = 10)]
fn no_op_steps(steps: u32) -> bool {
    let scheduler = drive(Scheduler::new(layered(black_box(steps)), policy()).expect("no cycle"));
    assert_eq!(scheduler.summary().done, steps);
    scheduler.is_done()
}

/// All steps independent of each other: the ready queue at its largest.
#[divan::bench(args = [250_000], sample_count = 10)]
fn independent_steps(bencher: Bencher<'_, '_>, steps: u32) {
    bencher
        .with_inputs(|| {
            let mut graph = Graph::new();
            for i in 0..steps {
                graph.add_step(StepSpec::build(i % 977));
            }
            graph
        })
        .bench_values(|graph| drive(Scheduler::new(graph, policy()).expect("no cycle")).is_done());
}

/// All steps are added while the graph runs, each put before one that is there already.
#[divan::bench(args = [250_000], sample_count = 10)]
fn added_on_the_way(steps: u32) -> bool {
    let mut scheduler = Scheduler::new(Graph::new(), policy()).expect("no cycle");
    for i in 0..steps {
        let step = scheduler.add_step(StepSpec::build(i % 977));
        if i > 0 {
            scheduler
                .add_edge(step, StepId(i - 1 - i % i.min(100)))
                .expect("possible");
        }
    }
    drive(scheduler).is_done()
}
