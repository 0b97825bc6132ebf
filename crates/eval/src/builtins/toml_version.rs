//! What TOML 1.1 has and 1.0 has not. The parser reads both; Nix's reads 1.0 alone.

/// The error for a document that is valid in TOML 1.1 only, as Nix's parser words it.
pub(super) fn newer_syntax(text: &str) -> Option<&'static str> {
    let mut scan = Scan {
        bytes: text.as_bytes(),
        at: 0,
    };
    // The brackets that are open: whether each is an inline table.
    let mut open: Vec<bool> = Vec::new();
    let mut after_comma = false;
    while let Some(byte) = scan.next() {
        let blank = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        match byte {
            b'#' => scan.skip_comment(),
            b'"' | b'\'' => {
                let newer = scan.string(byte);
                if newer {
                    return Some("[error] toml::parse_basic_string: invalid string format");
                }
            }
            b'\n' if open.last() == Some(&true) => {
                return Some(
                    "[error] toml::parse_simple_key: invalid key: key must be \"quoted\", 'quoted-literal', or bare key.",
                );
            }
            b'[' => open.push(false),
            b'{' => open.push(true),
            b'}' if after_comma => {
                return Some(
                    "[error] toml::parse_inline_table: trailing comma is not allowed in TOML-v1.0.0)",
                );
            }
            b']' | b'}' => {
                open.pop();
            }
            _ => {}
        }
        if !blank {
            after_comma = byte == b',';
        }
    }
    None
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn next(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied();
        self.at += 1;
        byte
    }

    fn skip_comment(&mut self) {
        while self.bytes.get(self.at).is_some_and(|&byte| byte != b'\n') {
            self.at += 1;
        }
    }

    /// Skips the string whose first quote was taken; whether it has an escape that is new.
    fn string(&mut self, quote: u8) -> bool {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let lines = rest.starts_with(&[quote, quote]);
        if lines {
            self.at += 2;
        }
        let mut newer = false;
        while let Some(byte) = self.next() {
            if byte == b'\\' && quote == b'"' {
                newer |= matches!(self.next(), Some(b'e' | b'x'));
            } else if byte == quote {
                if !lines {
                    break;
                }
                let rest = self.bytes.get(self.at..).unwrap_or_default();
                if rest.starts_with(&[quote, quote]) {
                    self.at += 2;
                    // Up to two quotes may stand before the three that close it.
                    while self.bytes.get(self.at) == Some(&quote) {
                        self.at += 1;
                    }
                    break;
                }
            }
        }
        newer
    }
}

#[cfg(test)]
mod tests {
    use super::newer_syntax;

    #[test]
    fn what_is_new_is_found() {
        for text in [
            "a = { x = 1,\n y = 2 }",
            "a = { x = 1, }",
            "a = { x = [ 1,\n 2, ],\n}",
            "a = \"\\e[0m\"",
            "a = \"\"\"b\"c\\x41\"\"\"",
        ] {
            assert!(newer_syntax(text).is_some(), "{text}");
        }
    }

    #[test]
    fn what_is_old_is_not() {
        for text in [
            "a = { x = [ 1,\n 2,\n] } # { x,\n }\n[b]\nc = 1\n[[d]]\n",
            "a = '\\e { ,\n'",
            "a = \"\\\\e\"\nb = \"\"\"{,\n\"\"\"\"\"\nc = '''{,\n'''",
            "\"[\" = 1\n'{' = 2\n",
            "a = {}\nb = []\nc = [[1], { d = '}' }]\n",
        ] {
            assert_eq!(newer_syntax(text), None, "{text}");
        }
    }
}
