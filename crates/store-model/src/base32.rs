//! Nix's own base-32 ("nix32"): 32 digits without `e o u t`, the number
//! written with its most significant digit first and its bytes in
//! little-endian order.
//!
//! Format: Nix manual, "Store path specification", `nix32`.

/// The digits, in the order of their values.
pub const ALPHABET: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";

const INVALID: u8 = 0xff;

const VALUES: [u8; 256] = {
    let mut table = [INVALID; 256];
    let mut i = 0;
    while i < 32 {
        table[ALPHABET[i] as usize] = i as u8;
        i += 1;
    }
    table
};

/// Why a text is not the base-32 form of so many bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Base32Error {
    /// A byte that is no digit.
    #[error("invalid character '{}' at offset {offset} in base-32 text (its digits are 0-9 and a-z without e, o, u, t)", .found.escape_ascii())]
    Digit {
        /// Where, in bytes from the start.
        offset: usize,
        /// The byte found there.
        found: u8,
    },
    /// Not the number of digits that the number of bytes needs.
    #[error("base-32 text has {found} characters, expected {expected}")]
    Length {
        /// Digits needed.
        expected: usize,
        /// Digits found.
        found: usize,
    },
    /// The first digit stands for bits beyond the last byte.
    #[error("base-32 text encodes a number that does not fit into {bytes} bytes")]
    Overflow {
        /// Bytes expected.
        bytes: usize,
    },
}

/// Whether `byte` is one of the 32 digits.
#[inline]
#[must_use]
pub fn is_digit(byte: u8) -> bool {
    VALUES[byte as usize] != INVALID
}

/// How many digits `bytes` bytes become.
#[must_use]
pub const fn encoded_len(bytes: usize) -> usize {
    (bytes * 8).div_ceil(5)
}

/// The base-32 text of `bytes`.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let len = encoded_len(bytes.len());
    let mut text = String::with_capacity(len);
    for n in (0..len).rev() {
        let (byte, shift) = (n * 5 / 8, n * 5 % 8);
        let low = u16::from(bytes[byte]);
        let high = bytes.get(byte + 1).map_or(0, |&b| u16::from(b));
        let digit = (((high << 8) | low) >> shift) & 0x1f;
        text.push(char::from(ALPHABET[usize::from(digit)]));
    }
    text
}

/// The `expected_len` bytes whose base-32 text is `text`.
///
/// # Errors
/// When `text` has another length than `expected_len` bytes need, holds
/// anything but the digits, or encodes a larger number.
pub fn decode(text: &str, expected_len: usize) -> Result<Vec<u8>, Base32Error> {
    let digits = text.as_bytes();
    if let Some(offset) = digits.iter().position(|&b| !is_digit(b)) {
        return Err(Base32Error::Digit {
            offset,
            found: digits[offset],
        });
    }
    let expected = encoded_len(expected_len);
    if digits.len() != expected {
        return Err(Base32Error::Length {
            expected,
            found: digits.len(),
        });
    }
    let mut bytes = vec![0u8; expected_len];
    for (n, &digit) in digits.iter().rev().enumerate() {
        let (byte, shift) = (n * 5 / 8, n * 5 % 8);
        let value = u16::from(VALUES[digit as usize]) << shift;
        // `byte` is in range: the length was checked above.
        bytes[byte] |= value as u8;
        let carry = (value >> 8) as u8;
        match bytes.get_mut(byte + 1) {
            Some(next) => *next |= carry,
            None if carry != 0 => {
                return Err(Base32Error::Overflow {
                    bytes: expected_len,
                });
            }
            None => {}
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn knows_the_empty_text() {
        assert_eq!(encode(b""), "");
        assert_eq!(decode("", 0), Ok(vec![]));
    }

    #[test]
    fn says_what_is_wrong() {
        let show = |text, len| decode(text, len).expect_err("must fail").to_string();
        insta::assert_snapshot!(show("0e", 1), @"invalid character 'e' at offset 1 in base-32 text (its digits are 0-9 and a-z without e, o, u, t)");
        insta::assert_snapshot!(show("000", 1), @"base-32 text has 3 characters, expected 2");
        insta::assert_snapshot!(show("zz", 1), @"base-32 text encodes a number that does not fit into 1 bytes");
        insta::assert_snapshot!(show("0é", 1), @r"invalid character '\xc3' at offset 1 in base-32 text (its digits are 0-9 and a-z without e, o, u, t)");
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(bytes in proptest::collection::vec(any::<u8>(), 0..70)) {
            prop_assert_eq!(decode(&encode(&bytes), bytes.len()), Ok(bytes));
        }

        #[test]
        fn encoding_undoes_decoding(text in "[0-9a-df-np-sv-z]{52}") {
            if let Ok(bytes) = decode(&text, 32) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }

        #[test]
        fn never_panics(text in ".{0,60}", len in 0usize..40) {
            let _ = decode(&text, len);
        }
    }
}
