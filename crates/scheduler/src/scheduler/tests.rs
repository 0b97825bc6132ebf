//! Small graphs, each for one rule. Large random ones are in `tests/simulation.rs`.

use std::num::NonZeroU32;

use super::*;

fn policy(jobs: u32, keep_going: bool) -> Policy {
    Policy {
        keep_going,
        ..Policy::new(NonZeroU32::new(jobs).unwrap())
    }
}

/// A graph of builds with these durations and edges.
fn graph(durations: &[u32], edges: &[(u32, u32)]) -> Graph {
    let mut graph = Graph::new();
    for &ms in durations {
        graph.add_step(StepSpec::build(ms));
    }
    for &(before, after) in edges {
        graph.add_edge(StepId(before), StepId(after));
    }
    graph
}

fn start_all(scheduler: &mut Scheduler) -> Vec<u32> {
    std::iter::from_fn(|| scheduler.next())
        .map(|step| step.0)
        .collect()
}

#[test]
fn the_longest_chain_goes_first() {
    // 0 is long itself; 1 is short, but 3 and then 4 wait for it.
    let graph = graph(&[50, 1, 10, 20, 40], &[(1, 3), (3, 4)]);
    let mut scheduler = Scheduler::new(graph, policy(1, false)).unwrap();
    let mut order = Vec::new();
    while let Some(step) = scheduler.next() {
        order.push(step.0);
        scheduler.finished(step, Outcome::Done).unwrap();
    }
    assert_eq!(order, [1, 3, 0, 4, 2]);
    assert!(scheduler.is_done());
    assert_eq!(
        scheduler.summary(),
        Summary {
            done: 5,
            ..Summary::default()
        }
    );
}

#[test]
fn equally_urgent_steps_go_in_the_order_of_their_addition() {
    let mut scheduler = Scheduler::new(graph(&[7; 5], &[]), policy(3, false)).unwrap();
    assert_eq!(start_all(&mut scheduler), [0, 1, 2]);
}

#[test]
fn classes_do_not_take_each_others_slots() {
    let mut graph = Graph::new();
    for _ in 0..3 {
        graph.add_step(StepSpec::build(10));
        graph.add_step(StepSpec::download(1));
    }
    let two = NonZeroU32::new(2).unwrap();
    let policy = Policy {
        max_downloads: two,
        ..policy(1, false)
    };
    let mut scheduler = Scheduler::new(graph, policy).unwrap();
    assert_eq!(start_all(&mut scheduler), [0, 1, 3]);
    scheduler.finished(StepId(3), Outcome::Done).unwrap();
    assert_eq!(start_all(&mut scheduler), [5]);
}

fn wide(processors: u32, expected_ms: u32) -> StepSpec {
    StepSpec {
        processors,
        ..StepSpec::build(expected_ms)
    }
}

#[test]
fn builds_on_several_processors_share_them() {
    let mut graph = Graph::new();
    for (processors, expected_ms) in [(9, 50), (2, 40), (1, 30), (2, 20), (1, 10)] {
        graph.add_step(wide(processors, expected_ms));
    }
    let policy = Policy {
        processors: NonZeroU32::new(4).unwrap(),
        ..policy(4, false)
    };
    let mut scheduler = Scheduler::new(graph, policy).unwrap();
    assert_eq!(
        start_all(&mut scheduler),
        [0, 1, 2, 4],
        "the first counts as all four, so one more of two fits, and others of one"
    );
    scheduler.finished(StepId(2), Outcome::Done).unwrap();
    assert_eq!(start_all(&mut scheduler), [0; 0]);
    scheduler.finished(StepId(0), Outcome::Done).unwrap();
    assert_eq!(start_all(&mut scheduler), [3]);
}

fn heavy(memory: u64, expected_ms: u32) -> StepSpec {
    StepSpec {
        memory,
        ..StepSpec::build(expected_ms)
    }
}

fn free(free: u64, used: u64) -> Memory {
    Memory {
        free,
        used,
        pressure: false,
    }
}

