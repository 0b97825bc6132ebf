//! The processors of a machine as tokens, which running builds take and give back: the book-keeping of a jobserver.
//!
//! Every build holds at least one token for as long as it runs, and one that takes no part in the jobserver all that it uses. What is left
//! is lent: a build that takes part is *offered* one token at a time, in a pipe of its own; it takes the token by reading
//! it, and gives it back by writing. So what a build holds is known exactly: what was put into its pipe, less what lies in it now.
//!
//! Nobody can see whether a build waits at its pipe. While there are fewer tokens than builds, an offer that is not taken is therefore
//! taken back after [`ROTATION_MS`], and its build counts as idle, and comes after all others, for [`IDLE_MS`].
//!
//! Invariants:
//! - A token is offered only while all that is held and offered, with it, is at most the capacity. When builds start, their own tokens may
//!   exceed that, by one for each; then what is given back is not lent again until the sum is right.
//! - Whatever a build does to its pipe, no other build has a token more or less than without it, but for those it holds.
//! - When a build leaves, all it held is free.

use std::collections::BTreeMap;

/// A build that holds tokens. Never given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeatId(u64);

/// What the keeper of the pipes is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Write one byte into the pipe, and tell by [`Tokens::offered`] whether that worked.
    Offer(SeatId),
    /// Read one byte from the pipe if there is one, and tell by [`Tokens::unused`] whether there was.
    Withdraw(SeatId),
}

/// How long an offer lies in a pipe before another build that has none gets it, in milliseconds.
pub const ROTATION_MS: u64 = 20;

/// How long a build that did not take its offer gets none that another build could use, in milliseconds.
pub const IDLE_MS: u64 = 200;

#[derive(Clone, Debug)]
struct Seat {
    /// Held for as long as the build runs; at least 1.
    own: u32,
    /// The most tokens it may be lent; 0 if it has no pipe.
    limit: u32,
    /// Bytes put into the pipe, less those taken out again by its keeper.
    given: u32,
    /// Of these, those that lay in the pipe when that was last looked at.
    inside: u32,
    /// Bytes in the pipe that its keeper never put there.
    made_up: u32,
    /// The greatest number of lent tokens it held.
    most: u32,
    /// When it was last offered a token, or lost an offer, in milliseconds.
    since: u64,
    /// It did not take the last offer.
    idle: bool,
    /// The last offer could not be written, and nobody has looked at the pipe since.
    blocked: bool,
}

impl Seat {
    fn held(&self) -> u32 {
        self.given - self.inside
    }

    fn wants_offer(&self) -> bool {
        self.inside == 0 && self.given < self.limit && !self.blocked
    }

    fn is_idle(&self, now: u64) -> bool {
        self.idle && now.saturating_sub(self.since) < IDLE_MS
    }
}

/// The tokens of one machine. Times are milliseconds of any clock that does not go back.
#[derive(Clone, Debug)]
pub struct Tokens {
    capacity: u32,
    seats: BTreeMap<SeatId, Seat>,
    next: u64,
    /// All that is held or offered.
    used: u32,
}

impl Tokens {
    /// So many processors, at least one.
    #[must_use]
    pub fn new(capacity: u32) -> Self {
        Self {
            capacity: capacity.max(1),
            seats: BTreeMap::new(),
            next: 0,
            used: 0,
        }
    }

    /// A build starts. It holds `own` tokens, at least one, until it [leaves](Self::leave), and is lent up to `limit` more.
    pub fn join(&mut self, own: u32, limit: u32, now: u64) -> SeatId {
        let id = SeatId(self.next);
        self.next += 1;
        let own = own.max(1);
        self.used += own;
        self.seats.insert(
            id,
            Seat {
                own,
                limit,
                given: 0,
                inside: 0,
                made_up: 0,
                most: 0,
                since: now,
                idle: false,
                blocked: false,
            },
        );
        id
    }

    /// A build has ended, and its pipe is gone: all it held is free. Tells the greatest number of lent tokens it held at a time.
    pub fn leave(&mut self, id: SeatId) -> u32 {
        let Some(seat) = self.seats.remove(&id) else {
            return 0;
        };
        self.used -= seat.own + seat.given;
        seat.most
    }

