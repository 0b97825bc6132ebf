//! Names inside bracket expressions: character classes, collating elements, equivalence classes, in the C locale.

use super::parse::ByteSet;

/// The class `[:name:]`; case does not matter.
pub(crate) fn class(name: &[u8]) -> Option<ByteSet> {
    let name = name.to_ascii_lowercase();
    let test: fn(u8) -> bool = match name.as_slice() {
        b"alnum" => |b| b.is_ascii_alphanumeric(),
        b"alpha" => |b| b.is_ascii_alphabetic(),
        b"blank" => |b| matches!(b, b' ' | b'\t'),
        b"cntrl" => |b| b.is_ascii_control(),
        b"digit" | b"d" => |b| b.is_ascii_digit(),
        b"graph" => |b| b.is_ascii_graphic(),
        b"lower" => |b| b.is_ascii_lowercase(),
        b"print" => |b| b.is_ascii_graphic() || b == b' ',
        b"punct" => |b| b.is_ascii_punctuation(),
        b"space" | b"s" => |b| matches!(b, b'\t'..=b'\r' | b' '),
        b"upper" => |b| b.is_ascii_uppercase(),
        b"xdigit" => |b| b.is_ascii_hexdigit(),
        b"w" => |b| b.is_ascii_alphanumeric() || b == b'_',
        _ => return None,
    };
    let mut set = ByteSet::default();
    (0..=255).filter(|&b| test(b)).for_each(|b| set.insert(b));
    Some(set)
}

/// The bytes that sort like `byte` at the first level: both cases of a letter.
pub(crate) fn equivalents(byte: u8) -> ByteSet {
    let mut set = ByteSet::default();
    set.insert(byte.to_ascii_lowercase());
    set.insert(byte.to_ascii_uppercase());
    set
}

/// The byte that `[.name.]` names: a name of the POSIX locale's character table (POSIX.1-2017, XBD 6.1), or the
/// ASCII character itself where it is its own name.
pub(crate) fn element(name: &[u8]) -> Option<u8> {
    if let [byte @ (b'a'..=b'z' | b'A'..=b'Z')] = name {
        return Some(*byte);
    }
    let name = std::str::from_utf8(name).ok()?;
    NAMES
        .iter()
        .find(|(_, n)| *n == name)
        .map(|(byte, _)| *byte)
}

#[rustfmt::skip]
const NAMES: &[(u8, &str)] = &[
    (0, "NUL"), (1, "SOH"), (2, "STX"), (3, "ETX"), (4, "EOT"), (5, "ENQ"), (6, "ACK"), (7, "alert"),
    (8, "backspace"), (9, "tab"), (10, "newline"), (11, "vertical-tab"), (12, "form-feed"),
    (13, "carriage-return"), (14, "SO"), (15, "SI"), (16, "DLE"), (17, "DC1"), (18, "DC2"), (19, "DC3"),
    (20, "DC4"), (21, "NAK"), (22, "SYN"), (23, "ETB"), (24, "CAN"), (25, "EM"), (26, "SUB"), (27, "ESC"),
    (28, "IS4"), (29, "IS3"), (30, "IS2"), (31, "IS1"), (b' ', "space"), (b'!', "exclamation-mark"),
    (b'"', "quotation-mark"), (b'#', "number-sign"), (b'$', "dollar-sign"), (b'%', "percent-sign"),
    (b'&', "ampersand"), (b'\'', "apostrophe"), (b'(', "left-parenthesis"), (b')', "right-parenthesis"),
    (b'*', "asterisk"), (b'+', "plus-sign"), (b',', "comma"), (b'-', "hyphen"), (b'.', "period"),
    (b'/', "slash"), (b'0', "zero"), (b'1', "one"), (b'2', "two"), (b'3', "three"), (b'4', "four"),
    (b'5', "five"), (b'6', "six"), (b'7', "seven"), (b'8', "eight"), (b'9', "nine"), (b':', "colon"),
    (b';', "semicolon"), (b'<', "less-than-sign"), (b'=', "equals-sign"), (b'>', "greater-than-sign"),
    (b'?', "question-mark"), (b'@', "commercial-at"), (b'[', "left-square-bracket"), (b'\\', "backslash"),
    (b']', "right-square-bracket"), (b'^', "circumflex"), (b'_', "underscore"), (b'`', "grave-accent"),
    (b'{', "left-curly-bracket"), (b'|', "vertical-line"), (b'}', "right-curly-bracket"), (b'~', "tilde"),
    (127, "DEL"),
];