#[test]
fn what_does_not_fit_into_memory_waits() {
    let mut graph = Graph::new();
    for (memory, expected_ms) in [(60, 50), (60, 40), (30, 30), (0, 20), (70, 10)] {
        graph.add_step(heavy(memory, expected_ms));
    }
    let mut scheduler = Scheduler::new(graph, policy(4, false)).unwrap();
    scheduler.set_memory(free(100, 0));
    assert_eq!(start_all(&mut scheduler), [0, 2, 3]);
    assert!(scheduler.is_short());
    // They have claimed what they were expected to.
    scheduler.set_memory(free(10, 90));
    assert_eq!(start_all(&mut scheduler), [0; 0]);
    // Something else of the machine has ended.
    scheduler.set_memory(free(60, 90));
    assert_eq!(start_all(&mut scheduler), [1]);
    for step in 0..4 {
        scheduler.finished(StepId(step), Outcome::Done).unwrap();
    }
    scheduler.set_memory(free(10, 0));
    assert_eq!(
        start_all(&mut scheduler),
        [4],
        "alone, it is tried in any case"
    );
}

#[test]
fn nothing_starts_beside_others_under_pressure() {
    let mut scheduler = Scheduler::new(graph(&[2, 1], &[]), policy(2, false)).unwrap();
    let pressure = Memory {
        pressure: true,
        ..free(1 << 40, 0)
    };
    scheduler.set_memory(pressure);
    assert_eq!(start_all(&mut scheduler), [0]);
    scheduler.set_memory(free(1 << 40, 0));
    assert_eq!(start_all(&mut scheduler), [1]);
}

#[test]
fn a_build_without_memory_is_tried_once_more_and_alone() {
    let mut scheduler = Scheduler::new(graph(&[9, 5, 1], &[]), policy(2, true)).unwrap();
    assert_eq!(start_all(&mut scheduler), [0, 1]);
    scheduler.finished(StepId(0), Outcome::OutOfMemory).unwrap();
    assert_eq!(scheduler.state(StepId(0)), State::Ready);
    assert_eq!(start_all(&mut scheduler), [2]);
    scheduler.finished(StepId(1), Outcome::Done).unwrap();
    assert_eq!(start_all(&mut scheduler), [0; 0]);
    scheduler.finished(StepId(2), Outcome::Done).unwrap();
    assert_eq!(start_all(&mut scheduler), [0]);
    scheduler.finished(StepId(0), Outcome::OutOfMemory).unwrap();
    assert_eq!(scheduler.state(StepId(0)), State::Failed);
    assert!(scheduler.is_done());
}

#[test]
fn what_waits_for_room_is_not_overtaken_for_ever() {
    let mut graph = Graph::new();
    graph.add_step(heavy(40, 1000));
    graph.add_step(heavy(80, 900));
    for _ in 0..3 * PATIENCE {
        graph.add_step(heavy(1, 10));
    }
    let mut scheduler = Scheduler::new(graph, policy(2, false)).unwrap();
    scheduler.set_memory(free(100, 0));
    assert_eq!(start_all(&mut scheduler), [0, 2]);
    let mut started = 1;
    let mut last = StepId(2);
    loop {
        scheduler.finished(last, Outcome::Done).unwrap();
        let Some(step) = scheduler.next() else { break };
        started += 1;
        last = step;
    }
    assert_eq!(started, PATIENCE);
    scheduler.finished(StepId(0), Outcome::Done).unwrap();
    assert_eq!(start_all(&mut scheduler), [1, 2 + PATIENCE]);
}

#[test]
fn expectations_change_the_order() {
    // 0 → 2, 1 → 3
    let mut scheduler =
        Scheduler::new(graph(&[1, 2, 1, 1], &[(0, 2), (1, 3)]), policy(1, false)).unwrap();
    scheduler.expect(StepId(2), 100);
    assert_eq!(start_all(&mut scheduler), [0]);
    scheduler.expect(StepId(2), 1);
    scheduler.expect(StepId(1), 50);
    scheduler.expect(StepId(1), 2);
    scheduler.finished(StepId(0), Outcome::Done).unwrap();
    assert_eq!(start_all(&mut scheduler), [1]);
}

