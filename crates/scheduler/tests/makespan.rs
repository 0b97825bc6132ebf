//! How good the schedules are, on recorded graphs of real builds and on made ones, beside first come first served, as stock Nix does
//! it. All by expected durations: nothing here is measured, so nothing depends on the machine.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::num::NonZeroU32;

use xbuild_scheduler::{Class, Forecast, Graph, Policy, StepId, StepSpec};

/// A graph of `graphs/`, one step a line: `build` or `fetch`, milliseconds, and the lines (from 0) of the steps before it. Recorded
/// with `xbuild realise --dry-run --json` and `graphs/record`.
fn recorded(text: &str) -> Graph {
    let mut graph = Graph::new();
    let mut edges = Vec::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let class = words.next().unwrap();
        let expected_ms = words.next().unwrap().parse().unwrap();
        let step = graph.add_step(match class {
            "build" => StepSpec::build(expected_ms),
            "fetch" => StepSpec::download(expected_ms),
            other => panic!("{other} is no kind of step"),
        });
        edges.extend(words.map(|before| (StepId(before.parse().unwrap()), step)));
    }
    for (before, after) in edges {
        graph.add_edge(before, after);
    }
    graph
}

/// Steps in layers, each waiting for some of the layer before; durations as in a distribution: most short, few very long.
fn layered(seed: u64, layers: u64, width: u64) -> Graph {
    let mut state = seed;
    let mut random = move |bound: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let mut graph = Graph::new();
    for layer in 0..layers {
        for _ in 0..width {
            // Four in five short, one in five up to 100 times as long.
            let expected = match random(5) {
                0 => 1_000 * (1 + random(100)),
                _ => 500 + random(3_000),
            };
            let step = graph.add_step(StepSpec::build(expected as u32));
            for _ in 0..if layer == 0 { 0 } else { 1 + random(3) } {
                let before = (layer - 1) * width + random(width);
                graph.add_edge(StepId(before as u32), step);
            }
        }
    }
    graph
}

/// The makespan if whatever is ready starts in the order in which it became so.
fn first_come_first_served(graph: &Graph, policy: Policy) -> u64 {
    let mut missing: Vec<usize> = graph
        .steps()
        .map(|step| graph.before(step).count())
        .collect();
    let index = |class| usize::from(class == Class::Download);
    let limits = [policy.max_jobs.get(), policy.max_downloads.get()];
    let mut queues = [VecDeque::new(), VecDeque::new()];
    let mut running_of = [0_u32; 2];
    for step in graph.steps().filter(|step| missing[step.index()] == 0) {
        queues[index(graph.spec(step).class)].push_back(step);
    }
    let mut running: BinaryHeap<Reverse<(u64, StepId)>> = BinaryHeap::new();
    let mut now = 0;
    loop {
        for class in 0..2 {
            while running_of[class] < limits[class]
                && let Some(step) = queues[class].pop_front()
            {
                running_of[class] += 1;
                running.push(Reverse((
                    now + u64::from(graph.spec(step).expected_ms),
                    step,
                )));
            }
        }
        let Some(Reverse((end, step))) = running.pop() else {
            return now;
        };
        now = end;
        running_of[index(graph.spec(step).class)] -= 1;
        let mut after: Vec<StepId> = graph.after(step).collect();
        after.sort_unstable();
        for after in after {
            missing[after.index()] -= 1;
            if missing[after.index()] == 0 {
                queues[index(graph.spec(after).class)].push_back(after);
            }
        }
    }
}

fn graphs() -> Vec<(&'static str, Graph)> {
    vec![
        (
            "i.MX image",
            recorded(include_str!("graphs/nxp-imx8mp-evk-debug.txt")),
        ),
        (
            "Jetson image",
            recorded(include_str!("graphs/nvidia-jetson-orin-agx-debug.txt")),
        ),
        (
            "all packages",
            recorded(include_str!("graphs/packages.txt")),
        ),
        ("20 layers of 40", layered(1, 20, 40)),
        ("100 layers of 8", layered(2, 100, 8)),
        ("4 layers of 500", layered(3, 4, 500)),
    ]
}

#[test]
fn within_a_tenth_of_the_lower_bound_and_better_than_in_order() {
    let (mut ours, mut theirs) = (0, 0);
    for (name, graph) in graphs() {
        for jobs in [1, 2, 4, 8, 16] {
            let policy = Policy::new(NonZeroU32::new(jobs).unwrap());
            let forecast = Forecast::of(graph.clone(), policy).unwrap();
            let bound = forecast.lower_bound(jobs);
            let in_order = first_come_first_served(&graph, policy);
            println!(
                "{name:16} -j{jobs:<2} bound {bound:>9} ms, critical path first {:>5.1} %, in order {:>5.1} %",
                100.0 * forecast.makespan as f64 / bound as f64,
                100.0 * in_order as f64 / bound as f64
            );
            assert!(forecast.makespan >= bound || forecast.build_work == 0);
            assert!(
                forecast.makespan * 10 <= bound * 11,
                "{name} with -j{jobs} takes {} ms, and {bound} ms is the least",
                forecast.makespan
            );
            assert!(
                forecast.makespan <= in_order,
                "{name} with -j{jobs} takes {} ms, in order {in_order} ms",
                forecast.makespan
            );
            ours += forecast.makespan;
            theirs += in_order;
        }
    }
    assert!(ours < theirs);
}
