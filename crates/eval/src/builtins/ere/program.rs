//! From the tree to states.

use super::EreError;
use super::parse::{ByteSet, Tree};

/// How many states a program may have, as in the original.
pub(crate) const STATE_LIMIT: usize = 100_000;

/// The index of a state.
pub(crate) type StateId = u32;

/// One step of the matcher.
#[derive(Debug, Clone, Copy)]
pub(crate) enum State {
    /// Consume a byte of a set.
    Byte { set: u32, next: StateId },
    /// Try `first`, then `second`; `branch` numbers the branching states.
    Alternative {
        first: StateId,
        second: StateId,
        branch: u32,
    },
    /// Try `body` once more, then `next`. Guarded against running over nothing for ever.
    Repeat {
        body: StateId,
        next: StateId,
        branch: u32,
    },
    /// A group begins.
    Begin { group: u32, next: StateId },
    /// A group ends.
    End { group: u32, next: StateId },
    /// Only at the beginning of the text.
    LineBegin { next: StateId },
    /// Only at the end of the text.
    LineEnd { next: StateId },
    /// The pattern is at its end.
    Accept,
}

/// A compiled pattern.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) states: Vec<State>,
    pub(crate) sets: Vec<ByteSet>,
    pub(crate) start: StateId,
    /// How many groups there are.
    pub(crate) groups: usize,
    /// How many branching states there are.
    pub(crate) branches: u32,
    /// Whether a loop's body may match nothing; then what is reachable from a state depends on how it was reached.
    pub(crate) empty_loops: bool,
    /// The bytes a match may begin with; `None` if it may be empty or begin anywhere.
    pub(crate) first: Option<ByteSet>,
}

impl Program {
    /// Compiles a tree with so many groups (a group that is repeated 0 times is only in their number).
    pub(crate) fn new(tree: &Tree, groups: usize) -> Result<Self, EreError> {
        if cost(tree).saturating_add(4) > STATE_LIMIT {
            return Err(EreError::TooLarge);
        }
        let mut program = Self {
            states: Vec::new(),
            sets: Vec::new(),
            start: 0,
            groups,
            branches: 0,
            empty_loops: false,
            first: None,
        };
        let accept = program.push(State::Accept)?;
        program.start = program.compile(tree, accept)?;
        if !nullable(tree) {
            let mut first = ByteSet::default();
            first_bytes(tree, &mut first);
            program.first = Some(first);
        }
        Ok(program)
    }

    fn push(&mut self, state: State) -> Result<StateId, EreError> {
        self.states.push(state);
        StateId::try_from(self.states.len() - 1).map_err(|_| EreError::TooLarge)
    }

    fn branch(&mut self) -> u32 {
        self.branches += 1;
        self.branches - 1
    }

    /// Compiles `tree` so that it continues at `next`; returns where it begins.
    fn compile(&mut self, tree: &Tree, next: StateId) -> Result<StateId, EreError> {
        match tree {
            Tree::Empty => Ok(next),
            Tree::Set(set) => {
                let index = self.sets.iter().position(|s| s == set).unwrap_or_else(|| {
                    self.sets.push(*set);
                    self.sets.len() - 1
                });
                let set = u32::try_from(index).map_err(|_| EreError::TooLarge)?;
                self.push(State::Byte { set, next })
            }
            Tree::LineBegin => self.push(State::LineBegin { next }),
            Tree::LineEnd => self.push(State::LineEnd { next }),
            Tree::Group(group, body) => {
                let group = u32::try_from(*group).map_err(|_| EreError::TooLarge)?;
                let end = self.push(State::End { group, next })?;
                let body = self.compile(body, end)?;
                self.push(State::Begin { group, next: body })
            }
            Tree::Concat(parts) => parts
                .iter()
                .rev()
                .try_fold(next, |next, part| self.compile(part, next)),
            Tree::Alternatives(all) => {
                // `a|b|c` is `(a|b)|c`, but the order of trying is the same from the right.
                let Some((last, before)) = all.split_last() else {
                    return Ok(next);
                };
                let mut second = self.compile(last, next)?;
                for tree in before.iter().rev() {
                    let first = self.compile(tree, next)?;
                    let branch = self.branch();
                    second = self.push(State::Alternative {
                        first,
                        second,
                        branch,
                    })?;
                }
                Ok(second)
            }
            Tree::Repeat { body, min, max } => self.compile_repeat(body, *min, *max, next),
        }
    }