#[test]
fn a_failure_stops_the_run_when_running_steps_have_ended() {
    let graph = graph(&[5, 4, 3, 2], &[(0, 2)]);
    let mut scheduler = Scheduler::new(graph, policy(2, false)).unwrap();
    assert_eq!(start_all(&mut scheduler), [0, 1]);
    scheduler.finished(StepId(0), Outcome::Failed).unwrap();
    assert!(scheduler.is_stopping() && !scheduler.is_done());
    assert_eq!(scheduler.next(), None);
    assert_eq!(scheduler.state(StepId(3)), State::Ready);
    scheduler.finished(StepId(1), Outcome::Done).unwrap();
    assert!(scheduler.is_done());
    assert_eq!(
        scheduler.summary(),
        Summary {
            done: 1,
            failed: vec![StepId(0)],
            skipped: vec![
                (StepId(2), Because::Failed(StepId(0))),
                (StepId(3), Because::Stopped(StepId(0)))
            ],
        }
    );
}

#[test]
fn keep_going_skips_only_what_needs_the_failure() {
    // 0 → 1 → 2, 3 → 4, and 5 needs both 1 and 4.
    let graph = graph(
        &[9, 1, 1, 1, 1, 1],
        &[(0, 1), (1, 2), (3, 4), (1, 5), (4, 5)],
    );
    let mut scheduler = Scheduler::new(graph, policy(1, true)).unwrap();
    while let Some(step) = scheduler.next() {
        let outcome = if step.0 == 0 {
            Outcome::Failed
        } else {
            Outcome::Done
        };
        scheduler.finished(step, outcome).unwrap();
    }
    assert!(scheduler.is_done());
    let because = Because::Failed(StepId(0));
    assert_eq!(
        scheduler.summary(),
        Summary {
            done: 2,
            failed: vec![StepId(0)],
            skipped: vec![
                (StepId(1), because),
                (StepId(2), because),
                (StepId(5), because)
            ],
        }
    );
}

#[test]
fn cancelling_waits_for_running_steps() {
    let mut scheduler = Scheduler::new(graph(&[3, 2, 1], &[(0, 2)]), policy(1, true)).unwrap();
    assert_eq!(start_all(&mut scheduler), [0]);
    scheduler.cancel();
    assert!(!scheduler.is_done());
    scheduler.finished(StepId(0), Outcome::Interrupted).unwrap();
    assert!(scheduler.is_done());
    assert_eq!(
        scheduler.counts(),
        Counts {
            skipped: 3,
            ..Counts::default()
        }
    );
    assert_eq!(
        scheduler.state(StepId(2)),
        State::Skipped {
            because: Because::Cancelled
        }
    );
}

#[test]
fn cancelling_when_nothing_runs_ends_the_run() {
    let mut scheduler = Scheduler::new(graph(&[1, 1], &[]), policy(1, false)).unwrap();
    scheduler.cancel();
    assert!(scheduler.is_done());
    let late = scheduler.add_step(StepSpec::build(1));
    assert_eq!(
        scheduler.state(late),
        State::Skipped {
            because: Because::Cancelled
        }
    );
}

#[test]
fn a_cycle_is_named_and_nothing_else() {
    // 0 waits for the cycle, the cycle waits for 4.
    let graph = graph(&[1; 5], &[(3, 1), (1, 2), (2, 3), (3, 0), (4, 1)]);
    let error = Scheduler::new(graph, policy(1, false)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "these steps wait for each other: step 1 → step 2 → step 3 → step 1"
    );
    let Error::Cycle(cycle) = error else {
        panic!("not a cycle: {error}")
    };
    let names = ["a", "b", "c", "d", "e"];
    assert_eq!(cycle.describe(|step| names[step.index()]), "b → c → d → b");
}

#[test]
fn a_step_that_waits_for_itself_is_a_cycle() {
    let error = Scheduler::new(graph(&[1], &[(0, 0)]), policy(1, false)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "these steps wait for each other: step 0 → step 0"
    );
}

