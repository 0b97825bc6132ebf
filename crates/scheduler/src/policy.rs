//! What limits a run: what the caller wants, and what the machine has.

use std::num::NonZeroU32;

use crate::Class;

/// How a graph is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Builds at once.
    pub max_jobs: NonZeroU32,
    /// Downloads at once.
    pub max_downloads: NonZeroU32,
    /// The processors of the machine. Each build may use one; what it uses beyond that ([`StepSpec::processors`](crate::StepSpec::processors)) must fit into these,
    /// with that of all others. So no more processes compute than there are processors and builds together.
    pub processors: NonZeroU32,
    /// After a failure, go on with everything that does not need what failed. Else nothing new starts.
    pub keep_going: bool,
}

impl Policy {
    /// So many builds at once, as many processors, 16 downloads, stop at the first failure.
    #[must_use]
    pub const fn new(max_jobs: NonZeroU32) -> Self {
        const DOWNLOADS: NonZeroU32 = NonZeroU32::new(16).expect("16 is not 0");
        Self {
            max_jobs,
            max_downloads: DOWNLOADS,
            processors: max_jobs,
            keep_going: false,
        }
    }

    pub(crate) const fn slots(&self, class: Class) -> u32 {
        match class {
            Class::Build => self.max_jobs.get(),
            Class::Download => self.max_downloads.get(),
        }
    }
}

/// What the machine has in memory, in bytes, as it was last measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// What can be had (`MemAvailable`).
    pub free: u64,
    /// What the running builds occupy already. They are expected to claim the rest of what they need, so less than all that is free is
    /// there for others.
    pub used: u64,
    /// Processes wait for memory already: nothing starts beside others.
    pub pressure: bool,
}
