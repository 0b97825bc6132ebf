//! "Did you mean …": the known names closest to one that is unknown.

/// The longest edit distance that is still taken for a slip.
const MAX_DISTANCE: usize = 2;
/// How many names are told at most.
const MAX_SUGGESTIONS: usize = 3;

/// The candidates within a few edits of `name`, closest first.
pub fn best_matches<'a>(name: &[u8], candidates: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let mut matches: Vec<(usize, &[u8])> = candidates
        .filter(|candidate| {
            candidate.len().abs_diff(name.len()) <= MAX_DISTANCE && *candidate != name
        })
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= MAX_DISTANCE)
        .collect();
    matches.sort_unstable();
    matches.truncate(MAX_SUGGESTIONS);
    matches
        .into_iter()
        .map(|(_, candidate)| String::from_utf8_lossy(candidate).into_owned())
        .collect()
}

/// The Levenshtein distance.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_closest_first() {
        let names: [&[u8]; 5] = [b"stdenv", b"stdnev", b"lib", b"libs", b"xyz"];
        assert_eq!(best_matches(b"stdenv2", names.iter().copied()), ["stdenv"]);
        assert_eq!(best_matches(b"lbi", names.iter().copied()), ["lib", "libs"]);
        assert!(best_matches(b"completely", names.iter().copied()).is_empty());
    }
}
