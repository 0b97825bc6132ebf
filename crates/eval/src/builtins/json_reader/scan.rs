//! The tokens of JSON.

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token {
    BeginArray,
    EndArray,
    BeginObject,
    EndObject,
    NameSeparator,
    ValueSeparator,
    True,
    False,
    Null,
    /// The text is in the reader's buffer.
    String,
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    End,
}

impl Token {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::BeginArray => "'['",
            Self::EndArray => "']'",
            Self::BeginObject => "'{'",
            Self::EndObject => "'}'",
            Self::NameSeparator => "':'",
            Self::ValueSeparator => "','",
            Self::True => "true literal",
            Self::False => "false literal",
            Self::Null => "null literal",
            Self::String => "string literal",
            Self::Integer(_) | Self::Unsigned(_) | Self::Float(_) => "number literal",
            Self::End => "end of input",
        }
    }
}

/// Reads token by token.
pub(super) struct Reader<'a> {
    pub(super) text: &'a [u8],
    pub(super) at: usize,
    /// From where an error shows what was read last.
    pub(super) token_start: usize,
    pub(super) buffer: Vec<u8>,
}

impl Reader<'_> {
    /// Reads a token; an error has a message and how far was read.
    pub(super) fn scan(&mut self) -> Result<Token, (String, usize)> {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        let Some(&byte) = self.text.get(self.at) else {
            return Ok(Token::End);
        };
        let token = match byte {
            b'[' => Token::BeginArray,
            b']' => Token::EndArray,
            b'{' => Token::BeginObject,
            b'}' => Token::EndObject,
            b':' => Token::NameSeparator,
            b',' => Token::ValueSeparator,
            b't' => return self.literal(b"true", Token::True),
            b'f' => return self.literal(b"false", Token::False),
            b'n' => return self.literal(b"null", Token::Null),
            b'"' => return self.string(),
            b'-' | b'0'..=b'9' => return self.number(),
            _ => return Err(("invalid literal".to_owned(), self.at + 1)),
        };
        self.at += 1;
        Ok(token)
    }

    fn literal(&mut self, literal: &[u8], token: Token) -> Result<Token, (String, usize)> {
        let rest = &self.text[self.at..];
        let same = literal.iter().zip(rest).take_while(|(a, b)| a == b).count();
        if same < literal.len() {
            return Err(("invalid literal".to_owned(), self.at + same + 1));
        }
        self.at += same;
        Ok(token)
    }

    fn number(&mut self) -> Result<Token, (String, usize)> {
        self.token_start = self.at;
        let text = self.text;
        let digits = |mut at: usize| {
            while text.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            at
        };
        let required = |at: usize, what: &str| {
            let end = digits(at);
            if end == at {
                Err((format!("invalid number; expected {what}"), at + 1))
            } else {
                Ok(end)
            }
        };
        let mut at = self.at;
        let mut integer = true;
        if text[at] == b'-' {
            at += 1;
        }
        at = if text.get(at) == Some(&b'0') {
            at + 1
        } else {
            required(at, "digit after '-'")?
        };
        if text.get(at) == Some(&b'.') {
            integer = false;
            at = required(at + 1, "digit after '.'")?;
        }
        if matches!(text.get(at), Some(b'e' | b'E')) {
            integer = false;
            at = if matches!(text.get(at + 1), Some(b'+' | b'-')) {
                required(at + 2, "digit after exponent sign")?
            } else {
                required(at + 1, "'+', '-', or digit after exponent")?
            };
        }
        let text = std::str::from_utf8(&text[self.at..at]).unwrap_or_default();
        self.at = at;
        if integer {
            if let Ok(value) = text.parse() {
                return Ok(Token::Integer(value));
            }
            if let Ok(value) = text.parse() {
                return Ok(Token::Unsigned(value));
            }
        }
        Ok(Token::Float(text.parse().unwrap_or(f64::INFINITY)))
    }

    fn string(&mut self) -> Result<Token, (String, usize)> {
        self.token_start = self.at;
        self.buffer.clear();
        let mut at = self.at + 1;
        loop {
            let plain = self.text[at..]
                .iter()
                .position(|&b| !(0x20..0x80).contains(&b) || matches!(b, b'"' | b'\\'))
                .unwrap_or(self.text.len() - at);
            self.buffer.extend_from_slice(&self.text[at..at + plain]);
            at += plain;
            match self.text.get(at) {
                None => return Err(("invalid string: missing closing quote".to_owned(), at + 1)),
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(Token::String);
                }
                Some(b'\\') => at = self.escape(at + 1)?,
                Some(&byte) if byte < 0x20 => return Err((control_message(byte), at + 1)),
                Some(_) => at = self.utf8(at)?,
            }
        }
    }

    /// What follows a backslash; returns where the text goes on.
    fn escape(&mut self, at: usize) -> Result<usize, (String, usize)> {
        let byte = match self.text.get(at) {
            Some(&byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => return self.unicode_escape(at + 1),
            _ => {
                return Err((
                    "invalid string: forbidden character after backslash".to_owned(),
                    at + 1,
                ));
            }
        };
        self.buffer.push(byte);
        Ok(at + 1)
    }

    fn unicode_escape(&mut self, at: usize) -> Result<usize, (String, usize)> {
        let first = self.hex4(at)?;
        let mut next = at + 4;
        let low_only =
            "invalid string: surrogate U+D800..U+DBFF must be followed by U+DC00..U+DFFF";
        let code = match first {
            0xD800..=0xDBFF => {
                for expected in [b'\\', b'u'] {
                    if self.text.get(next) != Some(&expected) {
                        return Err((low_only.to_owned(), next + 1));
                    }
                    next += 1;
                }
                let second = self.hex4(next)?;
                next += 4;
                if !(0xDC00..=0xDFFF).contains(&second) {
                    return Err((low_only.to_owned(), next));
                }
                0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
            }
            0xDC00..=0xDFFF => {
                let message = "invalid string: surrogate U+DC00..U+DFFF must follow U+D800..U+DBFF";
                return Err((message.to_owned(), next));
            }
            code => code,
        };
        let char = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        self.buffer
            .extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(next)
    }

    fn hex4(&self, at: usize) -> Result<u32, (String, usize)> {
        (at..at + 4).try_fold(0, |code, at| {
            let digit = self
                .text
                .get(at)
                .and_then(|&byte| char::from(byte).to_digit(16));
            let message = "invalid string: '\\u' must be followed by 4 hex digits";
            digit
                .map(|digit| code << 4 | digit)
                .ok_or((message.to_owned(), at + 1))
        })
    }

    /// One character beyond ASCII; returns where the text goes on.
    fn utf8(&mut self, at: usize) -> Result<usize, (String, usize)> {
        let window = &self.text[at..self.text.len().min(at + 4)];
        let (good, bad) = match std::str::from_utf8(window) {
            Ok(text) => (text, 0),
            Err(error) => {
                let good = std::str::from_utf8(&window[..error.valid_up_to()]).unwrap_or_default();
                (
                    good,
                    error
                        .error_len()
                        .unwrap_or(window.len() - error.valid_up_to()),
                )
            }
        };
        match good.chars().next() {
            Some(char) => {
                let end = at + char.len_utf8();
                self.buffer.extend_from_slice(&self.text[at..end]);
                Ok(end)
            }
            // What may begin a character is at fault only together with the byte after it.
            None => {
                let read = if matches!(window[0], 0xC2..=0xF4) {
                    bad + 1
                } else {
                    1
                };
                Err((
                    "invalid string: ill-formed UTF-8 byte".to_owned(),
                    at + read,
                ))
            }
        }
    }
}

/// Shows the text around an error; control characters by their number.
pub(super) fn show(text: &[u8]) -> String {
    let mut shown = String::new();
    for char in String::from_utf8_lossy(text).chars() {
        if char < ' ' {
            shown.push_str(&format!("<U+{:04X}>", u32::from(char)));
        } else {
            shown.push(char);
        }
    }
    shown
}

fn control_message(byte: u8) -> String {
    const NAMES: [&str; 32] = [
        "NUL", "SOH", "STX", "ETX", "EOT", "ENQ", "ACK", "BEL", "BS", "HT", "LF", "VT", "FF", "CR",
        "SO", "SI", "DLE", "DC1", "DC2", "DC3", "DC4", "NAK", "SYN", "ETB", "CAN", "EM", "SUB",
        "ESC", "FS", "GS", "RS", "US",
    ];
    let name = NAMES.get(usize::from(byte)).copied().unwrap_or_default();
    let short = match byte {
        8 => " or \\b",
        9 => " or \\t",
        10 => " or \\n",
        12 => " or \\f",
        13 => " or \\r",
        _ => "",
    };
    format!(
        "invalid string: control character U+{byte:04X} ({name}) must be escaped to \\u{byte:04X}{short}"
    )
}
