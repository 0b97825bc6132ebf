//! Version strings: splitting, ordering, and the name/version split of derivation names.
//!
//! The rules are those of the Nix manual for `builtins.compareVersions`, `builtins.splitVersion` and
//! `builtins.parseDrvName`.

use std::cmp::Ordering;

use crate::Evaluator;
use crate::attrs::AttrsBuilder;
use crate::error::Result;
use crate::position::Pos;
use crate::value::{Builtin, Value};

pub(super) static TABLE: &[Builtin] = &[
    Builtin {
        name: "__compareVersions",
        arity: 2,
        run: compare_versions,
    },
    Builtin {
        name: "__parseDrvName",
        arity: 1,
        run: parse_drv_name_builtin,
    },
    Builtin {
        name: "__splitVersion",
        arity: 1,
        run: split_version,
    },
];

fn compare_versions(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument passed to builtins.compareVersions";
    let a = ev.force_string_no_context(args[0], pos, what)?;
    let what = "while evaluating the second argument passed to builtins.compareVersions";
    let b = ev.force_string_no_context(args[1], pos, what)?;
    Ok(ev.int(compare(a.bytes(), b.bytes()) as i64))
}

fn parse_drv_name_builtin(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument passed to builtins.parseDrvName";
    let name = ev.force_string_no_context(args[0], pos, what)?;
    let (name, version) = parse_drv_name(name.bytes());
    let mut attrs = AttrsBuilder::with_capacity(2);
    attrs.insert(ev.known.name, ev.string(name), Pos::NONE);
    attrs.insert(ev.intern(b"version"), ev.string(version), Pos::NONE);
    Ok(ev.attrs(attrs))
}

fn split_version(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument passed to builtins.splitVersion";
    let version = ev.force_string_no_context(args[0], pos, what)?;
    let parts: Vec<Value> = components(version.bytes())
        .map(|component| ev.string(component))
        .collect();
    Ok(ev.list(&parts))
}

/// Iterates over the components of a version: runs of digits, and runs of bytes that are neither digits nor the
/// separators `.` and `-`.
#[derive(Debug, Clone)]
pub(crate) struct Components<'a>(&'a [u8]);

/// The components of `version`, in order.
pub(crate) fn components(version: &[u8]) -> Components<'_> {
    Components(version)
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b'.' | b'-')
}

impl<'a> Iterator for Components<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|&b| !is_separator(b))?;
        let rest = &self.0[start..];
        let digits = rest[0].is_ascii_digit();
        let len = rest
            .iter()
            .position(|&b| is_separator(b) || b.is_ascii_digit() != digits)
            .unwrap_or(rest.len());
        let (component, rest) = rest.split_at(len);
        self.0 = rest;
        Some(component)
    }
}

/// A component as a number, if it is one that fits a C `int`; longer ones compare as text, as in Nix.
fn number(component: &[u8]) -> Option<i32> {
    if !component.first()?.is_ascii_digit() {
        return None;
    }
    std::str::from_utf8(component).ok()?.parse().ok()
}

/// Whether component `a` comes before component `b`; a missing component is empty.
fn component_less(a: &[u8], b: &[u8]) -> bool {
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a < b,
        (_, Some(_)) if a.is_empty() => true,
        _ if a == b"pre" => b != b"pre",
        _ if b == b"pre" => false,
        // `2.3a` comes before `2.3.1`.
        (_, Some(_)) => true,
        (Some(_), _) => false,
        (None, None) => a < b,
    }
}

/// The order of two versions.
pub(crate) fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let (mut a, mut b) = (components(a), components(b));
    loop {
        let (x, y) = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (x, y) => (x.unwrap_or_default(), y.unwrap_or_default()),
        };
        if component_less(x, y) {
            return Ordering::Less;
        }
        if component_less(y, x) {
            return Ordering::Greater;
        }
    }
}

/// Splits a derivation name into name and version: the version begins after the first dash that is not followed by a
/// letter. Without such a dash, the version is empty.
pub(crate) fn parse_drv_name(name: &[u8]) -> (&[u8], &[u8]) {
    let dash = name
        .windows(2)
        .position(|pair| pair[0] == b'-' && !pair[1].is_ascii_alphabetic());
    match dash {
        Some(at) => (&name[..at], &name[at + 1..]),
        None => (name, b""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order() {
        let less = [
            ("1.0", "2.3"),
            ("2.1", "2.3"),
            ("2.3pre1", "2.3"),
            ("2.3pre3", "2.3pre12"),
            ("2.3a", "2.3c"),
            ("2.3pre1", "2.3c"),
            ("2.3pre1", "2.3q"),
            ("2.3", "2.3.1"),
            ("2.3a", "2.3.1"),
            ("9999999999", "99999999999"),
        ];
        for (a, b) in less {
            assert_eq!(
                compare(a.as_bytes(), b.as_bytes()),
                Ordering::Less,
                "{a} {b}"
            );
            assert_eq!(
                compare(b.as_bytes(), a.as_bytes()),
                Ordering::Greater,
                "{b} {a}"
            );
        }
        assert_eq!(compare(b"2.3", b"2-3"), Ordering::Equal);
        assert_eq!(compare(b"", b""), Ordering::Equal);
        assert_eq!(compare(b"001", b"1"), Ordering::Equal);
    }

    #[test]
    fn split() {
        let parts: Vec<_> = components(b"..1.2pre-3..x").collect();
        assert_eq!(parts, [&b"1"[..], b"2", b"pre", b"3", b"x"]);
    }

    #[test]
    fn drv_names() {
        assert_eq!(
            parse_drv_name(b"apache-httpd-2.0.48"),
            (&b"apache-httpd"[..], &b"2.0.48"[..])
        );
        assert_eq!(parse_drv_name(b"a--1"), (&b"a"[..], &b"-1"[..]));
        assert_eq!(parse_drv_name(b"hello-"), (&b"hello-"[..], &b""[..]));
    }
}
