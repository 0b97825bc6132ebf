//! Collecting garbage by itself when the disk gets full (`min-free`, `max-free`).

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::gc::{GcOptions, GcReport};
use crate::store::Store;

/// When to collect, and how much.
#[derive(Debug, Clone)]
pub struct AutoGc {
    /// `min-free`: collect when fewer bytes than this are free; 0: never.
    pub min_free: u64,
    /// `max-free`: stop when this many bytes are free.
    pub max_free: u64,
    /// `min-free-check-interval`: how often to look.
    pub interval: Duration,
    /// What lives; its `max_freed` and `dry_run` are not looked at.
    pub options: GcOptions,
}

/// What was found the last time.
#[derive(Debug, Default)]
pub(crate) struct AutoGcState(Mutex<Last>);

#[derive(Debug, Default)]
struct Last {
    looked: Option<Instant>,
    /// Bytes that were free after the last collection.
    free_after: Option<u64>,
}

impl Store {
    /// Collects garbage if fewer than [`AutoGc::min_free`] bytes are free where the store is. For those who are about to need
    /// space; what running builds need is a temporary root. `None`: there was enough, or another thread sees to it, or the last
    /// collection found nothing that could help.
    pub fn auto_gc(&self, auto: &AutoGc) -> Result<Option<GcReport>> {
        if auto.min_free == 0 || self.options.read_only {
            return Ok(None);
        }
        // One thread looks; the others need not wait.
        let mut last = match self.auto_gc.0.try_lock() {
            Ok(last) => last,
            Err(std::sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(std::sync::TryLockError::WouldBlock) => return Ok(None),
        };
        if last.looked.is_some_and(|at| at.elapsed() < auto.interval) {
            return Ok(None);
        }
        let free = self.free_space()?;
        last.looked = Some(Instant::now());
        if free >= auto.min_free || free >= auto.max_free {
            return Ok(None);
        }
        // Garbage that was not there a moment ago: 3 % of the space.
        if last.free_after.is_some_and(|after| free > after / 100 * 97) {
            return Ok(None);
        }
        let options = GcOptions {
            dry_run: false,
            max_freed: Some(auto.max_free - free),
            ..auto.options.clone()
        };
        self.hooks.notice(&format!(
            "fewer than {} bytes are free (min-free): collecting garbage",
            auto.min_free
        ));
        let report = self.gc(&options)?;
        last.free_after = Some(self.free_space()?);
        last.looked = Some(Instant::now());
        Ok(Some(report))
    }

    /// How many bytes are free where the store is, for users who are not root.
    pub fn free_space(&self) -> Result<u64> {
        let dir = self.layout.store_dir();
        let stat =
            rustix::fs::statvfs(dir).map_err(Error::sys("examine the file system of", dir))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

impl AutoGcState {
    /// Forgets what was found, so that the next call looks again.
    #[cfg(test)]
    fn forget(&self) {
        *self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Last::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::StoreOptions;
    use std::collections::BTreeSet;

    #[test]
    fn starts_when_little_is_free_and_not_again_in_vain() {
        let dir = tempfile::tempdir().unwrap();
        let garbage = |name: &str| {
            let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
            store.add_text(name, b"x", &BTreeSet::new()).unwrap()
        };
        garbage("a");
        garbage("b");
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        let mut auto = AutoGc {
            min_free: 0,
            max_free: u64::MAX,
            interval: Duration::ZERO,
            options: GcOptions::default(),
        };
        assert_eq!(store.auto_gc(&auto).unwrap(), None, "not wanted");
        auto.min_free = 1;
        assert_eq!(store.auto_gc(&auto).unwrap(), None, "enough is free");
        auto.min_free = u64::MAX;
        let free = store.free_space().unwrap();
        auto.max_free = free / 2;
        assert_eq!(
            store.auto_gc(&auto).unwrap(),
            None,
            "as much as is wanted is free"
        );
        auto.max_free = u64::MAX;
        let report = store.auto_gc(&auto).unwrap().unwrap();
        assert_eq!(report.paths.len(), 2);
        garbage("c");
        assert_eq!(store.auto_gc(&auto).unwrap(), None, "it helped nothing");
        store.auto_gc.forget();
        auto.interval = Duration::from_secs(3600);
        assert_eq!(store.auto_gc(&auto).unwrap().unwrap().paths.len(), 1);
        store.auto_gc.0.lock().unwrap().free_after = None;
        assert_eq!(
            store.auto_gc(&auto).unwrap(),
            None,
            "not before an hour is over"
        );
    }
}
