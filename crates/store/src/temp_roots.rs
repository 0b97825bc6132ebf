//! Temporary roots: what a running process needs, so that a collector does not delete it.
//!
//! Each process has a file in `nix/var/nix/temproots`, locked as long as the process lives, with the paths it needs, each
//! followed by a zero byte. While a collector runs (it holds `gc.lock` exclusively), new ones are also told to it through a
//! socket: a line with the path, answered by `1` once the path is safe from it. This is the protocol of stock Nix 2.4 and later.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashSet;
use xbuild_store_model::store_path::StorePath;

use crate::error::{Error, Result};
use crate::fault;
use crate::files;
use crate::layout::Layout;
use crate::locks::{self, Mode};
use crate::options::Hooks;

/// The temporary roots of this process in one store.
pub(crate) struct TempRoots {
    layout: Layout,
    hooks: Hooks,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: FxHashSet<StorePath>,
    file: Option<(File, PathBuf)>,
    gc_lock: Option<File>,
    collector: Option<UnixStream>,
}

impl TempRoots {
    pub(crate) fn new(layout: &Layout, hooks: &Hooks) -> Self {
        Self {
            layout: layout.clone(),
            hooks: hooks.clone(),
            state: Mutex::default(),
        }
    }

    /// Makes a path safe as [`Self::add`] does, and tells a collector that runs at this moment, also of a path that is safe
    /// already: it may need to know when we are gone.
    pub(crate) fn renew(&self, path: &StorePath) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.known.remove(path);
        drop(state);
        self.add([path])
    }

    /// Makes the paths safe from collectors until this process ends. They need not be valid, nor exist.
    pub(crate) fn add<'a>(&self, paths: impl IntoIterator<Item = &'a StorePath>) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let new: Vec<&StorePath> = paths
            .into_iter()
            .filter(|path| !state.known.contains(*path))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        let state = &mut *state;
        if state.file.is_none() {
            state.file = Some(create_file(&self.layout.temp_roots_dir(), &self.hooks)?);
        }
        let gc_lock_path = self.layout.gc_lock();
        if state.gc_lock.is_none() {
            state.gc_lock = Some(locks::open_lock_file(&gc_lock_path)?);
        }
        let (Some((file, file_path)), Some(gc_lock)) = (&mut state.file, &state.gc_lock) else {
            return Ok(());
        };

        // If no collector runs, none starts until the paths are in our file. If one runs, it hears of them.
        let locked = loop {
            if locks::try_lock(gc_lock, Mode::Shared, &gc_lock_path)? {
                break true;
            }
            if tell_collector(&self.layout.gc_socket_dir(), &mut state.collector, &new)? {
                break false;
            }
            self.hooks.check_cancelled()?;
            std::thread::sleep(Duration::from_millis(20));
        };
        let mut text = Vec::with_capacity(new.len() * 80);
        for path in &new {
            text.extend_from_slice(path.to_string().as_bytes());
            text.push(0);
        }
        let written = fault::point("write", file_path).and_then(|()| {
            file.write_all(&text)
                .map_err(Error::io("write", file_path.as_path()))
        });
        if locked {
            locks::unlock(gc_lock, &gc_lock_path)?;
        }
        written?;
        state.known.extend(new.into_iter().cloned());
        Ok(())
    }
}

impl Drop for TempRoots {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some((_file, path)) = state.file.take() {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Makes and locks a file that no other process has. The name begins with the process id, as Nix's does; a number after it keeps
/// apart several open stores of one process, and equal ids in several PID namespaces.
fn create_file(dir: &Path, hooks: &Hooks) -> Result<(File, PathBuf)> {
    let pid = std::process::id();
    for number in 0_u32.. {
        hooks.check_cancelled()?;
        let path = dir.join(format!("{pid}-{number}"));
        let opened = File::options()
            .read(true)
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(Error::io("create", path)(error)),
        };
        files::share(&path, 0o660)?;
        // A collector that came first takes it for stale, removes it and says so in it.
        let what = || "the garbage collector".to_owned();
        locks::lock(&file, Mode::Exclusive, &path, hooks, &what)?;
        if !locks::is_stale(&file, &path)? {
            return Ok((file, path));
        }
    }
    Err(Error::io("create a file in", dir)(
        ErrorKind::AlreadyExists.into(),
    ))
}

/// Tells a running collector; false if there is none to talk to (it starts or ends at this moment).
fn tell_collector(
    socket_dir: &Path,
    connection: &mut Option<UnixStream>,
    paths: &[&StorePath],
) -> Result<bool> {
    if connection.is_none() {
        let Ok(dir) = files::open_dir(socket_dir) else {
            return Ok(false);
        };
        match UnixStream::connect(socket_address(&dir)) {
            Ok(stream) => *connection = Some(stream),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::ConnectionRefused
                ) =>
            {
                return Ok(false);
            }
            Err(error) => {
                return Err(Error::io(
                    "connect to the garbage collector at",
                    socket_dir.join("socket"),
                )(error));
            }
        }
    }
    let Some(stream) = connection else {
        return Ok(false);
    };
    for path in paths {
        let mut answer = [0_u8; 1];
        let told = stream
            .write_all(format!("{path}\n").as_bytes())
            .and_then(|()| stream.read_exact(&mut answer));
        if told.is_err() || answer != *b"1" {
            *connection = None;
            return Ok(false);
        }
    }
    Ok(true)
}

/// The address of the collector's socket in an open directory: socket addresses hold 108 bytes, and a store's path may be
/// longer.
pub(crate) fn socket_address(dir: &impl std::os::fd::AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/socket", dir.as_raw_fd()))
}

/// The temporary roots of all running processes, each with its `{temp:PID}`. Removes the files of processes that are gone.
pub(crate) fn read_all(
    layout: &Layout,
    hooks: &Hooks,
    remove_stale: bool,
) -> Result<Vec<(StorePath, String)>> {
    let dir = layout.temp_roots_dir();
    let shared = files::is_shared(&dir);
    let mut roots = Vec::new();
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(roots),
        Err(error) => return Err(Error::io("read directory", dir)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(Error::io("read directory", &dir))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // No process has made what is not a file.
        if name.starts_with('.') || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let path = entry.path();
        let open = || {
            locks::of_others()
                .read(true)
                .write(remove_stale)
                .open(&path)
        };
        let mut file = match locks::open_soon(shared, open) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::io("open", path)(error)),
        };
        if locks::try_lock(&file, Mode::Exclusive, &path)? {
            // Its process is gone.
            if remove_stale {
                hooks.notice(&format!(
                    "removing stale temporary roots file '{}'",
                    path.display()
                ));
                locks::remove_lock_file(&file, &path);
            }
            continue;
        }
        let mut content = Vec::new();
        file.read_to_end(&mut content)
            .map_err(Error::io("read", &path))?;
        for root in content.split_inclusive(|&byte| byte == 0) {
            let Some(text) = root.strip_suffix(&[0]) else {
                continue;
            };
            // Something we do not understand is nothing we could delete.
            if let Some(root) = std::str::from_utf8(text)
                .ok()
                .and_then(|text| StorePath::parse(text).ok())
            {
                roots.push((root, format!("{{temp:{name}}}")));
            }
        }
    }
    Ok(roots)
}
