//! URLs (RFC 3986), with the liberties that flake references take.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::{RefError, Result};

/// A URL in its parts, decoded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Url {
    /// `git+https`
    pub scheme: String,
    /// What stands behind `//`.
    pub authority: Option<Authority>,
    /// What stands between the slashes: `/a/b` is `["", "a", "b"]`.
    pub path: Vec<String>,
    /// `name=value`, in the order of the names.
    pub query: BTreeMap<String, String>,
    /// What stands behind `#`.
    pub fragment: String,
}

/// `user:password@host:port`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Authority {
    /// The user.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// A name, or an IPv4 address; an IPv6 address with its brackets. May be empty.
    pub host: String,
    /// The port.
    pub port: Option<u16>,
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn is_sub_delimiter(byte: u8) -> bool {
    b"!$&'()*+,;=".contains(&byte)
}

/// Encodes all but unreserved characters and those of `keep`.
#[must_use]
pub fn percent_encode(text: &str, keep: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for &byte in text.as_bytes() {
        if is_unreserved(byte) || keep.as_bytes().contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Decodes `%41`.
///
/// # Errors
/// If a `%` is not followed by two hexadecimal digits, or the result is not UTF-8.
pub fn percent_decode(text: &str) -> Result<String> {
    let bad = || {
        RefError::bad_url(format!(
            "invalid URI parameter '{text}': incomplete encoding"
        ))
    };
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, after)) = rest.split_first() {
        if first != b'%' {
            decoded.push(first);
            rest = after;
            continue;
        }
        let digits = after.get(..2).ok_or_else(bad)?;
        let digits = std::str::from_utf8(digits).map_err(|_| bad())?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(bad());
        }
        decoded.push(u8::from_str_radix(digits, 16).map_err(|_| bad())?);
        rest = &after[2..];
    }
    String::from_utf8(decoded).map_err(|_| bad())
}

/// Encodes those characters that a query or fragment may have although RFC 3986 does not allow them.
pub(crate) fn encode_only(text: &str, which: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for c in text.chars() {
        if which.contains(c) {
            encoded.push_str(&percent_encode(c.encode_utf8(&mut [0; 4]), ""));
        } else {
            encoded.push(c);
        }
    }
    encoded
}

/// Whether `text` has only the allowed characters and percent-encodings.
fn is_made_of(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        match bytes[index] {
            b'%' => {
                let digits = bytes.get(index + 1..index + 3);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return false;
                }
                index += 3;
            }
            byte if allowed(byte) => index += 1,
            _ => return false,
        }
    }
    true
}

fn is_path_byte(byte: u8) -> bool {
    is_unreserved(byte) || is_sub_delimiter(byte) || matches!(byte, b':' | b'@')
}

/// Brackets are no part of RFC 3986's queries, but stock Nix takes them.
fn is_query_byte(byte: u8) -> bool {
    is_path_byte(byte) || b"/?[]".contains(&byte)
}

impl Authority {
    fn parse(text: &str) -> Result<Self> {
        let invalid =
            |why: &str| RefError::bad_url(format!("invalid URL authority: '{text}': {why}"));
        let (login, host) = match text.rsplit_once('@') {
            Some((login, host)) => (Some(login), host),
            None => (None, text),
        };
        let (user, password) = match login {
            None => (None, None),
            Some(login) => {
                if !is_made_of(login, |byte| {
                    is_unreserved(byte) || is_sub_delimiter(byte) || byte == b':'
                }) {
                    return Err(invalid("leftover"));
                }
                match login.split_once(':') {
                    Some((user, password)) => {
                        (Some(percent_decode(user)?), Some(percent_decode(password)?))
                    }
                    None => (Some(percent_decode(login)?), None),
                }
            }
        };
        let (host, port) = if let Some(rest) = host.strip_prefix('[') {
            let (address, rest) = rest.split_once(']').ok_or_else(|| invalid("mismatch"))?;
            if !address.contains(':') {
                return Err(invalid("mismatch"));
            }
            let port = match rest.strip_prefix(':') {
                Some(port) => port,
                None if rest.is_empty() => "",
                None => return Err(invalid("leftover")),
            };
            (format!("[{}]", percent_decode(address)?), port)
        } else {
            let (name, port) = host.split_once(':').unwrap_or((host, ""));
            if !is_made_of(name, |byte| is_unreserved(byte) || is_sub_delimiter(byte)) {
                return Err(invalid("leftover"));
            }
            (percent_decode(name)?, port)
        };
        let port = match port {
            "" => None,
            port if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(
                port.parse()
                    .map_err(|_| RefError::bad_url(format!("port '{port}' is invalid")))?,
            ),
            _ => return Err(invalid("leftover")),
        };
        Ok(Self {
            user,
            password,
            host,
            port,
        })
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            f.write_str(&percent_encode(user, ""))?;
            if let Some(password) = &self.password {
                write!(f, ":{}", percent_encode(password, ""))?;
            }
            f.write_str("@")?;
        }
        let keep = if self.host.starts_with('[') {
            "[]:"
        } else {
            ""
        };
        f.write_str(&percent_encode(&self.host, keep))?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl Url {
    /// Reads an absolute URL.
    ///
    /// # Errors
    /// [`RefError::BadUrl`].
    pub fn parse(text: &str) -> Result<Self> {
        Self::parse_with(text, false)
    }

    /// As [`Url::parse`]; blanks and `"` may stand in the query and the fragment, `^` in the fragment.
    ///
    /// # Errors
    /// [`RefError::BadUrl`].
    pub fn parse_lenient(text: &str) -> Result<Self> {
        Self::parse_with(text, true)
    }

    fn parse_with(text: &str, lenient: bool) -> Result<Self> {
        let leftover = || RefError::bad_url(format!("'{text}' is not a valid URL: leftover"));
        let (before_fragment, fragment) = match text.split_once('#') {
            Some((before, fragment)) if lenient => (before, encode_only(fragment, " \"^")),
            Some((before, fragment)) => (before, fragment.to_owned()),
            None => (text, String::new()),
        };
        let (hierarchy, query) = match before_fragment.split_once('?') {
            Some((hierarchy, query)) if lenient => (hierarchy, encode_only(query, " \"")),
            Some((hierarchy, query)) => (hierarchy, query.to_owned()),
            None => (before_fragment, String::new()),
        };
        let scheme = hierarchy.split_once(':').filter(|(scheme, _)| {
            scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                && scheme
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
        });
        let in_fragment = |byte| is_path_byte(byte) || byte == b'/' || byte == b'?';
        if !is_made_of(&query, is_query_byte) || !is_made_of(&fragment, in_fragment) {
            return Err(leftover());
        }
        let Some((scheme, rest)) = scheme else {
            if !is_made_of(hierarchy, |byte| is_path_byte(byte) || byte == b'/') {
                return Err(leftover());
            }
            return Err(RefError::bad_url(format!("'{text}' doesn't have a scheme")));
        };
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => {
                let end = rest.find('/').unwrap_or(rest.len());
                (Some(Authority::parse(&rest[..end])?), &rest[end..])
            }
            None => (None, rest),
        };
        if !is_made_of(path, |byte| is_path_byte(byte) || byte == b'/') {
            return Err(leftover());
        }
        let url = Self {
            scheme: scheme.to_owned(),
            authority,
            path: Vec::new(),
            query: decode_query(&query)?,
            fragment: percent_decode(&fragment)?,
        };
        let is_file = url.transport() == "file";
        if let Some(authority) = &url.authority
            && is_file
            && !authority.host.is_empty()
        {
            return Err(RefError::bad_url(format!(
                "file:// URL '{text}' has unexpected authority '{authority}'"
            )));
        }
        let path = if is_file && path.is_empty() {
            "/"
        } else {
            path
        };
        let path = path.split('/').map(percent_decode).collect::<Result<_>>()?;
        Ok(Self { path, ..url })
    }

