//! The matcher: depth-first in the order of the pattern.
//!
//! A loop or option is content with the first way that leads to a match. Of alternatives all are tried, and the longest
//! match is kept (the first among equals). So `a|ab` finds `ab` in `abc`, but `(a?)(ab)?` finds `a` in `ab`: neither
//! what POSIX says nor what Perl does, but what expressions rely on.
//!
//! A branching state that was tried at a position before leads to nothing that is longer than what its first try led
//! to, so only whether it led to a match is looked up: that bounds the work to branches × positions. Only where a loop's
//! body may be empty the second try may differ; such patterns are first explored exactly, up to [`EXACT_STEPS`].

use super::program::{Program, State, StateId};

/// How many steps a pattern with possibly empty loop bodies may take before it is matched with memory.
const EXACT_STEPS: u64 = 1 << 20;

/// After how many steps it is asked whether to go on.
const STOP_STEPS: u64 = 1 << 12;

/// Marks an unset position.
const NONE: usize = usize::MAX;

/// Where a match and its groups begin and end.
#[derive(Debug, Clone)]
pub(crate) struct Captures {
    whole: (usize, usize),
    groups: Vec<(usize, usize)>,
}

impl Captures {
    /// The range of the whole match.
    pub(crate) fn whole(&self) -> (usize, usize) {
        self.whole
    }

    /// The ranges of the groups, `None` for one that took no part.
    pub(crate) fn groups(&self) -> impl ExactSizeIterator<Item = Option<(usize, usize)>> + '_ {
        self.groups
            .iter()
            .map(|&(from, to)| (to != NONE).then_some((from, to)))
    }
}

/// What a match must fulfil.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Reach the end of the text.
    Full,
    /// End anywhere, the longest.
    Prefix,
    /// End anywhere but where it began.
    NonEmptyPrefix,
}

/// What is left to do when a path has come to its end.
enum Job {
    /// Explore from a state.
    Explore(StateId, usize),
    /// The first alternative was explored: explore the second.
    Second {
        state: StateId,
        at: usize,
        branch: u32,
    },
    /// The second alternative was explored; whether the first one matched.
    Join { first: bool, at: usize, branch: u32 },
    /// The body of a loop was explored: unless it matched, go on behind the loop.
    Leave {
        next: StateId,
        at: usize,
        branch: u32,
    },
    /// All that a branch leads to was explored.
    Done { at: usize, branch: u32 },
    /// Undo the begin of a group.
    SetBegin(u32, usize),
    /// Undo the end of a group.
    SetEnd(u32, usize),
    /// Undo the entry into a loop.
    SetRun(u32, (usize, u8)),
}

struct Searcher<'a> {
    program: &'a Program,
    text: &'a [u8],
    /// Whether to end without a match.
    stop: &'a dyn Fn() -> bool,
    /// Where `^` matches, if anywhere.
    line_begin: Option<usize>,
    jobs: Vec<Job>,
    groups: Vec<(usize, usize)>,
    /// For each branch and position the round it was last tried in, doubled, and 1 more if that led to a match.
    tried: Vec<u32>,
    /// Even.
    round: u32,
    /// The position of each repeat's last entry and how often it was entered there (at most twice).
    runs: Vec<(usize, u8)>,
}

/// The exact search took too long.
struct OutOfSteps;

impl<'a> Searcher<'a> {
    fn new(program: &'a Program, text: &'a [u8], stop: &'a dyn Fn() -> bool) -> Self {
        Self {
            program,
            text,
            stop,
            line_begin: Some(0),
            jobs: Vec::new(),
            groups: vec![(0, NONE); program.groups],
            tried: Vec::new(),
            round: 0,
            runs: Vec::new(),
        }
    }

    /// Forgets which branches were tried.
    fn next_round(&mut self) {
        self.round = self.round.wrapping_add(2);
        if self.round == 0 || self.tried.is_empty() {
            self.round = 2;
            self.tried.clear();
            self.tried
                .resize(self.program.branches as usize * (self.text.len() + 1), 0);
        }
    }

