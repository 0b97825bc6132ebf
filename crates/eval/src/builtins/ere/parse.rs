//! The grammar of extended regular expressions, as `std::regex` reads it.

use super::{EreError, collate};

/// How deep groups may nest; deeper patterns are refused as too large.
const DEPTH_LIMIT: u32 = 1000;

/// A set of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ByteSet([u64; 4]);

impl ByteSet {
    /// Adds a byte.
    pub(crate) fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    /// Whether `byte` is in the set.
    pub(crate) fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }

    /// Adds all of `other`.
    pub(crate) fn union(&mut self, other: &Self) {
        for (a, b) in self.0.iter_mut().zip(other.0) {
            *a |= b;
        }
    }

    fn complement(&self) -> Self {
        Self(self.0.map(|word| !word))
    }

    /// The members in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        (0..=255).filter(|&byte| self.contains(byte))
    }
}

/// A regular expression.
#[derive(Debug, Clone)]
pub(crate) enum Tree {
    /// Matches the empty text.
    Empty,
    /// One byte of a set.
    Set(ByteSet),
    /// `^`
    LineBegin,
    /// `$`
    LineEnd,
    /// `(…)`: the number of the group, from 0.
    Group(usize, Box<Tree>),
    /// One after the other.
    Concat(Vec<Tree>),
    /// `a|b|c`
    Alternatives(Vec<Tree>),
    /// `x{min,max}`, also `*`, `+`, `?`.
    Repeat {
        body: Box<Tree>,
        min: u32,
        max: Option<u32>,
    },
}

/// Parses a whole pattern; also tells how many groups it has.
pub(crate) fn parse(pattern: &[u8]) -> Result<(Tree, usize), EreError> {
    let mut parser = Parser {
        rest: pattern,
        groups: 0,
    };
    let tree = parser.disjunction(0)?;
    if parser.rest.is_empty() {
        Ok((tree, parser.groups))
    } else {
        Err(EreError::Invalid)
    }
}

