//! POSIX extended regular expressions over bytes, for `builtins.match` and `builtins.split`.
//!
//! Nix inherits the semantics of its C++ library's `std::regex` in `extended` mode, which is neither what POSIX
//! says nor what any Rust crate offers ([`search`] tells them); also, groups keep captures from earlier iterations, and
//! a loop may run once over nothing. Programs observe all of these, so they are implemented here rather than
//! approximated by a translation. Unlike the original, matching is linear in pattern × text for all patterns without
//! nested empty loops, and needs no stack.
//!
//! - [`parse`]: text to tree, with the original's idea of what is an error.
//! - [`program`]: tree to states.
//! - [`search`]: the matcher.

mod collate;
mod parse;
mod program;
mod search;

pub(crate) use search::{Captures, Matches};

/// Why a pattern is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EreError {
    /// It is not a regular expression.
    Invalid,
    /// It needs more than [`program::STATE_LIMIT`] states.
    TooLarge,
}

/// A compiled expression.
#[derive(Debug)]
pub(crate) struct Ere(program::Program);

impl Ere {
    /// Compiles `pattern`.
    pub(crate) fn new(pattern: &[u8]) -> Result<Self, EreError> {
        let (tree, groups) = parse::parse(pattern)?;
        Ok(Self(program::Program::new(&tree, groups)?))
    }

    /// Matches the whole of `text`. As soon as `stop` says so, there is no match.
    pub(crate) fn full_match(&self, text: &[u8], stop: &dyn Fn() -> bool) -> Option<Captures> {
        search::full_match(&self.0, text, stop)
    }

    /// All non-overlapping matches in `text`, from left to right, until `stop` says to end.
    pub(crate) fn matches<'a>(&'a self, text: &'a [u8], stop: &'a dyn Fn() -> bool) -> Matches<'a> {
        Matches::new(&self.0, text, stop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(captures: &Captures, text: &str) -> Vec<Option<String>> {
        captures
            .groups()
            .map(|g| g.map(|(a, b)| text[a..b].to_owned()))
            .collect()
    }

    fn matched(pattern: &str, text: &str) -> Option<Vec<Option<String>>> {
        let ere = Ere::new(pattern.as_bytes()).unwrap();
        ere.full_match(text.as_bytes(), &|| false)
            .map(|c| groups(&c, text))
    }

    fn some(groups: &[&str]) -> Option<Vec<Option<String>>> {
        Some(groups.iter().map(|g| Some((*g).to_owned())).collect())
    }

    #[test]
    fn whole_match_takes_the_first_path() {
        assert_eq!(
            matched("(a|ab)(c|bcd)(d*)", "abcd"),
            some(&["a", "bcd", ""])
        );
        assert_eq!(matched("(a*)*", "aa"), some(&[""]));
        assert_eq!(matched("(a*)*", ""), some(&[""]));
        assert_eq!(matched("(a*)*", "b"), None);
        assert_eq!(matched("(x(y)?)*", "xyx"), some(&["x", "y"]));
        assert_eq!(matched("a|(b)", "a"), Some(vec![None]));
        assert_eq!(matched("(a){0}b", "b"), Some(vec![None]));
    }

    #[test]
    fn search_takes_the_longest_alternative() {
        let ere = Ere::new(b"a|ab|abc").unwrap();
        let found: Vec<_> = ere
            .matches(b"xabcab", &|| false)
            .map(|c| c.whole())
            .collect();
        assert_eq!(found, [(1, 4), (4, 6)]);
    }

    #[test]
    fn search_takes_the_first_run_of_a_loop() {
        let ere = Ere::new(b"(a?)(ab)?").unwrap();
        let found: Vec<_> = ere.matches(b"ab", &|| false).map(|c| c.whole()).collect();
        assert_eq!(found, [(0, 1), (1, 1), (2, 2)]);
    }

    #[test]
    fn empty_matches_advance() {
        let ere = Ere::new(b"x*").unwrap();
        let found: Vec<_> = ere.matches(b"axb", &|| false).map(|c| c.whole()).collect();
        assert_eq!(found, [(0, 0), (1, 2), (2, 2), (3, 3)]);
    }

    #[test]
    fn refused() {
        for bad in [
            "\\]",
            "\\d",
            "a{2,1}",
            "[a-z--0]",
            "[[:foo:]]",
            "^*",
            "a|*b",
            "(",
            ")",
            "a{,3}",
            "{",
            "[",
            "\\",
            "[z-a]",
            "[[.foo.]]",
        ] {
            assert_eq!(
                Ere::new(bad.as_bytes()).err(),
                Some(EreError::Invalid),
                "{bad}"
            );
        }
        assert_eq!(Ere::new(b"a{99999}").err(), Some(EreError::TooLarge));
        assert_eq!(
            Ere::new("(".repeat(100_000).as_bytes()).err(),
            Some(EreError::TooLarge)
        );
    }

    #[test]
    fn long_text_needs_no_stack() {
        let text = "ab".repeat(200_000);
        assert_eq!(matched("(a|b)*", &text), some(&["b"]));
        assert_eq!(matched("(a|b|ab)*c", &text), None);
    }

    #[test]
    fn nested_empty_loops_end() {
        assert_eq!(matched("((a*)*)*b", &"a".repeat(40)), None);
    }
}
