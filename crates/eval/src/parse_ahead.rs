//! Parses files that will probably be imported, in a thread beside the evaluation.
//!
//! What a file says about others is in its syntax tree: `import ./x.nix`, `callPackage ./x { }`, `[ ./a.nix ./b.nix ]`.
//! Whether such a file was parsed ahead shows in nothing but time: it is read only if the evaluation may read it, symbols
//! are given out when the file is imported, and whatever cannot be read or parsed is left to the import, which will say so.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bumpalo::Bump;
use rustc_hash::{FxHashMap, FxHashSet};
use self_cell::self_cell;
use xbuild_syntax::Lints;
use xbuild_syntax::ast::Expr;
use xbuild_syntax::span::SourceId;
use xbuild_syntax::symbol::Symbols;

/// The file that stands for a directory.
const DEFAULT: &str = "default.nix";
/// Files of more bytes are left to their import.
const LARGEST: u64 = 256 << 10;
/// How long an import waits for the thread, which may have lost its processor to another program.
const PATIENCE: Duration = Duration::from_millis(2);
/// How many bytes of text wait for their import at most. Trees are some ten times as large.
const MOST_BYTES: usize = 256 << 10;
/// Of a text that names more files than this, only those in lists are taken: the others are packages, of which few are used.
const MOST_ARGUMENTS: usize = 64;

/// A file that was parsed ahead.
pub(crate) struct Parsed {
    pub(crate) text: Arc<[u8]>,
    pub(crate) tree: Tree,
    /// The symbols of the tree.
    pub(crate) symbols: Symbols,
}

self_cell!(
    /// A syntax tree with its memory.
    pub(crate) struct Tree {
        owner: (Bump, Arc<[u8]>),
        #[covariant]
        dependent: Root,
    }
);

/// The expression that a file is.
pub(crate) type Root<'a> = &'a Expr<'a>;

/// The files that a text names in a way that looks like an import.
#[derive(Default)]
pub(crate) struct Named {
    arguments: Vec<PathBuf>,
    elements: Vec<PathBuf>,
}

impl Named {
    /// An argument of a call.
    pub(crate) fn argument(&mut self, path: &[u8]) {
        if self.arguments.len() <= MOST_ARGUMENTS {
            self.arguments.extend(candidate(path));
        }
    }

    /// An element of a list.
    pub(crate) fn element(&mut self, path: &[u8]) {
        self.elements.extend(candidate(path));
    }

    /// Those that are probably imported, and may be.
    pub(crate) fn likely(self, may_read: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
        let mut likely = self.elements;
        if self.arguments.len() <= MOST_ARGUMENTS {
            likely.extend(self.arguments);
        }
        likely.retain(|path| may_read(path));
        likely
    }
}

/// The path, if it may be that of an expression: a `.nix` file or a directory.
fn candidate(path: &[u8]) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    let possible = path.extension().is_none_or(|extension| extension == "nix");
    possible.then(|| path.to_owned())
}

/// The thread, and what it has parsed.
pub(crate) struct ParseAhead {
    shared: Arc<Shared>,
    /// All that were ever asked for.
    asked: FxHashSet<PathBuf>,
}

struct Shared {
    pipe_operators: bool,
    home: Option<PathBuf>,
    /// Links may lead to what the evaluation may not read.
    without_links: bool,
    state: Mutex<State>,
    wanted: Condvar,
    done: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<PathBuf>,
    /// The thread waits to be wanted.
    idle: bool,
    /// What the thread is at, as it was asked for.
    current: Option<PathBuf>,
    parsed: FxHashMap<PathBuf, Parsed>,
    /// The length of all texts in `parsed`.
    bytes: usize,
    closed: bool,
}

impl ParseAhead {
    /// Starts the thread; `None` if the system has none for us.
    pub(crate) fn start(
        pipe_operators: bool,
        home: Option<PathBuf>,
        without_links: bool,
    ) -> Option<Self> {
        let shared = Arc::new(Shared {
            pipe_operators,
            home,
            without_links,
            state: Mutex::default(),
            wanted: Condvar::new(),
            done: Condvar::new(),
        });
        let worker = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("parse".into())
            .spawn(move || worker.work())
            .ok()?;
        Some(Self {
            shared,
            asked: FxHashSet::default(),
        })
    }

