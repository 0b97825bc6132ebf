//! Which name is in which slot of which frame.

use rustc_hash::FxHashMap;
use xbuild_syntax::symbol::Symbol;

use crate::position::Pos;

/// Where a variable is: the frame, counted from the outermost, and the slot in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) frame: u32,
    pub(super) slot: u32,
}

/// The lexical scope at a point of the program.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// The places of each name, innermost last.
    names: FxHashMap<Symbol, Vec<Place>>,
    /// The sets of the surrounding `with`s, innermost last.
    withs: Vec<(Place, Pos)>,
    /// How many slots each frame has so far, innermost last.
    frames: Vec<u32>,
    /// Whether the code being compiled runs exactly once in each instance of the innermost frame, so that it may have
    /// slots there. Delayed expressions may not: most are never run, and would only make frames bigger.
    owns_frame: bool,
}

impl Scope {
    /// Enters a new frame, which the code to be compiled owns. Tells what to give to [`Scope::leave_frame`].
    pub(super) fn enter_frame(&mut self) -> bool {
        self.frames.push(0);
        std::mem::replace(&mut self.owns_frame, true)
    }

    /// Leaves the innermost frame; tells how many slots it needs.
    pub(super) fn leave_frame(&mut self, owned: bool) -> u32 {
        self.owns_frame = owned;
        self.frames.pop().unwrap_or_default()
    }

    /// How many slots the innermost frame needs so far.
    pub(super) fn frame_size(&self) -> u32 {
        self.frames.last().copied().unwrap_or_default()
    }

    pub(super) fn owns_frame(&self) -> bool {
        self.owns_frame
    }

    /// Says whether what follows owns the frame; tells what was so before.
    pub(super) fn set_owns_frame(&mut self, owns: bool) -> bool {
        std::mem::replace(&mut self.owns_frame, owns)
    }

    /// A new slot in the innermost frame.
    pub(super) fn new_slot(&mut self) -> Place {
        let frame = self.frames.len() - 1;
        let slot = self.frames[frame];
        self.frames[frame] += 1;
        Place {
            frame: frame as u32,
            slot,
        }
    }

    pub(super) fn bind(&mut self, name: Symbol, place: Place) {
        self.names.entry(name).or_default().push(place);
    }

    pub(super) fn unbind(&mut self, name: Symbol) {
        if let Some(places) = self.names.get_mut(&name) {
            places.pop();
        }
    }

    /// `pos` is where the `with` is.
    pub(super) fn push_with(&mut self, place: Place, pos: Pos) {
        self.withs.push((place, pos));
    }

    pub(super) fn pop_with(&mut self) {
        self.withs.pop();
    }

    /// Where a name is bound, if it is.
    pub(super) fn lookup(&self, name: Symbol) -> Option<Place> {
        self.names.get(&name)?.last().copied()
    }

    /// How many frames out of the innermost a place is.
    pub(super) fn depth(&self, place: Place) -> u32 {
        self.frames.len() as u32 - 1 - place.frame
    }

    /// The surrounding `with`s as (frames out, slot, place in the text), innermost first.
    pub(super) fn withs(&self) -> impl ExactSizeIterator<Item = (u32, u32, Pos)> {
        self.withs
            .iter()
            .rev()
            .map(|(place, pos)| (self.depth(*place), place.slot, *pos))
    }
}