struct Parser<'a> {
    rest: &'a [u8],
    groups: usize,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.rest.first() == Some(&byte);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    fn disjunction(&mut self, depth: u32) -> Result<Tree, EreError> {
        if depth > DEPTH_LIMIT {
            return Err(EreError::TooLarge);
        }
        let first = self.sequence(depth)?;
        if self.rest.first() != Some(&b'|') {
            return Ok(first);
        }
        let mut all = vec![first];
        while self.eat(b'|') {
            all.push(self.sequence(depth)?);
        }
        Ok(Tree::Alternatives(all))
    }

    fn sequence(&mut self, depth: u32) -> Result<Tree, EreError> {
        let mut parts = Vec::new();
        while let Some(term) = self.term(depth)? {
            parts.push(term);
        }
        Ok(match parts.len() {
            0 => Tree::Empty,
            1 => parts.swap_remove(0),
            _ => Tree::Concat(parts),
        })
    }

    /// One atom with its quantifiers, or an anchor (which takes none); `None` where the sequence ends.
    fn term(&mut self, depth: u32) -> Result<Option<Tree>, EreError> {
        let atom = match self.rest.first() {
            None | Some(b'|' | b')') => return Ok(None),
            Some(b'*' | b'+' | b'?' | b'{') => return Err(EreError::Invalid),
            Some(b'^') => {
                self.next();
                return Ok(Some(Tree::LineBegin));
            }
            Some(b'$') => {
                self.next();
                return Ok(Some(Tree::LineEnd));
            }
            Some(_) => self.atom(depth)?,
        };
        self.quantifiers(atom).map(Some)
    }

    fn atom(&mut self, depth: u32) -> Result<Tree, EreError> {
        let single = |byte| {
            let mut set = ByteSet::default();
            set.insert(byte);
            Ok(Tree::Set(set))
        };
        match self.next() {
            Some(b'.') => {
                let mut nul = ByteSet::default();
                nul.insert(0);
                Ok(Tree::Set(nul.complement()))
            }
            Some(b'(') => {
                let group = self.groups;
                self.groups += 1;
                let body = self.disjunction(depth + 1)?;
                if self.eat(b')') {
                    Ok(Tree::Group(group, Box::new(body)))
                } else {
                    Err(EreError::Invalid)
                }
            }
            Some(b'[') => self.bracket().map(Tree::Set),
            // Only the special characters may be escaped; there are no back references.
            Some(b'\\') => match self.next() {
                Some(byte) if br".[\()*+?{|^$".contains(&byte) => single(byte),
                _ => Err(EreError::Invalid),
            },
            Some(byte) => single(byte),
            None => Err(EreError::Invalid),
        }
    }

    fn quantifiers(&mut self, mut atom: Tree) -> Result<Tree, EreError> {
        loop {
            let (min, max) = match self.rest.first() {
                Some(b'*') => (0, None),
                Some(b'+') => (1, None),
                Some(b'?') => (0, Some(1)),
                Some(b'{') => {
                    self.next();
                    let bounds = self.interval()?;
                    atom = Tree::Repeat {
                        body: Box::new(atom),
                        min: bounds.0,
                        max: bounds.1,
                    };
                    continue;
                }
                _ => return Ok(atom),
            };
            self.next();
            atom = Tree::Repeat {
                body: Box::new(atom),
                min,
                max,
            };
        }
    }

    /// `n}`, `n,}`, `n,m}`: what follows `{`.
    fn interval(&mut self) -> Result<(u32, Option<u32>), EreError> {
        let min = self.number()?.ok_or(EreError::Invalid)?;
        let max = if self.eat(b',') {
            self.number()?
        } else {
            Some(min)
        };
        if !self.eat(b'}') || max.is_some_and(|max| max < min) {
            return Err(EreError::Invalid);
        }
        Ok((min, max))
    }

    fn number(&mut self) -> Result<Option<u32>, EreError> {
        let len = self.rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = self.rest.split_at(len);
        self.rest = rest;
        if digits.is_empty() {
            return Ok(None);
        }
        let text = std::str::from_utf8(digits).map_err(|_| EreError::Invalid)?;
        let value: i32 = text.parse().map_err(|_| EreError::Invalid)?;
        u32::try_from(value)
            .map(Some)
            .map_err(|_| EreError::Invalid)
    }

    /// A bracket expression: what follows `[`.
    fn bracket(&mut self) -> Result<ByteSet, EreError> {
        let negated = self.eat(b'^');
        let mut set = ByteSet::default();
        let mut last = Last::Nothing;
        // `]` and `-` are ordinary in the first place.
        if let Some(&byte @ (b']' | b'-')) = self.rest.first() {
            self.next();
            last = Last::Byte(byte);
        }
        loop {
            match self.bracket_item()? {
                Item::End => break,
                Item::Byte(byte) => last.replace(Last::Byte(byte), &mut set),
                Item::Class(class) => {
                    last.replace(Last::Class, &mut set);
                    set.union(&class);
                }
                Item::Dash => match (last, self.bracket_item()?) {
                    (_, Item::End) => {
                        last.replace(Last::Byte(b'-'), &mut set);
                        break;
                    }
                    (Last::Byte(from), Item::Byte(to)) => {
                        range(&mut set, from, to)?;
                        last = Last::Nothing;
                    }
                    (Last::Byte(from), Item::Dash) => {
                        range(&mut set, from, b'-')?;
                        last = Last::Nothing;
                    }
                    _ => return Err(EreError::Invalid),
                },
            }
        }
        last.replace(Last::Nothing, &mut set);
        Ok(if negated { set.complement() } else { set })
    }

    fn bracket_item(&mut self) -> Result<Item, EreError> {
        match self.next().ok_or(EreError::Invalid)? {
            b']' => Ok(Item::End),
            b'-' => Ok(Item::Dash),
            b'[' => match self.rest.first() {
                None => Err(EreError::Invalid),
                Some(&kind @ (b':' | b'.' | b'=')) => {
                    self.next();
                    let len = self
                        .rest
                        .iter()
                        .position(|&b| b == kind)
                        .ok_or(EreError::Invalid)?;
                    let name = &self.rest[..len];
                    self.rest = &self.rest[len + 1..];
                    if !self.eat(b']') {
                        return Err(EreError::Invalid);
                    }
                    let item = match kind {
                        b':' => collate::class(name).map(Item::Class),
                        b'.' => collate::element(name).map(Item::Byte),
                        _ => collate::element(name)
                            .map(|byte| Item::Class(collate::equivalents(byte))),
                    };
                    item.ok_or(EreError::Invalid)
                }
                Some(_) => Ok(Item::Byte(b'[')),
            },
            byte => Ok(Item::Byte(byte)),
        }
    }
}

/// One piece of a bracket expression.
enum Item {
    Byte(u8),
    Class(ByteSet),
    Dash,
    End,
}

/// What stood before, which a dash may turn into the start of a range.
#[derive(Clone, Copy)]
enum Last {
    Nothing,
    Byte(u8),
    Class,
}

impl Last {
    fn replace(&mut self, new: Self, set: &mut ByteSet) {
        if let Self::Byte(byte) = *self {
            set.insert(byte);
        }
        *self = new;
    }
}

/// Adds the bytes from `from` to `to`, which compare as signed characters.
fn range(set: &mut ByteSet, from: u8, to: u8) -> Result<(), EreError> {
    let (from, to) = (from.cast_signed(), to.cast_signed());
    if from > to {
        return Err(EreError::Invalid);
    }
    (from..=to).for_each(|byte| set.insert(byte.cast_unsigned()));
    Ok(())
}
