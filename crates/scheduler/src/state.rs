//! What a step can be in, and how it can end.

use crate::StepId;

/// Where a step stands.
///
/// ```text
/// Waiting ──► Ready ◄─► Running ──► Done
///    │          │          ├──────► Failed
///    └──────────┴──────────┴──────► Skipped
/// ```
///
/// `Ready` goes back to `Waiting` when an unfinished step is put before it while the graph runs. `Running` goes back to `Ready` once
/// at most, when the step ran out of memory ([`Outcome::OutOfMemory`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// At least one step before it is not done.
    Waiting,
    /// Everything before it is done; it starts as soon as there is room for it and it is the most urgent that there is room for.
    Ready,
    /// Handed out by [`Scheduler::next`](crate::Scheduler::next) and not reported as finished yet.
    Running,
    /// Final: it ended well.
    Done,
    /// Final: it ran and failed.
    Failed,
    /// Final: it did not run, or was interrupted while it ran.
    Skipped {
        /// Why.
        because: Because,
    },
}

impl State {
    /// Whether the state never changes again.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Skipped { .. })
    }
}

/// Why a step was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Because {
    /// It needs, directly or through other steps, this step, which failed. (If several failed: the one that failed first.)
    Failed(StepId),
    /// It needs nothing that failed, but this step failed and the policy is to stop at the first failure.
    Stopped(StepId),
    /// The run was cancelled, or this step or one that it needs was interrupted.
    Cancelled,
}

/// How a running step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Well: what waits for it may go on.
    Done,
    /// Badly: what waits for it is skipped.
    Failed,
    /// It was killed for want of memory. The first time, it becomes ready again, to run when no other build does; the second time it
    /// counts as [`Failed`](Self::Failed).
    OutOfMemory,
    /// Neither: it was told to stop, because of a cancellation or of another step's failure.
    Interrupted,
}

/// How many steps are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Steps in [`State::Waiting`].
    pub waiting: u32,
    /// Steps in [`State::Ready`].
    pub ready: u32,
    /// Steps in [`State::Running`].
    pub running: u32,
    /// Steps in [`State::Done`].
    pub done: u32,
    /// Steps in [`State::Failed`].
    pub failed: u32,
    /// Steps in [`State::Skipped`].
    pub skipped: u32,
}

impl Counts {
    /// All steps.
    #[must_use]
    pub const fn total(self) -> u32 {
        self.unfinished() + self.done + self.failed + self.skipped
    }

    /// Steps that are not in a final state.
    #[must_use]
    pub const fn unfinished(self) -> u32 {
        self.waiting + self.ready + self.running
    }

    pub(crate) const fn of(&mut self, state: State) -> &mut u32 {
        match state {
            State::Waiting => &mut self.waiting,
            State::Ready => &mut self.ready,
            State::Running => &mut self.running,
            State::Done => &mut self.done,
            State::Failed => &mut self.failed,
            State::Skipped { .. } => &mut self.skipped,
        }
    }
}
