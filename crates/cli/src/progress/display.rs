//! The progress display of a terminal. A thread of its own draws it, because times go on when nothing happens.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use xbuild_report::status::Size;
use xbuild_report::terminal::Colours;
use xbuild_report::{Choice, Event, Observer, Plain, Status};

use crate::screen;

/// How often it is drawn at most.
const INTERVAL: Duration = Duration::from_millis(100);
/// Lines that it takes at most; it never takes more than half of the terminal.
const LINES: usize = 14;

/// An observer that draws.
pub(super) struct Display {
    shared: Arc<Shared>,
    begun: Instant,
    colours: bool,
}

struct Shared {
    state: Mutex<State>,
    /// A run ended.
    ended: Condvar,
}

struct State {
    status: Status,
    plain: Plain,
    /// Whether there is a thread that draws.
    draws: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Display {
    pub(super) fn new(choice: Choice, begun: Instant) -> Self {
        let state = State {
            status: Status::default(),
            plain: Plain::new(choice),
            draws: false,
        };
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                ended: Condvar::new(),
            }),
            begun,
            colours: choice.colours == Colours::Keep,
        }
    }

    /// Starts to draw. Without a thread there is no display, and the lines that stay are printed all the same.
    fn start(&self, state: &mut State) {
        let shared = Arc::clone(&self.shared);
        let (begun, colours) = (self.begun, self.colours);
        let drawing = thread::Builder::new()
            .name("display".to_owned())
            .spawn(move || draw(&shared, begun, colours));
        state.draws = drawing.is_ok();
    }
}

fn draw(shared: &Shared, begun: Instant, colours: bool) {
    let mut state = shared.state();
    while state.draws {
        if let Some((width, rows)) = screen::size() {
            let height = (rows / 2).clamp(1, LINES);
            let size = Size {
                width,
                height,
                colours,
            };
            screen::show(state.status.lines(begun.elapsed(), size));
        }
        state = shared
            .ended
            .wait_timeout(state, INTERVAL)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
}

impl Observer for Display {
    fn event(&self, at: Duration, event: &Event<'_>) {
        let mut state = self.shared.state();
        state.status.apply(at, event);
        let lines = state.plain.lines(at, event);
        match event {
            Event::Started { .. } if !state.draws => self.start(&mut state),
            Event::Ended { .. } => {
                state.draws = false;
                self.shared.ended.notify_all();
                screen::show(Vec::new());
            }
            _ => {}
        }
        super::print(&lines);
    }
}
