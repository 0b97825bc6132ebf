//! Paths as text: the lexical rules of `baseNameOf` and `dirOf`.

/// What `builtins.baseNameOf` finds: the last component; of trailing slashes only one is ignored.
pub(crate) fn base_name(path: &[u8]) -> &[u8] {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    memchr::memrchr(b'/', path).map_or(path, |at| &path[at + 1..])
}

/// What `builtins.dirOf` makes of a string: all before the last slash.
pub(crate) fn dir_name(path: &[u8]) -> &[u8] {
    match memchr::memrchr(b'/', path) {
        None => b".",
        Some(0) => b"/",
        Some(at) => &path[..at],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let base = |p: &'static str| std::str::from_utf8(base_name(p.as_bytes())).unwrap();
        assert_eq!(
            ["", "a", "a/b", "a/b/", "a/b//", "/", "//", "/a"].map(base),
            ["", "a", "b", "b", "", "", "", "a"]
        );
        let dir = |p: &'static str| std::str::from_utf8(dir_name(p.as_bytes())).unwrap();
        assert_eq!(
            ["", "a", "a/b", "a/b/", "/", "/a", "//a"].map(dir),
            [".", ".", "a", "a/b", "/", "/", "/"]
        );
    }
}