    /// Asks for files, each once.
    pub(crate) fn ask(&mut self, mut files: Vec<PathBuf>) {
        files.retain(|path| self.asked.insert(path.clone()));
        if !files.is_empty() {
            let mut state = self.shared.lock();
            state.waiting.extend(files);
            self.shared.wake(&state);
        }
    }

    /// The file, if it was parsed ahead. Waits a little if that has begun.
    pub(crate) fn take(&mut self, file: &Path) -> Option<Parsed> {
        // Not again, now that it is imported.
        self.asked.insert(file.to_owned());
        let is_it =
            |path: &Path| path == file || (file.ends_with(DEFAULT) && Some(path) == file.parent());
        let mut state = self.shared.lock();
        let begun = Instant::now();
        while state.current.as_deref().is_some_and(is_it) && begun.elapsed() < PATIENCE {
            let waited = self.shared.done.wait_timeout(state, PATIENCE);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let found = state.parsed.remove(file);
        match &found {
            Some(parsed) => state.bytes -= parsed.text.len(),
            None => {
                let place = state.waiting.iter().position(|path| is_it(path));
                if let Some(place) = place {
                    state.waiting.remove(place);
                    // The thread waited for room, which others hold that nobody wanted so far.
                    if state.bytes > MOST_BYTES {
                        state.parsed.clear();
                        state.bytes = 0;
                    }
                }
            }
        }
        self.shared.wake(&state);
        found
    }
}

impl Drop for ParseAhead {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wanted.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is right between any two steps.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the thread go on if it can.
    fn wake(&self, state: &State) {
        if state.idle && state.bytes <= MOST_BYTES && !state.waiting.is_empty() {
            self.wanted.notify_one();
        }
    }

    /// What the thread does.
    fn work(&self) {
        let mut symbols = Symbols::new();
        let mut state = self.lock();
        while !state.closed {
            let next = match state.bytes {
                ..=MOST_BYTES => state.waiting.pop_front(),
                _ => None,
            };
            let Some(path) = next else {
                state.idle = true;
                state = wait(&self.wanted, state);
                state.idle = false;
                continue;
            };
            state.current = Some(path.clone());
            drop(state);
            // An import may wait for this.
            let parsed = catch_unwind(AssertUnwindSafe(|| {
                let file = self.file_of(path)?;
                Some((self.parse(&file, &mut symbols)?, file))
            }))
            .ok()
            .flatten();
            state = self.lock();
            state.current = None;
            if let Some((parsed, file)) = parsed {
                state.bytes += parsed.text.len();
                state.parsed.insert(file, parsed);
            }
            self.done.notify_all();
        }
    }

    /// The file that the import of a path reads, if that takes no link to find it.
    fn file_of(&self, path: PathBuf) -> Option<PathBuf> {
        let mut file = path;
        let mut metadata = std::fs::symlink_metadata(&file).ok()?;
        if metadata.is_dir() {
            file.push(DEFAULT);
            metadata = std::fs::symlink_metadata(&file).ok()?;
        }
        if !metadata.is_file() || metadata.len() > LARGEST {
            return None;
        }
        let is_there = !self.without_links || std::fs::canonicalize(&file).ok()? == file;
        is_there.then_some(file)
    }

    fn parse(&self, file: &Path, symbols: &mut Symbols) -> Option<Parsed> {
        let text: Arc<[u8]> = std::fs::read(file).ok()?.into();
        let lints = Lints::default();
        let features = xbuild_syntax::Features {
            pipe_operators: self.pipe_operators,
            home: self.home.as_deref(),
            lints: Some(&lints),
            bare_bindings: false,
        };
        let base_dir = file.parent()?;
        let tree = Tree::try_new((Bump::new(), Arc::clone(&text)), |(arena, text)| {
            xbuild_syntax::parse(arena, symbols, text, SourceId(0), base_dir, features)
        });
        let names = symbols.take_names();
        // Who imports it is to be told.
        if !lints.warnings.take().is_empty() {
            return None;
        }
        Some(Parsed {
            text,
            tree: tree.ok()?,
            symbols: Symbols::with_names(names),
        })
    }
}

fn wait<'s>(what: &Condvar, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
    what.wait(state).unwrap_or_else(PoisonError::into_inner)
}
