//! Derivation to ATerm.
//!
//! Format: Nix manual, "Derivation ATerm format". Strings are quoted with
//! `\"`, `\\`, `\n`, `\r` and `\t` escaped and every other byte as it is;
//! lists are in the order of their keys' bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use xbuild_store_model::{Hash, HashAlgo, Hasher};

use crate::{BStr, Derivation, Output};

/// The ATerm of a derivation.
pub(crate) struct Text {
    /// All of it.
    pub(crate) bytes: Vec<u8>,
    /// Where in it the list of input derivations is.
    inputs: Range<usize>,
}

impl Text {
    /// The SHA-256 of this text with another list of input derivations, as
    /// [`input_list`] writes it.
    pub(crate) fn hash_with_inputs(&self, inputs: &[u8]) -> Hash {
        let mut hasher = Hasher::new(HashAlgo::Sha256);
        hasher.update(&self.bytes[..self.inputs.start]);
        hasher.update(inputs);
        hasher.update(&self.bytes[self.inputs.end..]);
        hasher.finish()
    }
}

/// The list of input derivations, each by what stands for it.
pub(crate) fn input_list(inputs: &BTreeMap<String, BTreeSet<String>>) -> Vec<u8> {
    let mut out = Vec::new();
    write_inputs(&mut out, inputs.iter());
    out
}

fn write_inputs<'a, K: AsRef<str>>(
    out: &mut Vec<u8>,
    inputs: impl Iterator<Item = (K, &'a BTreeSet<String>)>,
) {
    list(out, inputs, |out, (key, names)| {
        out.push(b'(');
        plain(out, key.as_ref());
        out.push(b',');
        list(out, names.iter(), |out, name| plain(out, name));
        out.push(b')');
    });
}

/// The contents of the `.drv` file; where `mask` is set, with every output path left out, as the hash modulo is taken of.
pub(crate) fn write(drv: &Derivation, mask: bool) -> Text {
    let mut out = Vec::with_capacity(size_hint(drv));
    out.extend_from_slice(b"Derive(");

    list(&mut out, drv.outputs.iter(), |out, (name, output)| {
        out.push(b'(');
        string(out, name.as_bytes());
        write_output(out, output, mask);
        out.push(b')');
    });
    out.push(b',');
    let start = out.len();
    let inputs = drv.input_drvs.iter();
    write_inputs(
        &mut out,
        inputs.map(|(path, outputs)| (path.to_string(), outputs)),
    );
    let inputs = start..out.len();
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
    Text { bytes: out, inputs }
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
    let mut rest = text;
    loop {
        let (as_it_is, special) = rest.split_at(special_byte(rest));
        out.extend_from_slice(as_it_is);
        let [byte, after @ ..] = special else {
            break;
        };
        let escape = match byte {
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            other => *other,
        };
        out.extend_from_slice(&[b'\\', escape]);
        rest = after;
    }
    out.push(b'"');
}

/// Where the first byte is that needs an escape, or the length.
fn special_byte(text: &[u8]) -> usize {
    const STEP: usize = 32;
    let special = |byte: u8| matches!(byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t');
    let mut at = 0;
    for step in text.chunks_exact(STEP) {
        // Without a way out of the loop, it is compiled to a few instructions on all bytes at once.
        if step.iter().fold(false, |any, byte| any | special(*byte)) {
            break;
        }
        at += STEP;
    }
    let rest = text[at..].iter().position(|byte| special(*byte));
    rest.map_or(text.len(), |further| at + further)
}

/// Roughly how many bytes it will be.
fn size_hint(drv: &Derivation) -> usize {
    let env: usize = drv.env.iter().map(|(k, v)| k.len() + v.len() + 8).sum();
    let args: usize = drv.args.iter().map(|a| a.len() + 4).sum();
    256 + env + env / 16 + args + 120 * (drv.input_drvs.len() + drv.input_srcs.len())
}
