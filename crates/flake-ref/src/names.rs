//! Names of flakes, branches, tags and commits.

/// Whether it is the name of a flake in a registry, or of an input: `[a-zA-Z][a-zA-Z0-9_-]*`.
#[must_use]
pub fn is_flake_id(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// Whether it is a commit's hash: 40 hexadecimal digits.
#[must_use]
pub fn is_rev(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What flake references take for a branch or tag in `ID/REF`: a part of what Git allows.
pub(crate) fn looks_like_ref(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '@')
        && text.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'/' | b'@' | b'+' | b'-')
        })
}

/// Whether Git allows the name for a branch, a tag or a reference (git-check-ref-format(1)).
#[must_use]
pub fn is_legal_ref_name(name: &str) -> bool {
    let bad_byte = |byte: u8| byte <= b' ' || byte == 0x7f || b"~^:?*[\\".contains(&byte);
    !name.is_empty()
        && name != "@"
        && !name.starts_with('-')
        && !name.ends_with('.')
        && !name.contains("..")
        && !name.contains("@{")
        && !name.bytes().any(bad_byte)
        && name.split('/').all(|component| {
            !component.is_empty() && !component.starts_with('.') && !component.ends_with(".lock")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        for good in ["master", "refs/heads/x", "HEAD", "a/b", "v1.0", "x@y", "é"] {
            assert!(is_legal_ref_name(good), "{good}");
        }
        for bad in [
            "", "@", "-x", "a..b", "a b", "x.lock", "/x", "x/", "a//b", ".x", "a/.b", "x.", "x~1",
            "x^", "a:b", "a?", "a*", "[", "a\\b", "x@{0}", "\u{7f}",
        ] {
            assert!(!is_legal_ref_name(bad), "{bad}");
        }
    }
}
