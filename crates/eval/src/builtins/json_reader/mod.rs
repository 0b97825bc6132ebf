//! Reading JSON (RFC 8259) as `builtins.fromJSON` does: a strict reader without recursion that hands what it finds to
//! a [`Builder`], so that values are built directly. Messages have the form that users of Nix know.

mod scan;

use scan::{Reader, Token, show};

/// Makes values of what the reader finds.
pub(crate) trait Builder {
    /// A finished value.
    type Value;
    /// Any other failure.
    type Error: From<JsonError>;
    fn null(&mut self) -> Result<Self::Value, Self::Error>;
    fn boolean(&mut self, value: bool) -> Result<Self::Value, Self::Error>;
    fn integer(&mut self, value: i64) -> Result<Self::Value, Self::Error>;
    fn float(&mut self, value: f64) -> Result<Self::Value, Self::Error>;
    fn string(&mut self, value: &[u8]) -> Result<Self::Value, Self::Error>;
    /// The name of a member, before its value is read.
    fn name(&mut self, _name: &[u8]) -> Result<(), Self::Error> {
        Ok(())
    }
    fn array(&mut self, items: Vec<Self::Value>) -> Result<Self::Value, Self::Error>;
    /// Of equal names the last one counts.
    fn object(&mut self, members: Vec<(Vec<u8>, Self::Value)>) -> Result<Self::Value, Self::Error>;
}

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JsonError {
    /// It is not JSON.
    #[error(
        "[json.exception.parse_error.101] parse error at line {line}, column {column}: {message}"
    )]
    Syntax {
        line: usize,
        column: usize,
        message: String,
    },
    /// A number is too large even for a float.
    #[error("[json.exception.out_of_range.406] number overflow parsing '{0}'")]
    Overflow(String),
    /// An integer fits 64 bits, but not with a sign.
    #[error("unsigned json number {0} outside of Nix integer range")]
    Unsigned(u64),
}

const STRING: &str = "string literal";
const VALUE: &str = "'[', '{', or a literal";

/// Reads one value that is all of `text`.
pub(crate) fn parse<B: Builder>(text: &[u8], builder: &mut B) -> Result<B::Value, B::Error> {
    Reader {
        text,
        at: 0,
        token_start: 0,
        buffer: Vec::new(),
    }
    .document(builder)
}

/// An array or object that is not finished.
enum Open<V> {
    Array(Vec<V>),
    Object(Vec<(Vec<u8>, V)>, Vec<u8>),
}

