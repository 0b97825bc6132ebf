//! Steps that wait for each other.

use std::fmt;

use crate::StepId;

/// A cycle: each step must come before the next one, and the last one before the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle {
    steps: Vec<StepId>,
}

impl Cycle {
    /// The cycle through `steps`, turned so that it begins with the step that was added first.
    pub(crate) fn new(mut steps: Vec<StepId>) -> Self {
        let first = (0..steps.len()).min_by_key(|&i| steps[i]).unwrap_or(0);
        steps.rotate_left(first);
        Self { steps }
    }

    /// The steps, in the order of the edges; each once.
    #[must_use]
    pub fn steps(&self) -> &[StepId] {
        &self.steps
    }

    /// The cycle in words, each step by the name that the caller has for it: `a → b → a`.
    #[must_use]
    pub fn describe<N: fmt::Display>(&self, name: impl Fn(StepId) -> N) -> String {
        use fmt::Write;
        let mut text = String::new();
        for &step in self.steps.iter().chain(self.steps.first()) {
            let arrow = if text.is_empty() { "" } else { " → " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{arrow}{}", name(step));
        }
        text
    }
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe(|step| step))
    }
}
