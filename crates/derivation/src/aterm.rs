//! Derivation to ATerm.
//!
//! Format: Nix manual, "Derivation ATerm format". Strings are quoted with
//! `\"`, `\\`, `\n`, `\r` and `\t` escaped and every other byte as it is;
//! lists are in the order of their keys' bytes.

use std::collections::{BTreeMap, BTreeSet};

use crate::{BStr, Derivation, Output};

/// The bytes of the `.drv` file.
pub(crate) fn write(drv: &Derivation) -> Vec<u8> {
    let inputs = drv
        .input_drvs
        .iter()
        .map(|(path, outputs)| (path.to_string(), outputs));
    write_with(drv, inputs, false)
}

/// The ATerm with each input derivation's path replaced by a hash, and, where
/// `mask` is set, with every output path left out: what the hash modulo is
/// taken of.
pub(crate) fn write_modulo(
    drv: &Derivation,
    inputs: &BTreeMap<String, BTreeSet<String>>,
    mask: bool,
) -> Vec<u8> {
    write_with(drv, inputs.iter(), mask)
}

fn write_with<'a, K: AsRef<str>>(
    drv: &'a Derivation,
    inputs: impl Iterator<Item = (K, &'a BTreeSet<String>)>,
    mask: bool,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(size_hint(drv));
    out.extend_from_slice(b"Derive(");

    list(&mut out, drv.outputs.iter(), |out, (name, output)| {
        out.push(b'(');
        string(out, name.as_bytes());
        write_output(out, output, mask);
        out.push(b')');
    });
    out.push(b',');
    list(&mut out, inputs, |out, (key, names)| {
        out.push(b'(');
        plain(out, key.as_ref());
        out.push(b',');
        list(out, names.iter(), |out, name| plain(out, name));
        out.push(b')');
    });
    out.push(b',');
    list(&mut out, drv.input_srcs.iter(), |out, path| {
        plain(out, &path.to_string());
    });
    out.push(b',');
    string(&mut out, &drv.system);
    out.push(b',');
    string(&mut out, &drv.builder);
    out.push(b',');
    list(&mut out, drv.args.iter(), |out, arg| string(out, arg));
    out.push(b',');
    list(&mut out, drv.env.iter(), |out, (name, value)| {
        out.push(b'(');
        string(out, name);
        out.push(b',');
        string(
            out,
            if mask && is_output(drv, name) {
                b""
            } else {
                value
            },
        );
        out.push(b')');
    });
    out.push(b')');
    out
}

fn is_output(drv: &Derivation, variable: &BStr) -> bool {
    std::str::from_utf8(variable).is_ok_and(|name| drv.outputs.contains_key(name))
}

/// The three strings behind an output's name, without the path if `mask` is set.
fn write_output(out: &mut Vec<u8>, output: &Output, mask: bool) {
    let (path, algo, hash) = match output {
        Output::InputAddressed(_) if mask => Default::default(),
        Output::InputAddressed(path) => (path.to_string(), String::new(), String::new()),
        Output::Fixed { path, method, hash } => (
            path.to_string(),
            format!("{}{}", method.prefix(), hash.algo()),
            hash.to_base16(),
        ),
        Output::Floating { method, algo } => (
            String::new(),
            format!("{}{algo}", method.prefix()),
            String::new(),
        ),
        Output::Deferred => Default::default(),
        Output::Impure { method, algo } => (
            String::new(),
            format!("{}{algo}", method.prefix()),
            "impure".to_owned(),
        ),
    };
    for field in [path, algo, hash] {
        out.push(b',');
        plain(out, &field);
    }
}

fn list<T>(
    out: &mut Vec<u8>,
    items: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

/// A string that holds nothing to escape.
fn plain(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    let mut start = 0;
    for (i, &byte) in text.iter().enumerate() {
        let escape = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            _ => continue,
        };
        out.extend_from_slice(&text[start..i]);
        out.extend_from_slice(&[b'\\', escape]);
        start = i + 1;
    }
    out.extend_from_slice(&text[start..]);
    out.push(b'"');
}

/// Roughly how many bytes it will be.
fn size_hint(drv: &Derivation) -> usize {
    let env: usize = drv.env.iter().map(|(k, v)| k.len() + v.len() + 8).sum();
    let args: usize = drv.args.iter().map(|a| a.len() + 4).sum();
    256 + env + env / 16 + args + 120 * (drv.input_drvs.len() + drv.input_srcs.len())
}