    fn run(&mut self, start: usize, mode: Mode) -> Option<Captures> {
        if self.program.empty_loops {
            if let Ok(found) = self.explore::<true>(start, mode) {
                return found;
            }
            self.next_round();
        }
        self.explore::<false>(start, mode).ok().flatten()
    }

    /// The best match from `start`. `EXACT` counts runs of loops instead of remembering branches.
    fn explore<const EXACT: bool>(
        &mut self,
        start: usize,
        mode: Mode,
    ) -> Result<Option<Captures>, OutOfSteps> {
        let mut best: Option<Captures> = None;
        // Whether what was explored last led to a match.
        let mut matched = false;
        let mut steps = 0_u64;
        self.jobs.clear();
        self.groups.fill((0, NONE));
        if EXACT {
            self.runs.clear();
            self.runs.resize(self.program.branches as usize, (NONE, 0));
        }
        self.jobs.push(Job::Explore(self.program.start, start));
        while let Some(job) = self.jobs.pop() {
            let (mut state, mut at) = match job {
                Job::Explore(state, at) => (state, at),
                Job::Second { state, at, branch } => {
                    self.jobs.push(Job::Join {
                        first: matched,
                        at,
                        branch,
                    });
                    matched = false;
                    (state, at)
                }
                Job::Join { first, at, branch } => {
                    matched |= first;
                    self.explored::<EXACT>(branch, at, matched);
                    continue;
                }
                Job::Leave { at, branch, .. } if matched => {
                    self.explored::<EXACT>(branch, at, true);
                    continue;
                }
                Job::Leave { next, at, branch } => {
                    self.jobs.push(Job::Done { at, branch });
                    (next, at)
                }
                Job::Done { at, branch } => {
                    self.explored::<EXACT>(branch, at, matched);
                    continue;
                }
                Job::SetBegin(group, old) => {
                    self.groups[group as usize].0 = old;
                    continue;
                }
                Job::SetEnd(group, old) => {
                    self.groups[group as usize].1 = old;
                    continue;
                }
                Job::SetRun(branch, old) => {
                    self.runs[branch as usize] = old;
                    continue;
                }
            };
            loop {
                steps += 1;
                if EXACT && steps > EXACT_STEPS {
                    return Err(OutOfSteps);
                }
                if steps.is_multiple_of(STOP_STEPS) && (self.stop)() {
                    return Ok(None);
                }
                match self.program.states[state as usize] {
                    State::Byte { set, next } => match self.text.get(at) {
                        Some(&byte) if self.program.sets[set as usize].contains(byte) => {
                            at += 1;
                            state = next;
                        }
                        _ => break,
                    },
                    State::Alternative { branch, .. } | State::Repeat { branch, .. }
                        if !EXACT && self.tried(branch, at, &mut matched) =>
                    {
                        break;
                    }
                    State::Alternative {
                        first,
                        second,
                        branch,
                    } => {
                        self.jobs.push(Job::Second {
                            state: second,
                            at,
                            branch,
                        });
                        state = first;
                    }
                    State::Repeat { body, next, branch } if EXACT => {
                        let run = self.runs[branch as usize];
                        let again = run.1 == 0 || run.0 != at;
                        if again || run.1 < 2 {
                            self.jobs.push(Job::Leave { next, at, branch });
                            self.jobs.push(Job::SetRun(branch, run));
                            self.runs[branch as usize] = (at, if again { 1 } else { run.1 + 1 });
                            state = body;
                        } else {
                            state = next;
                        }
                    }
                    State::Repeat { body, next, branch } => {
                        self.jobs.push(Job::Leave { next, at, branch });
                        state = body;
                    }
                    State::Begin { group, next } => {
                        let slot = &mut self.groups[group as usize].0;
                        self.jobs
                            .push(Job::SetBegin(group, std::mem::replace(slot, at)));
                        state = next;
                    }
                    State::End { group, next } => {
                        let slot = &mut self.groups[group as usize].1;
                        self.jobs
                            .push(Job::SetEnd(group, std::mem::replace(slot, at)));
                        state = next;
                    }
                    State::LineBegin { next } if self.line_begin == Some(at) => state = next,
                    State::LineEnd { next } if at == self.text.len() => state = next,
                    State::LineBegin { .. } | State::LineEnd { .. } => break,
                    State::Accept => {
                        matched = match mode {
                            Mode::Full => at == self.text.len(),
                            Mode::Prefix => true,
                            Mode::NonEmptyPrefix => at > start,
                        };
                        if matched && best.as_ref().is_none_or(|best| at > best.whole.1) {
                            best = Some(Captures {
                                whole: (start, at),
                                groups: self.groups.clone(),
                            });
                        }
                        break;
                    }
                }
            }
            // Nothing is longer than all of the text, and the first of its length wins.
            if best
                .as_ref()
                .is_some_and(|best| best.whole.1 == self.text.len())
            {
                break;
            }
        }
        Ok(best)
    }

