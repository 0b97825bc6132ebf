//! Hashing beside reading and writing: what is large is hashed by a thread of its own, so that a copy takes as long as its hash and
//! not as both.

use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;

use crate::tree::ByteSink;

/// After this many bytes, a thread is worth its start.
const THRESHOLD: usize = 1 << 20;

/// How many bytes are handed over at a time, and how many such pieces may wait.
const PIECE: usize = 256 << 10;
const PIECES: usize = 8;

/// Passes bytes on to `S`: at first directly, later through a thread.
pub(crate) struct Offload<S> {
    /// Bytes since the beginning, or since no thread could be started.
    passed: usize,
    state: State<S>,
}

enum State<S> {
    Direct(S),
    Thread(Worker<S>),
    /// Only while the thread starts.
    Moving,
}

struct Worker<S> {
    piece: Vec<u8>,
    full: SyncSender<Vec<u8>>,
    /// Pieces that have been hashed, to be filled again.
    empty: Receiver<Vec<u8>>,
    /// Gives the sink back at its end.
    thread: JoinHandle<Option<S>>,
}

impl<S: ByteSink + Send + 'static> Offload<S> {
    pub(crate) fn new(sink: S) -> Self {
        Self {
            passed: 0,
            state: State::Direct(sink),
        }
    }

    /// All bytes have been passed on.
    pub(crate) fn finish(self) -> S {
        match self.state {
            State::Direct(sink) => sink,
            State::Thread(mut worker) => {
                worker.send();
                drop(worker.full);
                match worker.thread.join() {
                    Ok(Some(sink)) => sink,
                    Ok(None) => unreachable!("it was given the sink"),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            State::Moving => unreachable!("left within one call"),
        }
    }
}

impl<S: ByteSink + Send + 'static> Worker<S> {
    /// Gives the sink back where no thread can be started.
    fn start(sink: S) -> Result<Self, S> {
        let (give, given) = mpsc::sync_channel::<S>(1);
        let (full, pieces) = mpsc::sync_channel::<Vec<u8>>(PIECES);
        let (done, empty) = mpsc::channel();
        let thread = std::thread::Builder::new().spawn(move || {
            let mut sink = given.recv().ok()?;
            while let Ok(piece) = pieces.recv() {
                sink.bytes(&piece);
                let _ = done.send(piece);
            }
            Some(sink)
        });
        let Ok(thread) = thread else { return Err(sink) };
        give.send(sink).map_err(|mpsc::SendError(sink)| sink)?;
        Ok(Self {
            piece: Vec::with_capacity(PIECE),
            full,
            empty,
            thread,
        })
    }

    fn send(&mut self) {
        let next = self
            .empty
            .try_recv()
            .unwrap_or_else(|_| Vec::with_capacity(PIECE));
        let piece = std::mem::replace(&mut self.piece, next);
        self.piece.clear();
        // Fails only if the thread has panicked, which `finish` passes on.
        let _ = self.full.send(piece);
    }
}

impl<S: ByteSink + Send + 'static> ByteSink for Offload<S> {
    fn bytes(&mut self, mut bytes: &[u8]) {
        if let State::Direct(sink) = &mut self.state {
            sink.bytes(bytes);
            self.passed += bytes.len();
            if self.passed >= THRESHOLD
                && let State::Direct(sink) = std::mem::replace(&mut self.state, State::Moving)
            {
                self.passed = 0;
                self.state = match Worker::start(sink) {
                    Ok(worker) => State::Thread(worker),
                    Err(sink) => State::Direct(sink),
                };
            }
            return;
        }
        let State::Thread(worker) = &mut self.state else {
            return;
        };
        while !bytes.is_empty() {
            let count = bytes.len().min(PIECE - worker.piece.len());
            worker.piece.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            if worker.piece.len() == PIECE {
                worker.send();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Collect(Vec<u8>);

    impl ByteSink for Collect {
        fn bytes(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
    }

    #[test]
    fn nothing_is_lost_or_reordered() {
        for (step, total) in [
            (1000, 10_000),
            (70_001, 5 << 20),
            (1 << 20, 1 << 20),
            (PIECE, THRESHOLD + 4 * PIECE),
        ] {
            let expected: Vec<u8> = (0..total).map(|n: usize| (n % 251) as u8).collect();
            let mut offload = Offload::new(Collect(Vec::new()));
            for chunk in expected.chunks(step) {
                offload.bytes(chunk);
            }
            assert!(offload.finish().0 == expected, "{step} {total}");
        }
    }
}
