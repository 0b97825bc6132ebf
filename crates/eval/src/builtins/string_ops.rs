//! The pure parts of the string builtins.

/// The part of `text` that `builtins.substring start len` takes: a negative length means all the rest, and what lies
/// beyond the end is left out. `start` is not negative.
pub(crate) fn substring(text: &[u8], start: i64, len: i64) -> &[u8] {
    let start = usize::try_from(start).unwrap_or(usize::MAX);
    let Some(rest) = text.get(start..) else {
        return b"";
    };
    match usize::try_from(len) {
        Ok(len) if len < rest.len() => &rest[..len],
        _ => rest,
    }
}

/// Replaces in one pass from left to right, the first fitting pattern at each place. `replacement` gives (and may fail
/// to give) the text for the pattern of a number; it is asked at every use. An empty pattern fits everywhere, also at
/// the end, and keeps the byte it stands before. Once `stop` says so, the rest is left out.
pub(crate) fn replace<T: AsRef<[u8]>, E>(
    text: &[u8],
    patterns: &[T],
    stop: &dyn Fn() -> bool,
    mut replacement: impl FnMut(usize, &mut Vec<u8>) -> Result<(), E>,
) -> Result<Vec<u8>, E> {
    let mut out = Vec::with_capacity(text.len());
    // Which bytes a pattern begins with: most places are passed over by a look into this table.
    let mut begins = [false; 256];
    let mut anywhere = false;
    for pattern in patterns {
        match pattern.as_ref().first() {
            Some(&byte) => begins[usize::from(byte)] = true,
            None => anywhere = true,
        }
    }
    let mut at = 0;
    let mut places = 0_u32;
    while at <= text.len() {
        places = places.wrapping_add(1);
        if places.is_multiple_of(1 << 8) && stop() {
            break;
        }
        let rest = &text[at..];
        if !anywhere {
            let skip = rest
                .iter()
                .position(|&byte| begins[usize::from(byte)])
                .unwrap_or(rest.len());
            out.extend_from_slice(&rest[..skip]);
            at += skip;
            if at == text.len() {
                break;
            }
        }
        let rest = &text[at..];
        let found = patterns
            .iter()
            .position(|pattern| rest.starts_with(pattern.as_ref()));
        let len = match found {
            Some(index) => {
                replacement(index, &mut out)?;
                patterns[index].as_ref().len()
            }
            None => 0,
        };
        if len == 0 {
            out.extend(rest.first());
            at += 1;
        } else {
            at += len;
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(text: &str, from: &[&str], to: &[&str]) -> String {
        let out = replace(text.as_bytes(), from, &|| false, |i, out| {
            out.extend_from_slice(to[i].as_bytes());
            Ok::<_, std::convert::Infallible>(())
        });
        String::from_utf8(out.unwrap()).unwrap()
    }

    #[test]
    fn replacing() {
        assert_eq!(replaced("fabir", &["a", "bi"], &["oo", "X"]), "fooXr");
        assert_eq!(replaced("abc", &[""], &["-"]), "-a-b-c-");
        assert_eq!(replaced("abc", &["a", ""], &["A", "-"]), "A-b-c-");
        assert_eq!(replaced("", &["a"], &["A"]), "");
        assert_eq!(replaced("aab", &["a", "aa"], &["1", "2"]), "11b");
        assert_eq!(replaced("abc", &["c"], &[""]), "ab");
    }

    #[test]
    fn parts() {
        assert_eq!(substring(b"hello", 1, 3), b"ell");
        assert_eq!(substring(b"hello", 1, -1), b"ello");
        assert_eq!(substring(b"hello", 9, 1), b"");
        assert_eq!(substring(b"hello", 0, i64::MAX), b"hello");
        assert_eq!(substring(b"hello", i64::MAX, i64::MIN), b"");
    }
}
