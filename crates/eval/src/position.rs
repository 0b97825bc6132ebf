//! Places in the evaluated texts, in four bytes.

use xbuild_syntax::span::{SourceId, Span};

/// A place in one of the texts that were parsed: an index into all of them, laid end to end. [`Pos::NONE`] is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Pos(u32);

impl Pos {
    /// No place.
    pub const NONE: Self = Self(0);

    /// Whether it is a place.
    #[must_use]
    pub fn is_some(self) -> bool {
        self != Self::NONE
    }

    /// This place, or `other` if it is none.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if self.is_some() { self } else { other }
    }
}

/// Where each text begins among all of them.
#[derive(Debug, Default)]
pub struct Positions {
    /// Sorted by `start`.
    ranges: Vec<Range>,
    end: u32,
}

#[derive(Debug, Clone, Copy)]
struct Range {
    start: u32,
    source: SourceId,
}

impl Positions {
    /// Gives `len` bytes of room to a text. Where all texts together are beyond 4 GiB, the last ones have no positions.
    pub fn add(&mut self, source: SourceId, len: usize) -> Base {
        let start = self.end.max(1);
        let Some(end) = u32::try_from(len)
            .ok()
            .and_then(|len| start.checked_add(len)?.checked_add(1))
        else {
            return Base(None);
        };
        self.end = end;
        self.ranges.push(Range { start, source });
        Base(Some(start))
    }

    /// The text and the byte offset in it.
    #[must_use]
    pub fn resolve(&self, pos: Pos) -> Option<(SourceId, u32)> {
        if !pos.is_some() {
            return None;
        }
        let index = self
            .ranges
            .partition_point(|range| range.start <= pos.0)
            .checked_sub(1)?;
        let range = self.ranges[index];
        Some((range.source, pos.0 - range.start))
    }
}

/// The place of a text among all, from which its spans become positions.
#[derive(Debug, Clone, Copy)]
pub struct Base(Option<u32>);

impl Base {
    /// The position of the begin of a span.
    #[must_use]
    pub fn pos(self, span: Span) -> Pos {
        Pos(self.0.map_or(0, |start| start + span.start))
    }
}
