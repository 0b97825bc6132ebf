//! Finding references: which of some candidate store paths occur in a stream.
//!
//! A reference is any occurrence of a candidate's 32-character hash part,
//! whatever surrounds it (Nix manual, "Store object", "References"). The
//! search looks at the last byte of each 32-byte window first: if it is no
//! base-32 digit, no window that contains it can match, and up to 32 bytes are
//! skipped at once.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};

use crate::base32;
use crate::store_path::{HASH_PART_LEN, StorePath};

const WINDOW: usize = HASH_PART_LEN;

type Key = [u8; WINDOW];

/// Searches what is written to it for the hash parts of candidate paths.
/// Borders between writes do not matter.
pub struct RefScanner {
    /// Candidates not yet found. Two paths may share a hash part.
    wanted: HashMap<Key, Vec<StorePath>>,
    /// One bit for each value of [`slot`] that some wanted key has: most
    /// windows of digits are refused here, without hashing 32 bytes.
    filter: Box<[u64; FILTER_WORDS]>,
    found: BTreeSet<StorePath>,
    /// The last bytes seen, fewer than a window.
    tail: Vec<u8>,
}

const FILTER_WORDS: usize = 1024;

/// Which bit of the filter stands for a window: 16 bits mixed from its first
/// eight characters.
fn slot(window: &[u8]) -> usize {
    let mut head = [0; 8];
    head.copy_from_slice(&window[..8]);
    (u64::from_le_bytes(head).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize
}

impl RefScanner {
    /// A scanner for these paths.
    pub fn new<'a>(candidates: impl IntoIterator<Item = &'a StorePath>) -> RefScanner {
        let mut wanted: HashMap<Key, Vec<StorePath>> = HashMap::new();
        let mut filter = Box::new([0; FILTER_WORDS]);
        for path in candidates {
            let mut key = [0; WINDOW];
            key.copy_from_slice(path.hash_part().as_bytes());
            let slot = slot(&key);
            filter[slot / 64] |= 1 << (slot % 64);
            wanted.entry(key).or_default().push(path.clone());
        }
        RefScanner {
            wanted,
            filter,
            found: BTreeSet::new(),
            tail: Vec::with_capacity(2 * WINDOW),
        }
    }

    /// Searches `data`, which continues what was given before.
    pub fn update(&mut self, data: &[u8]) {
        if self.wanted.is_empty() {
            return;
        }
        if !self.tail.is_empty() {
            // Windows that begin before `data` end within its first 31 bytes.
            let mut seam = std::mem::take(&mut self.tail);
            seam.extend_from_slice(&data[..data.len().min(WINDOW - 1)]);
            self.scan(&seam);
            self.tail = seam;
        }
        self.scan(data);
        if data.len() >= WINDOW - 1 {
            self.tail.clear();
            self.tail
                .extend_from_slice(&data[data.len() - (WINDOW - 1)..]);
        } else {
            // A short write: the seam already holds it, if there was one.
            if self.tail.is_empty() {
                self.tail.extend_from_slice(data);
            }
            let excess = self.tail.len().saturating_sub(WINDOW - 1);
            self.tail.drain(..excess);
        }
    }

    fn scan(&mut self, data: &[u8]) {
        let mut start = 0;
        'windows: while start + WINDOW <= data.len() {
            let window = &data[start..start + WINDOW];
            for (i, &byte) in window.iter().enumerate().rev() {
                if !base32::is_digit(byte) {
                    start += i + 1;
                    continue 'windows;
                }
            }
            // A run of digits: each further digit moves the window by one.
            loop {
                self.check(&data[start..start + WINDOW]);
                match data.get(start + WINDOW) {
                    Some(&next) if base32::is_digit(next) => start += 1,
                    Some(_) => {
                        start += WINDOW + 1;
                        continue 'windows;
                    }
                    None => return,
                }
            }
        }
    }

    #[inline]
    fn check(&mut self, window: &[u8]) {
        let slot = slot(window);
        if self.filter[slot / 64] & (1 << (slot % 64)) != 0
            && let Some(paths) = self.wanted.remove(window)
        {
            self.found.extend(paths);
        }
    }

    /// The candidates found so far.
    #[must_use]
    pub fn found(self) -> BTreeSet<StorePath> {
        self.found
    }
}

impl Write for RefScanner {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.update(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(hash: &str, name: &str) -> StorePath {
        StorePath::from_base_name(&format!("{hash}-{name}")).expect("a valid name")
    }

    const A: &str = "0123456789abcdfghijklmnpqrsvwxyz";
    const B: &str = "zyxwvsrqpnmlkjihgfdcba9876543210";

    fn scan(chunks: &[&[u8]], candidates: &[StorePath]) -> BTreeSet<StorePath> {
        let mut scanner = RefScanner::new(candidates);
        for chunk in chunks {
            scanner.write_all(chunk).expect("scanning cannot fail");
        }
        scanner.found()
    }

    #[test]
    fn finds_the_hash_part_alone() {
        let a = path(A, "a");
        let found = scan(&[A.as_bytes()], &[a.clone(), path(B, "b")]);
        assert_eq!(found, BTreeSet::from([a]));
    }

    #[test]
    fn finds_all_names_of_one_hash_part() {
        let both = [path(A, "a"), path(A, "b")];
        assert_eq!(scan(&[A.as_bytes()], &both), BTreeSet::from(both.clone()));
    }

    #[test]
    fn finds_a_hash_part_inside_a_longer_run_of_digits() {
        let text = format!("000000000000{A}0000");
        assert_eq!(scan(&[text.as_bytes()], &[path(A, "a")]).len(), 1);
    }

    #[test]
    fn nothing_to_find_in_a_short_stream() {
        assert!(scan(&[&A.as_bytes()[..31]], &[path(A, "a")]).is_empty());
        assert!(scan(&[], &[path(A, "a")]).is_empty());
    }

    #[test]
    fn every_split_of_an_occurrence() {
        let text = format!("..{A}..");
        for i in 0..text.len() {
            for j in i..text.len() {
                let (x, y, z) = (
                    &text.as_bytes()[..i],
                    &text.as_bytes()[i..j],
                    &text.as_bytes()[j..],
                );
                assert_eq!(
                    scan(&[x, y, z], &[path(A, "a")]).len(),
                    1,
                    "split at {i}, {j}"
                );
            }
        }
        let bytewise: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(scan(&bytewise, &[path(A, "a")]).len(), 1);
    }

    proptest! {
        // Against the obvious search of the whole text, over an alphabet that
        // makes long runs of digits.
        #[test]
        fn agrees_with_a_plain_search(
            pieces in proptest::collection::vec(
                prop_oneof![
                    Just(A.to_owned()), Just(B.to_owned()), Just(A[..20].to_owned()),
                    Just(B[9..].to_owned()), "[0-9a-f/.]{0,40}",
                ], 0..8),
            size in 1usize..50,
        ) {
            let text = pieces.concat();
            let candidates = [path(A, "a"), path(B, "b"), path(&A.replace('0', "1"), "c")];
            let chunks: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            let expected: BTreeSet<StorePath> =
                candidates.iter().filter(|p| text.contains(p.hash_part())).cloned().collect();
            prop_assert_eq!(scan(&chunks, &candidates), expected);
        }
    }
}