    /// So many bytes lie in the pipe of a build. Answers how many of them are to be read and thrown away, and told by
    /// [`withdrawn`](Self::withdrawn): those that were given back, and any that were never given.
    pub fn observe(&mut self, id: SeatId, inside: u32, now: u64) -> u32 {
        let Some(seat) = self.seats.get_mut(&id) else {
            return inside;
        };
        seat.blocked = false;
        let before = seat.held();
        seat.inside = inside.min(seat.given);
        seat.made_up = inside - seat.inside;
        let (known, held) = (seat.inside, seat.held());
        seat.most = seat.most.max(held);
        seat.idle &= held <= before;
        let poorer = |(other, seat): (&SeatId, &Seat)| {
            *other != id && seat.wants_offer() && !seat.is_idle(now) && seat.held() < held
        };
        // One that lies there may stay as the offer, unless somebody has less.
        let keep = self.used <= self.capacity && !self.seats.iter().any(poorer);
        inside - u32::from(keep && known > 0)
    }

    /// The keeper has read so many bytes from a pipe, of those that [`observe`](Self::observe) named.
    pub fn withdrawn(&mut self, id: SeatId, bytes: u32, now: u64) {
        let Some(seat) = self.seats.get_mut(&id) else {
            return;
        };
        let made_up = bytes.min(seat.made_up);
        seat.made_up -= made_up;
        let known = (bytes - made_up).min(seat.given);
        seat.given -= known;
        seat.inside = seat.inside.saturating_sub(known).min(seat.given);
        if bytes > 0 {
            seat.since = now;
        }
        self.used -= known;
    }

    /// So many bytes, one or none, were read for [`Move::Withdraw`].
    pub fn unused(&mut self, id: SeatId, bytes: u32, now: u64) {
        self.withdrawn(id, bytes, now);
        if let Some(seat) = self.seats.get_mut(&id) {
            // If there was none, the build has taken it just now.
            seat.idle = bytes > 0;
            seat.since = now;
            if bytes == 0 {
                seat.inside = 0;
                seat.most = seat.most.max(seat.held());
            }
        }
    }

    /// An offer was written into a pipe, or could not be: then the build gets none until its pipe is [looked at](Self::observe) again.
    pub fn offered(&mut self, id: SeatId, written: bool, now: u64) {
        let Some(seat) = self.seats.get_mut(&id) else {
            return;
        };
        seat.since = now;
        if written {
            seat.given += 1;
            seat.inside += 1;
            self.used += 1;
        } else {
            seat.blocked = true;
        }
    }

    /// What to do now; to be asked again after each answer, until it has none.
    #[must_use]
    pub fn next_move(&self, now: u64) -> Option<Move> {
        let offers = || self.seats.iter().filter(|(_, seat)| seat.inside > 0);
        if self.used > self.capacity {
            return offers().next().map(|(id, _)| Move::Withdraw(*id));
        }
        // Idle builds come last; else who has least comes first, then who waits longest.
        let wanting = self
            .seats
            .iter()
            .filter(|(_, seat)| seat.wants_offer())
            .min_by_key(|(id, seat)| (seat.is_idle(now), seat.held(), seat.since, **id));
        let (id, seat) = wanting?;
        if self.used < self.capacity {
            return Some(Move::Offer(*id));
        }
        if seat.is_idle(now) {
            return None;
        }
        offers()
            .filter(|(_, seat)| now.saturating_sub(seat.since) >= ROTATION_MS)
            .min_by_key(|(id, seat)| (seat.since, **id))
            .map(|(id, _)| Move::Withdraw(*id))
    }

    /// Whether an offer will have to be moved on after [`ROTATION_MS`], though nothing happens until then.
    #[must_use]
    pub fn is_rotating(&self) -> bool {
        self.seats.values().any(|seat| seat.inside > 0)
            && self.seats.values().any(Seat::wants_offer)
    }

    /// All tokens that builds hold, their own and lent ones.
    #[must_use]
    pub fn held(&self) -> u32 {
        self.seats.values().map(|seat| seat.own + seat.held()).sum()
    }

    /// The lent tokens that a build holds.
    #[must_use]
    pub fn lent(&self, id: SeatId) -> u32 {
        self.seats.get(&id).map_or(0, Seat::held)
    }
}