impl Reader<'_> {
    fn document<B: Builder>(&mut self, builder: &mut B) -> Result<B::Value, B::Error> {
        if self.text.starts_with(b"\xef\xbb\xbf") {
            self.at = 3;
        }
        let mut open: Vec<Open<B::Value>> = Vec::new();
        let mut token = self.token("value", None)?;
        loop {
            let mut value = match token {
                Token::BeginArray => {
                    token = self.token("value", None)?;
                    if token != Token::EndArray {
                        open.push(Open::Array(Vec::new()));
                        continue;
                    }
                    builder.array(Vec::new())?
                }
                Token::BeginObject => {
                    token = self.token("object key", Some(STRING))?;
                    if token != Token::EndObject {
                        let key = self.key(token, builder)?;
                        open.push(Open::Object(Vec::new(), key));
                        token = self.token("value", None)?;
                        continue;
                    }
                    builder.object(Vec::new())?
                }
                Token::True => builder.boolean(true)?,
                Token::False => builder.boolean(false)?,
                Token::Null => builder.null()?,
                Token::Integer(value) => builder.integer(value)?,
                Token::Unsigned(value) => return Err(JsonError::Unsigned(value).into()),
                Token::Float(value) if value.is_finite() => builder.float(value)?,
                Token::Float(_) => {
                    let text =
                        String::from_utf8_lossy(&self.text[self.token_start..self.at]).into_owned();
                    return Err(JsonError::Overflow(text).into());
                }
                Token::String => builder.string(&self.buffer)?,
                Token::End if self.text.is_empty() => {
                    let message = "attempting to parse an empty input; check that your input string or stream contains the expected JSON";
                    return Err(JsonError::Syntax {
                        line: 1,
                        column: 1,
                        message: message.to_owned(),
                    }
                    .into());
                }
                other => return Err(self.unexpected(other, "value", VALUE).into()),
            };
            // The value is complete; so may be what it stands in.
            loop {
                let Some(top) = open.last_mut() else {
                    return match self.token("value", Some(Token::End.name()))? {
                        Token::End => Ok(value),
                        other => Err(self.unexpected(other, "value", Token::End.name()).into()),
                    };
                };
                match top {
                    Open::Array(items) => {
                        items.push(value);
                        match self.token("array", Some("']'"))? {
                            Token::ValueSeparator => {
                                token = self.token("value", None)?;
                                break;
                            }
                            Token::EndArray => value = builder.array(std::mem::take(items))?,
                            other => return Err(self.unexpected(other, "array", "']'").into()),
                        }
                    }
                    Open::Object(members, key) => {
                        members.push((std::mem::take(key), value));
                        match self.token("object", Some("'}'"))? {
                            Token::ValueSeparator => {
                                token = self.token("object key", Some(STRING))?;
                                *key = self.key(token, builder)?;
                                token = self.token("value", None)?;
                                break;
                            }
                            Token::EndObject => value = builder.object(std::mem::take(members))?,
                            other => return Err(self.unexpected(other, "object", "'}'").into()),
                        }
                    }
                }
                open.pop();
            }
        }
    }

    /// The member name that `token` is, and the colon after it.
    fn key<B: Builder>(&mut self, token: Token, builder: &mut B) -> Result<Vec<u8>, B::Error> {
        if token != Token::String {
            return Err(self.unexpected(token, "object key", STRING).into());
        }
        let key = std::mem::take(&mut self.buffer);
        builder.name(&key)?;
        match self.token("object separator", Some("':'"))? {
            Token::NameSeparator => Ok(key),
            other => Err(self.unexpected(other, "object separator", "':'").into()),
        }
    }

    /// Reads a token; `context` and `expected` are for the message if it is none.
    fn token(&mut self, context: &str, expected: Option<&str>) -> Result<Token, JsonError> {
        self.scan().map_err(|(message, end)| {
            let read = show(&self.text[self.token_start..end.min(self.text.len())]);
            let expected = expected
                .map(|what| format!("; expected {what}"))
                .unwrap_or_default();
            self.syntax(
                end,
                &format!("{context} - {message}; last read: '{read}'{expected}"),
            )
        })
    }

    fn unexpected(&self, token: Token, context: &str, expected: &str) -> JsonError {
        let end = if token == Token::End {
            self.text.len() + 1
        } else {
            self.at
        };
        self.syntax(
            end,
            &format!(
                "{context} - unexpected {}; expected {expected}",
                token.name()
            ),
        )
    }

    /// An error after `read` bytes, where the end counts as one.
    fn syntax(&self, read: usize, message: &str) -> JsonError {
        // A number ends where something else is seen. If that is a line end, its column is lost.
        let number = self.text[..read.min(self.text.len())]
            .last()
            .is_some_and(u8::is_ascii_digit);
        let lost = number && self.text.get(read) == Some(&b'\n');
        let before = &self.text[..read.min(self.text.len())];
        let line = memchr::memchr_iter(b'\n', before).count();
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
        JsonError::Syntax {
            line: line + 1,
            column: if lost { 0 } else { read - line_start },
            message: format!("syntax error while parsing {message}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds the text again, compactly.
    struct Show;

    impl Builder for Show {
        type Value = String;
        type Error = JsonError;
        fn null(&mut self) -> Result<String, JsonError> {
            Ok("null".to_owned())
        }
        fn boolean(&mut self, value: bool) -> Result<String, JsonError> {
            Ok(value.to_string())
        }
        fn integer(&mut self, value: i64) -> Result<String, JsonError> {
            Ok(value.to_string())
        }
        fn float(&mut self, value: f64) -> Result<String, JsonError> {
            Ok(format!("{value:?}"))
        }
        fn string(&mut self, value: &[u8]) -> Result<String, JsonError> {
            Ok(format!("{:?}", String::from_utf8_lossy(value)))
        }
        fn array(&mut self, items: Vec<String>) -> Result<String, JsonError> {
            Ok(format!("[{}]", items.join(",")))
        }
        fn object(&mut self, members: Vec<(Vec<u8>, String)>) -> Result<String, JsonError> {
            let members: Vec<_> = members
                .iter()
                .map(|(k, v)| format!("{}:{v}", String::from_utf8_lossy(k)))
                .collect();
            Ok(format!("{{{}}}", members.join(",")))
        }
    }

    fn read(text: &str) -> String {
        parse(text.as_bytes(), &mut Show).unwrap_or_else(|e| e.to_string())
    }

    #[test]
    fn values() {
        assert_eq!(
            read(" [1, -0, 1.5e2, {\"a\": {}, \"b\": [[], null]}, true] "),
            "[1,0,150.0,{a:{},b:[[],null]},true]"
        );
        assert_eq!(read(r#""\ud83d\ude00\u00e9\n\/é""#), "\"😀é\\n/é\"");
        assert_eq!(read("18446744073709551616"), "1.8446744073709552e19");
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(read(&deep), deep);
    }

    #[test]
    fn errors() {
        let cases = [
            (
                "",
                "line 1, column 1: attempting to parse an empty input; check that your input string or stream contains the expected JSON",
            ),
            (
                " ",
                "line 1, column 2: syntax error while parsing value - unexpected end of input; expected '[', '{', or a literal",
            ),
            (
                "nul",
                "line 1, column 4: syntax error while parsing value - invalid literal; last read: 'nul'",
            ),
            (
                "[1,]",
                "line 1, column 4: syntax error while parsing value - unexpected ']'; expected '[', '{', or a literal",
            ),
            (
                "{\"a\" 1}",
                "line 1, column 6: syntax error while parsing object separator - unexpected number literal; expected ':'",
            ),
            (
                "{a:1}",
                "line 1, column 2: syntax error while parsing object key - invalid literal; last read: '{a'; expected string literal",
            ),
            (
                "01",
                "line 1, column 2: syntax error while parsing value - unexpected number literal; expected end of input",
            ),
            (
                "-",
                "line 1, column 2: syntax error while parsing value - invalid number; expected digit after '-'; last read: '-'",
            ),
            (
                "1e",
                "line 1, column 3: syntax error while parsing value - invalid number; expected '+', '-', or digit after exponent; last read: '1e'",
            ),
            (
                "{\"a\":1",
                "line 1, column 7: syntax error while parsing object - unexpected end of input; expected '}'",
            ),
            (
                "\"abc",
                "line 1, column 5: syntax error while parsing value - invalid string: missing closing quote; last read: '\"abc'",
            ),
            (
                "1\n\n  x",
                "line 3, column 3: syntax error while parsing value - invalid literal; last read: '1<U+000A><U+000A>  x'; expected end of input",
            ),
            (
                "\"\\udc00\"",
                "line 1, column 7: syntax error while parsing value - invalid string: surrogate U+DC00..U+DFFF must follow U+D800..U+DBFF; last read: '\"\\udc00'",
            ),
        ];
        for (text, message) in cases {
            assert_eq!(
                read(text),
                format!("[json.exception.parse_error.101] parse error at {message}"),
                "{text:?}"
            );
        }
        assert_eq!(
            read("1e999"),
            "[json.exception.out_of_range.406] number overflow parsing '1e999'"
        );
        assert_eq!(
            read("9223372036854775808"),
            "unsigned json number 9223372036854775808 outside of Nix integer range"
        );
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text: Vec<u8>) {
            let _ = parse(&text, &mut Show);
        }

        #[test]
        fn reads_what_serde_writes(text: String) {
            let written = serde_json::to_string(&text).unwrap();
            proptest::prop_assert_eq!(read(&written), format!("{text:?}"));
        }
    }
}
