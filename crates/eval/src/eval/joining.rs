//! Strings put together from pieces: interpolation, `builtins.concatStringsSep`.
//!
//! The pieces are gathered in one buffer of the evaluator, behind those of the strings that are being put together around this
//! one. A long piece stays where it is: the others are put beside it at the end, which takes little memory if there is room (see
//! [`Heap::enclosed`](crate::heap::Heap::enclosed)).

use super::Evaluator;
use super::coerce::Text;
use crate::error::Result;
use crate::string::{ContextSet, Str};
use crate::value::Value;

/// How much of the buffer is kept for the next string.
const TEXT_KEPT: usize = 64 << 10;
/// A string of so many bytes is worth a look whether the other pieces can be put beside it.
const LONG_PIECE: usize = 1024;

/// A string that is being put together.
pub(crate) struct Joining {
    /// Where in the buffer its pieces begin.
    start: usize,
    /// The longest piece, and where in the buffer it belongs.
    long: Option<(Str, usize)>,
}

impl Evaluator {
    /// The string that consists of the pieces which `pieces` adds, with the context that it gathers.
    ///
    /// # Errors
    ///
    /// Those of `pieces`.
    #[inline]
    pub(crate) fn join(
        &mut self,
        pieces: impl FnOnce(&mut Self, &mut Joining, &mut ContextSet) -> Result<()>,
    ) -> Result<Value> {
        let mut context = ContextSet::new();
        let mut joining = Joining {
            start: self.text.len(),
            long: None,
        };
        let done = pieces(self, &mut joining, &mut context);
        let value = done.map(|()| self.joined(&joining, &context));
        self.text.truncate(joining.start);
        if joining.start == 0 && self.text.capacity() > TEXT_KEPT {
            self.text = Vec::new();
        }
        value
    }

    /// Adds a piece behind the others.
    #[inline]
    pub(crate) fn add_piece(&mut self, joining: &mut Joining, piece: &Text) {
        match *piece {
            Text::Heap(piece)
                if piece.len() >= LONG_PIECE
                    && joining
                        .long
                        .is_none_or(|(other, _)| piece.len() > other.len()) =>
            {
                if let Some((other, at)) = joining.long {
                    self.text.splice(at..at, other.bytes().iter().copied());
                }
                joining.long = Some((piece, self.text.len()));
            }
            _ => self.text.extend_from_slice(piece.bytes()),
        }
    }

    fn joined(&self, joining: &Joining, context: &ContextSet) -> Value {
        let context = context.finish(self.heap);
        let rest = &self.text[joining.start..];
        Value::from(match joining.long {
            None => self.heap.array(context, rest),
            Some((all, _)) if rest.is_empty() && all.context() == context => all,
            Some((long, at)) => {
                let (before, after) = rest.split_at(at - joining.start);
                self.heap.enclosed(context, before, long.into(), after)
            }
        })
    }
}
