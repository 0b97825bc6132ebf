//! Builds that take, keep, give back and make up tokens at random, against a keeper of pipes that only counts bytes.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use xbuild_scheduler::{IDLE_MS, Move, ROTATION_MS, SeatId, Tokens};

/// A build with its pipe.
#[derive(Debug, Default)]
struct Build {
    own: u32,
    limit: u32,
    /// Bytes in the pipe.
    pipe: u32,
    /// Tokens that it took and has not given back.
    has: u32,
    /// It wrote bytes that it never read.
    hostile: bool,
}

struct World {
    tokens: Tokens,
    capacity: u32,
    builds: BTreeMap<SeatId, Build>,
    now: u64,
}

impl World {
    fn new(capacity: u32) -> Self {
        Self {
            tokens: Tokens::new(capacity),
            capacity,
            builds: BTreeMap::new(),
            now: 0,
        }
    }

    fn join(&mut self, own: u32, limit: u32) -> SeatId {
        let id = self.tokens.join(own, limit, self.now);
        let build = Build {
            own,
            limit,
            ..Build::default()
        };
        self.builds.insert(id, build);
        id
    }

    /// A build takes a token if one lies in its pipe.
    fn take(&mut self, id: SeatId) -> bool {
        let build = self.builds.get_mut(&id).unwrap();
        let there = build.pipe > 0;
        build.pipe -= u32::from(there);
        build.has += u32::from(there);
        there
    }

    fn give_back(&mut self, id: SeatId) {
        let build = self.builds.get_mut(&id).unwrap();
        if build.has > 0 {
            build.has -= 1;
            build.pipe += 1;
        }
    }

    /// The keeper wakes up.
    fn keep(&mut self) {
        for (id, build) in &mut self.builds {
            let surplus = self.tokens.observe(*id, build.pipe, self.now);
            assert!(surplus <= build.pipe);
            build.pipe -= surplus;
            self.tokens.withdrawn(*id, surplus, self.now);
        }
        while let Some(step) = self.tokens.next_move(self.now) {
            match step {
                Move::Offer(id) => {
                    self.builds.get_mut(&id).unwrap().pipe += 1;
                    self.tokens.offered(id, true, self.now);
                    assert!(
                        self.in_use() <= self.capacity,
                        "more was offered than there is"
                    );
                }
                Move::Withdraw(id) => {
                    let build = self.builds.get_mut(&id).unwrap();
                    let there = build.pipe.min(1);
                    build.pipe -= there;
                    self.tokens.unused(id, there, self.now);
                }
            }
        }
        self.check();
    }

    /// What the keeper believes to be held or offered.
    fn in_use(&self) -> u32 {
        let offered = |id: &SeatId| self.builds[id].pipe;
        self.tokens.held() + self.builds.keys().map(offered).sum::<u32>()
    }

    fn check(&self) {
        let own: u32 = self.builds.values().map(|build| build.own).sum();
        let mut held = own;
        for (id, build) in &self.builds {
            let lent = self.tokens.lent(*id);
            assert!(lent <= build.limit);
            assert!(build.pipe <= 1, "a pipe holds one offer at most");
            if !build.hostile {
                assert_eq!(lent, build.has);
            }
            held += lent;
        }
        assert_eq!(self.tokens.held(), held);
        if self.in_use() < self.capacity {
            for (id, build) in &self.builds {
                assert!(
                    build.pipe == 1 || self.tokens.lent(*id) == build.limit,
                    "a token is left, and {build:?} is offered none"
                );
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Event {
    Join { own: u32, limit: u32 },
    Leave(usize),
    Take(usize),
    GiveBack(usize),
    MakeUp(usize, u32),
    Wait(u64),
    Keep,
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        1 => (1_u32..4, 0_u32..8).prop_map(|(own, limit)| Event::Join { own, limit }),
        1 => any::<usize>().prop_map(Event::Leave),
        6 => any::<usize>().prop_map(Event::Take),
        4 => any::<usize>().prop_map(Event::GiveBack),
        1 => (any::<usize>(), 1_u32..5).prop_map(|(at, n)| Event::MakeUp(at, n)),
        2 => (0_u64..2 * IDLE_MS).prop_map(Event::Wait),
        4 => Just(Event::Keep),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_token_is_accounted_for(capacity in 1_u32..9, events in prop::collection::vec(any_event(), 0..80)) {
        let mut world = World::new(capacity);
        for event in events {
            let id = |at: usize| world.builds.keys().nth(at % world.builds.len().max(1)).copied();
            match event {
                Event::Join { own, limit } if world.builds.len() < 6 => {
                    world.join(own, limit);
                }
                Event::Join { .. } => {}
                Event::Leave(at) => {
                    if let Some(id) = id(at) {
                        world.tokens.leave(id);
                        world.builds.remove(&id);
                    }
                }
                Event::Take(at) => {
                    if let Some(id) = id(at) {
                        world.take(id);
                    }
                }
                Event::GiveBack(at) => {
                    if let Some(id) = id(at) {
                        world.give_back(id);
                    }
                }
                Event::MakeUp(at, n) => {
                    if let Some(id) = id(at) {
                        let build = world.builds.get_mut(&id).unwrap();
                        build.pipe += n;
                        build.hostile = true;
                    }
                }
                Event::Wait(ms) => world.now += ms,
                Event::Keep => world.keep(),
            }
        }
        for (id, _) in std::mem::take(&mut world.builds) {
            world.tokens.leave(id);
        }
        prop_assert_eq!(world.tokens.held(), 0);
    }
}

#[test]
fn a_build_takes_all_that_no_other_uses() {
    let mut world = World::new(8);
    let busy = world.join(1, 7);
    let idle = world.join(1, 7);
    let mut waited = 0;
    while world.tokens.lent(busy) < 6 {
        world.keep();
        if !world.take(busy) {
            world.now += 1;
            waited += 1;
            assert!(
                waited < 2 * ROTATION_MS,
                "the last token stays with {idle:?}"
            );
        }
    }
    assert_eq!(world.tokens.held(), 8);
}

#[test]
fn an_idle_build_that_wakes_up_is_served_before_one_that_has_much() {
    let mut world = World::new(4);
    let rich = world.join(1, 3);
    world.keep();
    while world.take(rich) {
        world.keep();
    }
    let poor = world.join(1, 3);
    world.keep();
    assert_eq!(
        world.tokens.held(),
        5,
        "one more than there is, for the new build"
    );
    world.give_back(rich);
    world.keep();
    assert!(!world.take(poor), "first the sum must be right");
    world.give_back(rich);
    world.keep();
    assert!(world.take(poor));
    world.keep();
    assert_eq!((world.tokens.lent(rich), world.tokens.lent(poor)), (1, 1));
}

#[test]
fn what_a_dead_build_held_is_free() {
    let mut world = World::new(3);
    let dies = world.join(1, 2);
    let lives = world.join(1, 2);
    for _ in 0..2 {
        world.keep();
        world.take(dies);
    }
    world.keep();
    assert_eq!(world.tokens.leave(dies), 1);
    world.builds.remove(&dies);
    for _ in 0..2 {
        world.keep();
        assert!(world.take(lives));
    }
}