    /// Whether a branch was tried at a position in this round; then `matched` is what came of it.
    fn tried(&mut self, branch: u32, at: usize, matched: &mut bool) -> bool {
        let slot = &mut self.tried[branch as usize * (self.text.len() + 1) + at];
        if *slot & !1 != self.round {
            *slot = self.round;
            return false;
        }
        *matched = *slot & 1 == 1;
        true
    }

    /// Remembers what came of a branch.
    fn explored<const EXACT: bool>(&mut self, branch: u32, at: usize, matched: bool) {
        if !EXACT {
            self.tried[branch as usize * (self.text.len() + 1) + at] =
                self.round | u32::from(matched);
        }
    }
}

/// Matches the whole of `text`.
pub(crate) fn full_match(
    program: &Program,
    text: &[u8],
    stop: &dyn Fn() -> bool,
) -> Option<Captures> {
    if let Some(first) = &program.first
        && !text.first().is_some_and(|&byte| first.contains(byte))
    {
        return None;
    }
    let mut searcher = Searcher::new(program, text, stop);
    searcher.next_round();
    searcher.run(0, Mode::Full)
}

/// The matches of a program in a text; see [`super::Ere::matches`].
pub(crate) struct Matches<'a> {
    searcher: Searcher<'a>,
    /// The only byte that a match begins with, if there is only one.
    only_first: Option<u8>,
    last: Option<(usize, usize)>,
    done: bool,
}

impl<'a> Matches<'a> {
    pub(crate) fn new(program: &'a Program, text: &'a [u8], stop: &'a dyn Fn() -> bool) -> Self {
        let only_first = program.first.as_ref().and_then(|set| {
            let mut bytes = set.iter();
            bytes.next().filter(|_| bytes.next().is_none())
        });
        Self {
            searcher: Searcher::new(program, text, stop),
            only_first,
            last: None,
            done: false,
        }
    }

    /// The first match that begins at `from` or later.
    fn search(&mut self, from: usize) -> Option<Captures> {
        let text = self.searcher.text;
        self.searcher.next_round();
        let mut at = from;
        loop {
            if let Some(byte) = self.only_first {
                at += memchr::memchr(byte, &text[at..])?;
            } else if let Some(first) = &self.searcher.program.first {
                at += text[at..].iter().position(|&byte| first.contains(byte))?;
            }
            if let Some(found) = self.searcher.run(at, Mode::Prefix) {
                return Some(found);
            }
            if at == text.len() || (self.searcher.stop)() {
                return None;
            }
            at += 1;
        }
    }
}

impl Iterator for Matches<'_> {
    type Item = Captures;

    fn next(&mut self) -> Option<Captures> {
        if self.done {
            return None;
        }
        let found = match self.last {
            None => self.search(0),
            Some((from, to)) if from == to => {
                // After an empty match, one that is not empty may begin at the same place. The original lets `^`
                // match there as long as it has not yet moved on from the beginning of a search.
                if to == self.searcher.text.len() {
                    None
                } else {
                    if self.searcher.line_begin.is_some() {
                        self.searcher.line_begin = Some(to);
                    }
                    self.searcher.next_round();
                    let here = self.searcher.run(to, Mode::NonEmptyPrefix);
                    here.or_else(|| {
                        self.searcher.line_begin = None;
                        self.search(to + 1)
                    })
                }
            }
            Some((_, to)) => {
                self.searcher.line_begin = None;
                self.search(to)
            }
        };
        self.done = found.is_none();
        self.last = found.as_ref().map(Captures::whole);
        found
    }
}
