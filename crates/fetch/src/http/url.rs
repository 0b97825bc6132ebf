//! Where a redirect leads.

use ureq::http::Uri;

/// The URL that `location` means when `base` redirects to it (RFC 3986, section 5.2). `None` if it is not http or https.
pub(super) fn join(base: &Uri, location: &str) -> Option<String> {
    let location = location.split('#').next().unwrap_or_default();
    let scheme = base.scheme_str()?;
    let authority = base.authority()?.as_str();
    let joined = if let Some((other, rest)) = location
        .split_once("://")
        .filter(|(other, _)| is_scheme(other))
    {
        format!("{}://{rest}", other.to_ascii_lowercase())
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{}", without_dots(location))
    } else if location.starts_with('?') {
        format!("{scheme}://{authority}{}{location}", base.path())
    } else if location.is_empty()
        || location
            .split(['/', '?'])
            .next()
            .is_some_and(|first| first.contains(':'))
    {
        return None;
    } else {
        let directory = base
            .path()
            .rsplit_once('/')
            .map_or("", |(directory, _)| directory);
        format!(
            "{scheme}://{authority}{}",
            without_dots(&format!("{directory}/{location}"))
        )
    };
    // Servers do send characters in a Location that must not be in a URL.
    let mut encoded = String::with_capacity(joined.len());
    for byte in joined.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    let uri: Uri = encoded.parse().ok()?;
    (matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.host().is_some_and(|host| !host.is_empty()))
    .then_some(encoded)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// The path of `target`, which may have a query, without `.` and `..` components.
fn without_dots(target: &str) -> String {
    let (path, query) = match target.find('?') {
        Some(at) => target.split_at(at),
        None => (target, ""),
    };
    let mut kept: Vec<&str> = Vec::new();
    let mut components = path.split('/').skip(1).peekable();
    while let Some(component) = components.next() {
        let last = components.peek().is_none();
        match component {
            "." | ".." => {
                if component == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            _ => kept.push(component),
        }
    }
    format!("/{}{query}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations() {
        let base: Uri = "http://a.example:8080/b/c/d?q".parse().unwrap();
        let join = |location| join(&base, location);
        for (location, expected) in [
            ("https://x.example/y", "https://x.example/y"),
            (
                "HTTPS://x.example/y?u=http://z#frag",
                "https://x.example/y?u=http://z",
            ),
            ("//x.example/y", "http://x.example/y"),
            ("/y?z=../w", "http://a.example:8080/y?z=../w"),
            ("e?f", "http://a.example:8080/b/c/e?f"),
            ("../e", "http://a.example:8080/b/e"),
            ("../../../../e/./f/..", "http://a.example:8080/e/"),
            ("?x", "http://a.example:8080/b/c/d?x"),
            ("/a b\u{e9}", "http://a.example:8080/a%20b%C3%A9"),
            ("/a%20b", "http://a.example:8080/a%20b"),
        ] {
            assert_eq!(join(location).as_deref(), Some(expected), "{location}");
        }
        for location in [
            "",
            "file:///etc/passwd",
            "mailto:x",
            "ftp://x.example/y",
            "http://",
            "http:///x",
        ] {
            assert_eq!(join(location), None, "{location}");
        }
    }
}
