//! Writing JSON as `builtins.toJSON` does: strings must be UTF-8, and nothing but what must be is escaped.

/// Why a string cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WriteError {
    /// A byte that cannot stand where it stands.
    #[error(
        "JSON serialization error: [json.exception.type_error.316] invalid UTF-8 byte at index {index}: 0x{byte:02X}"
    )]
    InvalidByte { index: usize, byte: u8 },
    /// The text ends within a character.
    #[error(
        "JSON serialization error: [json.exception.type_error.316] incomplete UTF-8 string; last byte: 0x{0:02X}"
    )]
    Incomplete(u8),
}

/// Appends `text` as a string literal.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &[u8]) -> Result<(), WriteError> {
    if let Err(error) = std::str::from_utf8(text) {
        let at = error.valid_up_to();
        return Err(match error.error_len() {
            None => WriteError::Incomplete(text.last().copied().unwrap_or_default()),
            // The byte at fault is the first one that cannot continue what came before.
            Some(len) => {
                let index = if matches!(text[at], 0xC2..=0xF4) {
                    at + len
                } else {
                    at
                };
                WriteError::InvalidByte {
                    index,
                    byte: text.get(index).copied().unwrap_or_default(),
                }
            }
        });
    }
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = rest
        .iter()
        .position(|&b| b < 0x20 || matches!(b, b'"' | b'\\'))
    {
        out.extend_from_slice(&rest[..at]);
        let short = match rest[at] {
            b'"' => b'"',
            b'\\' => b'\\',
            8 => b'b',
            9 => b't',
            10 => b'n',
            12 => b'f',
            13 => b'r',
            byte => {
                out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                0
            }
        };
        if short != 0 {
            out.extend_from_slice(&[b'\\', short]);
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &[u8]) -> String {
        let mut out = Vec::new();
        match write_string(&mut out, text) {
            Ok(()) => String::from_utf8(out).unwrap(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn escapes() {
        assert_eq!(
            written("\t\n\"\\/é\u{1}\u{7f}\u{c}\u{8}\r".as_bytes()),
            "\"\\t\\n\\\"\\\\/é\\u0001\u{7f}\\f\\b\\r\""
        );
    }

    #[test]
    fn not_utf8() {
        insta::assert_snapshot!(written(b"ab\xc3"), @"JSON serialization error: [json.exception.type_error.316] incomplete UTF-8 string; last byte: 0xC3");
        insta::assert_snapshot!(written(b"ab\xff"), @"JSON serialization error: [json.exception.type_error.316] invalid UTF-8 byte at index 2: 0xFF");
        insta::assert_snapshot!(written(b"ab\xc3("), @"JSON serialization error: [json.exception.type_error.316] invalid UTF-8 byte at index 3: 0x28");
    }

    proptest::proptest! {
        #[test]
        fn serde_reads_it(text: String) {
            let read: String = serde_json::from_str(&written(text.as_bytes())).unwrap();
            proptest::prop_assert_eq!(read, text);
        }
    }
}