    fn compile_repeat(
        &mut self,
        body: &Tree,
        min: u32,
        max: Option<u32>,
        next: StateId,
    ) -> Result<StateId, EreError> {
        let mut start = next;
        // Of `x+`, the loop itself is the obligatory run, so its captures are one set of states.
        let mut copies = min;
        match max {
            None => {
                self.empty_loops |= nullable(body);
                let branch = self.branch();
                let repeat = self.push(State::Repeat {
                    body: 0,
                    next,
                    branch,
                })?;
                let body = self.compile(body, repeat)?;
                self.states[repeat as usize] = State::Repeat { body, next, branch };
                start = repeat;
                if min == 1 {
                    start = body;
                    copies = 0;
                }
            }
            Some(max) => {
                for _ in min..max {
                    let body = self.compile(body, start)?;
                    let branch = self.branch();
                    start = self.push(State::Repeat { body, next, branch })?;
                }
            }
        }
        for _ in 0..copies {
            let before = start;
            start = self.compile(body, start)?;
            if start == before {
                break;
            }
        }
        Ok(start)
    }
}

/// How many states the original makes of a tree, which is more than ours, but what its limit counts: every sequence
/// ends in a state of its own, and the body of an interval is there once more than it is used.
fn cost(tree: &Tree) -> usize {
    match tree {
        Tree::Empty => 0,
        Tree::Set(_) | Tree::LineBegin | Tree::LineEnd => 1,
        Tree::Group(_, body) => cost(body).saturating_add(3),
        Tree::Concat(parts) => parts.iter().map(cost).fold(0, usize::saturating_add),
        Tree::Alternatives(all) => all
            .iter()
            .map(cost)
            .fold(3 * (all.len() - 1), usize::saturating_add),
        Tree::Repeat {
            body,
            min: 0 | 1,
            max: None,
        } => cost(body).saturating_add(1),
        Tree::Repeat {
            body,
            min: 0,
            max: Some(1),
        } => cost(body).saturating_add(2),
        Tree::Repeat { body, min, max } => {
            let body = cost(body);
            let needed = body.saturating_mul(*min as usize + 1).saturating_add(2);
            let more = max.map_or(1, |max| (max - min) as usize);
            needed.saturating_add(more.saturating_mul(body + 1))
        }
    }
}

/// Whether a tree may match the empty text.
fn nullable(tree: &Tree) -> bool {
    match tree {
        Tree::Empty | Tree::LineBegin | Tree::LineEnd => true,
        Tree::Set(_) => false,
        Tree::Group(_, body) => nullable(body),
        Tree::Concat(parts) => parts.iter().all(nullable),
        Tree::Alternatives(all) => all.iter().any(nullable),
        Tree::Repeat { body, min, .. } => *min == 0 || nullable(body),
    }
}

/// Adds the bytes that a match may begin with.
fn first_bytes(tree: &Tree, first: &mut ByteSet) {
    match tree {
        Tree::Empty | Tree::LineBegin | Tree::LineEnd => {}
        Tree::Set(set) => first.union(set),
        Tree::Group(_, body) => first_bytes(body, first),
        Tree::Concat(parts) => {
            for part in parts {
                first_bytes(part, first);
                if !nullable(part) {
                    break;
                }
            }
        }
        Tree::Alternatives(all) => all.iter().for_each(|tree| first_bytes(tree, first)),
        Tree::Repeat { body, max, .. } => {
            if *max != Some(0) {
                first_bytes(body, first);
            }
        }
    }
}