#[test]
fn an_added_edge_that_closes_a_cycle_is_refused() {
    let mut scheduler =
        Scheduler::new(graph(&[1; 4], &[(0, 1), (1, 2), (2, 3)]), policy(1, false)).unwrap();
    let error = scheduler.add_edge(StepId(2), StepId(0)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "these steps wait for each other: step 0 → step 1 → step 2 → step 0"
    );
    let error = scheduler.add_edge(StepId(1), StepId(1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "these steps wait for each other: step 1 → step 1"
    );
    assert_eq!(
        start_all(&mut scheduler),
        [0],
        "the refusals changed nothing"
    );
}

#[test]
fn steps_put_before_a_ready_step_make_it_wait() {
    let mut scheduler = Scheduler::new(graph(&[5, 5], &[(0, 1)]), policy(4, false)).unwrap();
    let first = scheduler.next().unwrap();
    let dependency = scheduler.add_step(StepSpec::download(3));
    scheduler.add_edge(dependency, StepId(1)).unwrap();
    scheduler.finished(first, Outcome::Done).unwrap();
    assert_eq!(scheduler.state(StepId(1)), State::Waiting);
    assert_eq!(scheduler.next(), Some(dependency));
    scheduler.finished(dependency, Outcome::Done).unwrap();
    assert_eq!(scheduler.next(), Some(StepId(1)));
    let error = scheduler.add_edge(dependency, StepId(1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "step 2 cannot be put before step 1, which has started already (it is Running)"
    );
}

#[test]
fn an_added_edge_makes_what_it_waits_for_more_urgent() {
    // 1 and 2 are independent; a long step put after 2 makes 2 and so 0 urgent.
    let mut scheduler = Scheduler::new(graph(&[1, 10, 1], &[(0, 2)]), policy(1, false)).unwrap();
    let long = scheduler.add_step(StepSpec::build(100));
    scheduler.add_edge(StepId(2), long).unwrap();
    let mut order = Vec::new();
    while let Some(step) = scheduler.next() {
        order.push(step.0);
        scheduler.finished(step, Outcome::Done).unwrap();
    }
    assert_eq!(order, [0, 2, 3, 1]);
}

#[test]
fn priorities_put_off_are_made_up_for() {
    // A chain far longer than one added edge may look at, and edges enough to make the scheduler compute all anew.
    let steps = RAISE_LIMIT as u32 * 3;
    let chain: Vec<_> = (1..steps).map(|i| (i - 1, i)).collect();
    let mut graph = graph(&vec![1; steps as usize], &chain);
    let rival = graph.add_step(StepSpec::build(steps + 500));
    let mut scheduler = Scheduler::new(graph, policy(1, false)).unwrap();
    for extra in 1..=4 {
        let last = scheduler.add_step(StepSpec::build(1000 * extra));
        scheduler.add_edge(StepId(steps - 1), last).unwrap();
    }
    assert_eq!(
        scheduler.next(),
        Some(StepId(0)),
        "else {rival} would be the most urgent"
    );
}

#[test]
fn what_waits_for_a_failed_step_is_skipped_when_added() {
    let mut scheduler = Scheduler::new(graph(&[1, 1], &[]), policy(1, true)).unwrap();
    let failed = scheduler.next().unwrap();
    scheduler.finished(failed, Outcome::Failed).unwrap();
    let late = scheduler.add_step(StepSpec::build(1));
    let later = scheduler.add_step(StepSpec::build(1));
    scheduler.add_edge(late, later).unwrap();
    scheduler.add_edge(failed, late).unwrap();
    for step in [late, later] {
        assert_eq!(
            scheduler.state(step),
            State::Skipped {
                because: Because::Failed(failed)
            }
        );
    }
    assert_eq!(start_all(&mut scheduler), [1]);
}

#[test]
fn reports_about_steps_that_do_not_run_are_refused() {
    let mut scheduler = Scheduler::new(graph(&[1], &[]), policy(1, true)).unwrap();
    let error = scheduler.finished(StepId(0), Outcome::Done).unwrap_err();
    assert_eq!(
        error.to_string(),
        "step 0 was reported as finished, but it is not running (it is Ready)"
    );
    let step = scheduler.next().unwrap();
    scheduler.finished(step, Outcome::Done).unwrap();
    let error = scheduler.finished(step, Outcome::Done).unwrap_err();
    assert_eq!(
        error,
        Error::NotRunning {
            step,
            state: State::Done
        }
    );
}

#[test]
fn an_empty_graph_is_done() {
    let mut scheduler = Scheduler::new(Graph::new(), policy(1, false)).unwrap();
    assert!(scheduler.is_done());
    assert_eq!(scheduler.next(), None);
    assert!(scheduler.summary().is_success());
}
