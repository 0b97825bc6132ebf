//! Writes the derivations of an evaluation to the store, many together, in a thread beside the evaluation.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustc_hash::FxHashSet;
use xbuild_store::{NewText, Store};
use xbuild_store_model::StorePath;

/// So many must wait before the thread begins: what is fewer is written at the end, together.
const ENOUGH: usize = 64;

/// Derivations on their way into the store, in the order in which they were added: each after those that it refers to.
///
/// Nothing counts as written before [`DerivationWriter::flush`] has returned without an error.
pub(crate) struct DerivationWriter {
    queue: Arc<Queue>,
    /// All that were ever added.
    known: FxHashSet<StorePath>,
    thread: Option<JoinHandle<()>>,
    /// The system had no thread for us: everything is written by `flush`.
    alone: bool,
}

struct Queue {
    store: Arc<Store>,
    state: Mutex<State>,
    /// What the thread waits for.
    wanted: Condvar,
    /// What `flush` waits for.
    done: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<NewText>,
    /// The thread is writing.
    busy: bool,
    /// Why the thread could not write. It rests until somebody was told.
    failed: Option<xbuild_store::Error>,
    closed: bool,
}

impl DerivationWriter {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self {
            queue: Arc::new(Queue {
                store,
                state: Mutex::default(),
                wanted: Condvar::new(),
                done: Condvar::new(),
            }),
            known: FxHashSet::default(),
            thread: None,
            alone: false,
        }
    }

    /// Whether the derivation was added, written or not.
    pub(crate) fn contains(&self, path: &StorePath) -> bool {
        self.known.contains(path)
    }

    /// Adds the derivation at `path`, unless it was added before.
    pub(crate) fn add(&mut self, path: &StorePath, text: impl FnOnce() -> NewText) {
        if self.known.contains(path) {
            return;
        }
        self.known.insert(path.clone());
        let mut state = self.queue.lock();
        state.waiting.push(text());
        let begin = state.waiting.len() >= ENOUGH && !state.busy && state.failed.is_none();
        drop(state);
        if begin {
            self.start();
            self.queue.wanted.notify_one();
        }
    }

    fn start(&mut self) {
        if self.thread.is_some() || self.alone {
            return;
        }
        let queue = Arc::clone(&self.queue);
        let thread = std::thread::Builder::new()
            .name("derivations".into())
            .spawn(move || queue.work());
        match thread {
            Ok(thread) => self.thread = Some(thread),
            Err(_) => self.alone = true,
        }
    }

    /// Writes all that were added. What an error kept from being written is tried again the next time.
    ///
    /// # Errors
    ///
    /// If something could not be written, now or by the thread before.
    pub(crate) fn flush(&self) -> xbuild_store::Result<()> {
        let mut state = self.queue.lock();
        while state.busy {
            state = wait(&self.queue.done, state);
        }
        if let Some(error) = state.failed.take() {
            return Err(error);
        }
        if state.waiting.is_empty() {
            return Ok(());
        }
        let texts = std::mem::take(&mut state.waiting);
        state.busy = true;
        drop(state);
        self.queue.write(texts);
        match self.queue.lock().failed.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

impl Drop for DerivationWriter {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.wanted.notify_one();
        if let Some(thread) = self.thread.take() {
            // It has told of its panic; what it did not write is not in the store.
            let _ = thread.join();
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is right between any two steps.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the thread does.
    fn work(&self) {
        let mut state = self.lock();
        while !state.closed {
            let rests = state.busy || state.failed.is_some() || state.waiting.len() < ENOUGH;
            if rests {
                state = wait(&self.wanted, state);
                continue;
            }
            let texts = std::mem::take(&mut state.waiting);
            state.busy = true;
            drop(state);
            self.write(texts);
            state = self.lock();
        }
    }

    /// Writes `texts`, or puts them back. The caller has set `busy`.
    fn write(&self, texts: Vec<NewText>) {
        let mut unwritten = Unwritten {
            queue: self,
            texts,
            failed: Some(xbuild_store::Error::Interrupted),
        };
        unwritten.failed = self.store.add_texts(&unwritten.texts).err();
        if unwritten.failed.is_none() {
            unwritten.texts.clear();
        }
    }
}

/// Texts that are being written. Dropped, also by a panic, it puts those that are left back to the begin of the queue.
struct Unwritten<'q> {
    queue: &'q Queue,
    texts: Vec<NewText>,
    failed: Option<xbuild_store::Error>,
}

impl Drop for Unwritten<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        if !self.texts.is_empty() {
            self.texts.append(&mut state.waiting);
            state.waiting = std::mem::take(&mut self.texts);
        }
        state.failed = self.failed.take();
        state.busy = false;
        drop(state);
        self.queue.done.notify_all();
    }
}

fn wait<'s>(what: &Condvar, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
    what.wait(state).unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use xbuild_store::StoreOptions;
    use xbuild_store_model::{Hash, HashAlgo, store_path};

    use super::*;

    /// A text, which refers to the one before it.
    fn text(number: usize, before: Option<&StorePath>) -> (StorePath, NewText) {
        let contents = format!("text {number}").into_bytes();
        let references: BTreeSet<StorePath> = before.into_iter().cloned().collect();
        let name = format!("text-{number}");
        let hash = Hash::of(HashAlgo::Sha256, &contents);
        let path = store_path::make_text_path(&name, &hash, &references).unwrap();
        let text = NewText {
            name,
            contents,
            references,
        };
        (path, text)
    }

    fn chain(count: usize) -> Vec<(StorePath, NewText)> {
        let mut all: Vec<(StorePath, NewText)> = Vec::new();
        for number in 0..count {
            let before = all.last().map(|(path, _)| path);
            all.push(text(number, before));
        }
        all
    }

    #[test]
    fn all_are_written_once_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(dir.path(), StoreOptions::default()).unwrap());
        let mut writer = DerivationWriter::new(Arc::clone(&store));
        let texts = chain(5 * ENOUGH + 7);
        for (path, text) in &texts {
            assert!(!writer.contains(path));
            writer.add(path, || text.clone());
            writer.add(path, || panic!("'{path}' was added already"));
            assert!(writer.contains(path));
        }
        writer.flush().unwrap();
        for (path, text) in &texts {
            assert_eq!(store.references(path).unwrap(), text.references);
        }
        assert!(writer.thread.is_some(), "there were enough for a thread");
    }

    #[test]
    fn what_failed_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(dir.path(), StoreOptions::default()).unwrap());
        let mut writer = DerivationWriter::new(Arc::clone(&store));
        let absent = text(0, None);
        let texts: Vec<_> = (1..=2 * ENOUGH)
            .map(|number| text(number, Some(&absent.0)))
            .collect();
        for (path, text) in &texts {
            writer.add(path, || text.clone());
        }
        for _ in 0..2 {
            let error = writer.flush().unwrap_err().to_string();
            assert!(error.contains(&absent.0.to_string()), "{error}");
        }
        store.add_texts(&[absent.1]).unwrap();
        writer.flush().unwrap();
        for (path, _) in &texts {
            assert!(store.is_valid(path).unwrap());
        }
    }
}
