//! Executable scripts: the program after `#!` must run on the target.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::closure::{Lookup, locate};
use crate::object;
use crate::rule::Rule;

/// Programs that every target has outside of the store, as on NixOS.
const PROVIDED: &[&[u8]] = &[b"/bin/sh", b"/usr/bin/env"];

/// The bytes of a script that the kernel looks at (`BINPRM_BUF_SIZE`); a longer name of an interpreter is cut, and does not run.
const FIRST_LINE: usize = 256;

/// Checks the first line of an executable script, which starts with `#!`.
pub(crate) fn check(head: &[u8], lookup: &Lookup<'_>) -> Option<(Rule, String)> {
    let line = head.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = line.strip_prefix(b"#!").unwrap_or_default();
    // Only these separate words for the kernel.
    let is_blank = |b: &u8| matches!(b, b' ' | b'\t');
    let start = line.iter().position(|b| !is_blank(b)).unwrap_or(line.len());
    let interpreter = line[start..].split(is_blank).next().unwrap_or_default();
    let broken = |reason: String| Some((Rule::ScriptInterpreter, reason));
    if interpreter.ends_with(b"\r") {
        return broken("the script's first line ends with a carriage return, which the kernel takes for a part of the name".to_owned());
    }
    if b"#!".len() + start + interpreter.len() >= FIRST_LINE {
        return broken(format!(
            "the script's first line is longer than the {FIRST_LINE} bytes that the kernel reads"
        ));
    }
    if interpreter.is_empty() {
        return broken("the script's first line names no interpreter".to_owned());
    }
    if PROVIDED.contains(&interpreter) {
        return None;
    }
    let shown = String::from_utf8_lossy(interpreter);
    let located = match locate(Path::new(OsStr::from_bytes(interpreter)), lookup) {
        Ok(located) => located,
        Err(why) => return broken(format!("the script's interpreter is {shown}: {why}")),
    };
    let Ok(mut file) = File::open(&located.physical) else {
        return broken(format!("the script's interpreter {shown} cannot be read"));
    };
    let executable = file
        .metadata()
        .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    if !executable {
        return broken(format!(
            "the script's interpreter {shown} is not an executable file"
        ));
    }
    let mut head = Vec::new();
    if file.by_ref().take(64).read_to_end(&mut head).is_err() {
        return broken(format!("the script's interpreter {shown} cannot be read"));
    }
    if head.starts_with(b"\x7fELF") {
        let cache = ::object::read::ReadCache::new(file);
        if let Err((_, reason)) = object::read(&cache) {
            return broken(format!(
                "the script's interpreter {shown} does not run on the target: {reason}"
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines() {
        let reason = |line: &str| match check(line.as_bytes(), &|_| None) {
            Some((_, reason)) => reason,
            None => String::new(),
        };
        assert_eq!(reason("#!/bin/sh\n"), "");
        assert_eq!(reason("#! \t/usr/bin/env -S x\n"), "");
        assert_eq!(reason("#!/bin/sh"), "");
        assert_eq!(
            reason("#!  \n"),
            "the script's first line names no interpreter"
        );
        assert!(reason("#!/bin/sh\r\n").contains("carriage return"));
        assert!(reason(&format!("#!/nix/store/{}\n", "x".repeat(300))).contains("256 bytes"));
        assert_eq!(
            reason("#!/opt/x\n"),
            "the script's interpreter is /opt/x: /opt/x is not below /nix/store"
        );
    }
}
