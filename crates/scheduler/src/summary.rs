//! What became of a run.

use crate::{Because, Graph, State, StepId};

/// The steps that did not end well, and how many did. Steps that are not in a final state are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many steps are [`State::Done`].
    pub done: u32,
    /// The steps that failed, in the order in which they were added.
    pub failed: Vec<StepId>,
    /// The steps that were skipped and why, in the order in which they were added.
    pub skipped: Vec<(StepId, Because)>,
}

impl Summary {
    pub(crate) fn of(graph: &Graph) -> Self {
        let mut summary = Self::default();
        for step in graph.steps() {
            match graph.state(step) {
                State::Done => summary.done += 1,
                State::Failed => summary.failed.push(step),
                State::Skipped { because } => summary.skipped.push((step, because)),
                State::Waiting | State::Ready | State::Running => {}
            }
        }
        summary
    }

    /// Whether nothing failed and nothing was skipped.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.failed.is_empty() && self.skipped.is_empty()
    }
}