    /// `https` of `git+https`.
    #[must_use]
    pub fn transport(&self) -> &str {
        self.scheme
            .split_once('+')
            .map_or(self.scheme.as_str(), |(_, transport)| transport)
    }

    /// `git` of `git+https`.
    #[must_use]
    pub fn application(&self) -> Option<&str> {
        self.scheme
            .split_once('+')
            .map(|(application, _)| application)
    }

    /// The path as one text, not encoded.
    #[must_use]
    pub fn plain_path(&self) -> String {
        self.path.join("/")
    }

    /// The parts of the path that are not empty.
    pub(crate) fn segments(&self) -> Vec<String> {
        self.path
            .iter()
            .filter(|segment| !segment.is_empty())
            .cloned()
            .collect()
    }
}

/// Reads `a=b&c=d`; of several values of one name the first counts, and what has no `=` is ignored.
pub(crate) fn decode_query(query: &str) -> Result<BTreeMap<String, String>> {
    let mut decoded = BTreeMap::new();
    for pair in query.split('&') {
        let Some((name, value)) = pair.split_once('=') else {
            continue;
        };
        decoded
            .entry(percent_decode(name)?)
            .or_insert(percent_decode(value)?);
    }
    Ok(decoded)
}

/// The same for a query that may have blanks and quotes.
pub(crate) fn decode_query_lenient(query: &str) -> Result<BTreeMap<String, String>> {
    let given = query;
    let query = encode_only(query, " \"");
    if !is_made_of(&query, is_query_byte) {
        return Err(RefError::bad_url(format!(
            "invalid URI query '{given}': leftover"
        )));
    }
    decode_query(&query)
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme)?;
        if let Some(authority) = &self.authority {
            write!(f, "//{authority}")?;
        }
        let path: Vec<String> = self
            .path
            .iter()
            .map(|segment| percent_encode(segment, ":@"))
            .collect();
        f.write_str(&path.join("/"))?;
        for (index, (name, value)) in self.query.iter().enumerate() {
            let separator = if index == 0 { '?' } else { '&' };
            let keep = ":@/?";
            write!(
                f,
                "{separator}{}={}",
                percent_encode(name, keep),
                percent_encode(value, keep)
            )?;
        }
        if !self.fragment.is_empty() {
            write!(f, "#{}", percent_encode(&self.fragment, ""))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_printed_as_they_were() {
        for text in [
            "https://example.org/a/b.tar.gz",
            "git+ssh://git@host:22/x?ref=a/b&rev=c",
            "file:///a%20b",
            "path:./x",
            "github:o/r/ref",
            "http://[::1]:80/x",
        ] {
            assert_eq!(Url::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_url() {
        for text in [
            "",
            "a b",
            "./x",
            "x",
            "http://a b/",
            "http://x/%4",
            "file://host/x",
        ] {
            assert!(
                matches!(Url::parse(text), Err(RefError::BadUrl(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn fragments_may_have_blanks() {
        let url = Url::parse_lenient("path:/x?a=b c#d \"e\"^f").unwrap();
        assert_eq!(url.query["a"], "b c");
        assert_eq!(url.fragment, "d \"e\"^f");
    }
}
