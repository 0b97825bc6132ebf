//! The collector's ear: while it runs, other processes tell it through a socket which paths they begin to need.
//! [`crate::temp_roots`] describes the protocol.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustc_hash::FxHashSet;
use xbuild_store_model::store_path::StorePath;

use crate::error::{Error, Result};
use crate::files;
use crate::layout::Layout;
use crate::temp_roots::socket_address;

/// What collector and server share. Paths are kept by their hash part, so that `<path>.lock` and the like are safe as well.
#[derive(Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
    deleted: Condvar,
}

#[derive(Default)]
struct State {
    needed: FxHashSet<String>,
    /// What the collector deletes at this moment.
    pending: FxHashSet<String>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a path is needed; returns when it is not being deleted (any more).
    pub(crate) fn need(&self, path: &StorePath) {
        let hash_part = path.hash_part();
        let mut state = self.lock();
        state.needed.insert(hash_part.to_owned());
        while state.pending.contains(hash_part) {
            state = self
                .deleted
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(crate) fn is_needed(&self, hash_part: &str) -> bool {
        self.lock().needed.contains(hash_part)
    }

    /// Announces that something is to be deleted; false if it is needed, and so must not be.
    pub(crate) fn begin_deletion(&self, hash_part: &str) -> bool {
        let mut state = self.lock();
        if state.needed.contains(hash_part) {
            return false;
        }
        state.pending.insert(hash_part.to_owned());
        true
    }

    /// Everything announced is deleted.
    pub(crate) fn end_deletion(&self) {
        self.lock().pending.clear();
        self.deleted.notify_all();
    }
}

/// A running server. Dropping it ends it.
pub(crate) struct Server {
    shared: Arc<Shared>,
    stop: Arc<AtomicBool>,
    listener: Arc<UnixListener>,
    dir: std::os::fd::OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts listening. The caller holds `gc.lock` exclusively, so nobody else does.
    pub(crate) fn start(layout: &Layout, shared: &Arc<Shared>) -> Result<Self> {
        let path = layout.gc_socket_dir();
        files::create_dirs(&path)?;
        let dir = files::open_dir(&path).map_err(Error::sys("open directory", &path))?;
        let socket = path.join("socket");
        match std::fs::remove_file(&socket) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("delete", socket)(error));
            }
            _ => {}
        }
        let address = socket_address(&dir);
        let listener = UnixListener::bind(address).map_err(Error::io("listen on", &socket))?;
        // Whoever may use the store may say what they need; as Nix's.
        rustix::fs::chmod(&socket, rustix::fs::Mode::from_raw_mode(0o666))
            .map_err(Error::sys("change the mode of", &socket))?;

        let listener = Arc::new(listener);
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().spawn({
            let (listener, shared, stop) =
                (Arc::clone(&listener), Arc::clone(shared), Arc::clone(&stop));
            move || serve(&listener, &shared, &stop)
        });
        Ok(Self {
            shared: Arc::clone(shared),
            stop,
            listener,
            dir,
            thread: Some(thread.map_err(Error::io("start a thread that listens on", &socket))?),
        })
    }
}

/// How long to wait where there are no more open files, until others are closed.
const PAUSE: Duration = Duration::from_millis(20);

fn serve(listener: &UnixListener, shared: &Arc<Shared>, stop: &AtomicBool) {
    let mut clients: Vec<(Arc<UnixStream>, JoinHandle<()>)> = Vec::new();
    for stream in listener.incoming() {
        if stop.load(Ordering::Acquire) {
            break;
        }
        let Ok(stream) = stream.map(Arc::new) else {
            std::thread::sleep(PAUSE);
            continue;
        };
        clients.retain(|(_, thread)| !thread.is_finished());
        let (shared, theirs) = (Arc::clone(shared), Arc::clone(&stream));
        // A client to whom nobody speaks tries again.
        if let Ok(thread) = std::thread::Builder::new().spawn(move || converse(&theirs, &shared)) {
            clients.push((stream, thread));
        }
    }
    for (stream, _) in &clients {
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }
    for (_, thread) in clients {
        let _ = thread.join();
    }
}

fn converse(mut stream: &UnixStream, shared: &Shared) {
    /// No store path is longer.
    const LONGEST_LINE: u64 = 4096;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        match std::io::Read::take(&mut reader, LONGEST_LINE).read_line(&mut line) {
            Ok(count) if count > 0 && line.ends_with('\n') => {}
            _ => return,
        }
        if let Ok(path) = StorePath::parse(line.trim_end()) {
            shared.need(&path);
        }
        if stream.write_all(b"1").is_err() {
            return;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.shared.end_deletion();
        // Wakes the accepting thread, and needs no open file for it.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = rustix::fs::unlinkat(&self.dir, "socket", rustix::fs::AtFlags::empty());
    }
}
