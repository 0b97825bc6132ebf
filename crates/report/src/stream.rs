//! Where events go to: one clock, numbers for steps, and whoever listens.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::event::{Event, StepId};

/// Receives events, from several threads at once.
pub trait Observer: Send + Sync {
    /// Called for each event, in the order in which one step's events happen. `at` is the time since the stream began.
    fn event(&self, at: Duration, event: &Event<'_>);
}

impl<O: Observer> Observer for std::sync::Arc<O> {
    fn event(&self, at: Duration, event: &Event<'_>) {
        self.as_ref().event(at, event);
    }
}

/// The stream of events of one process.
pub struct Events {
    begun: Instant,
    next: AtomicU32,
    observers: Vec<Box<dyn Observer>>,
}

impl Events {
    /// A stream whose time is counted from `begun`.
    #[must_use]
    pub fn new(begun: Instant, observers: Vec<Box<dyn Observer>>) -> Self {
        Self {
            begun,
            next: AtomicU32::new(0),
            observers,
        }
    }

    /// Tells everybody.
    pub fn tell(&self, event: &Event<'_>) {
        let at = self.begun.elapsed();
        for observer in &self.observers {
            observer.event(at, event);
        }
    }

    /// Numbers for `count` steps: this one and those after it.
    pub fn number(&self, count: usize) -> StepId {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        StepId(self.next.fetch_add(count, Ordering::Relaxed))
    }
}
