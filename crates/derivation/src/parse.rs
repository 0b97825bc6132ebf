//! ATerm to derivation.
//!
//! The grammar is in [`crate::aterm`]. The reader takes the one spelling that
//! the writer has, except that entries may come in any order and any byte may
//! be escaped, as in Nix.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use nom::bytes::complete::{tag, take_while};
use nom::error::{ErrorKind, ParseError};
use nom::{Err, IResult, Parser};

use xbuild_store_model::content_address::ContentAddressError;
use xbuild_store_model::{
    ContentAddressMethod, Hash, HashAlgo, HashError, StorePath, StorePathError,
};

use crate::error::{AtermError, Error, Result};
use crate::{BStr, Derivation, Output};

type Input<'a> = &'a [u8];
type Parsed<'a, T> = IResult<Input<'a>, T, Failure<'a>>;

/// The one version of the versioned form that Nix knows.
const DYNAMIC_DERIVATIONS: &[u8] = b"DrvWithVersion(";

/// How much of what was found a message shows, in bytes.
const SHOWN: usize = 20;

/// Reads one derivation and nothing behind it.
pub(crate) fn derivation(name: &str, aterm: &[u8]) -> Result<Derivation> {
    let error = |failure: Failure<'_>| Error::Aterm {
        name: name.to_owned(),
        error: failure.into_error(aterm.len()),
    };
    match whole(name, aterm) {
        Ok((_, drv)) => Ok(drv),
        Err(Err::Error(failure) | Err::Failure(failure)) => Err(error(failure)),
        // Only streaming parsers ask for more; there is none in here.
        Err(Err::Incomplete(_)) => Err(error(Failure::expected(&[], "more input"))),
    }
}

fn whole<'a>(name: &str, input: Input<'a>) -> Parsed<'a, Derivation> {
    if input.starts_with(DYNAMIC_DERIVATIONS) {
        let input = &input[DYNAMIC_DERIVATIONS.len()..];
        let (_, version) = string(input)?;
        let version = String::from_utf8_lossy(&version).into_owned();
        return Failure::fail(input, Cause::Version { version });
    }
    let (input, ()) = token(b"Derive(", "'Derive('")(input)?;
    let (input, outputs) = map_of(input, "output", |input| {
        let start = input;
        let (input, key) = text(input, "an output name in UTF-8")?;
        let (input, output) = output(name, &key, start, input)?;
        Ok((input, (key, output)))
    })?;
    let (input, ()) = comma(input)?;
    let (input, input_drvs) = map_of(input, "input derivation", |input| {
        let (input, path) = store_path(input)?;
        let (input, ()) = comma(input)?;
        let (input, names) = set_of(input, "output", |input| {
            text(input, "an output name in UTF-8")
        })?;
        if names.is_empty() {
            return Failure::fail(input, Cause::Expected("at least one output name"));
        }
        Ok((input, (path, names)))
    })?;
    let (input, ()) = comma(input)?;
    let (input, input_srcs) = set_of(input, "input source", store_path)?;
    let (input, ()) = comma(input)?;
    let (input, system) = string(input)?;
    let (input, ()) = comma(input)?;
    let (input, builder) = string(input)?;
    let (input, ()) = comma(input)?;
    let mut args = Vec::new();
    let (input, ()) = list(input, |input| {
        let (input, arg) = string(input)?;
        args.push(arg.into_owned());
        Ok((input, ()))
    })?;
    let (input, ()) = comma(input)?;
    let (input, env) = map_of(input, "environment variable", |input| {
        let (input, key) = string(input)?;
        let (input, ()) = comma(input)?;
        let (input, value) = string(input)?;
        Ok((input, (key.into_owned(), value.into_owned())))
    })?;
    let (input, ()) = token(b")", "')'")(input)?;
    if !input.is_empty() {
        return Failure::fail(input, Cause::Expected("the end of the derivation"));
    }
    let drv = Derivation {
        name: name.to_owned(),
        outputs,
        input_drvs,
        input_srcs,
        system: system.into_owned(),
        builder: builder.into_owned(),
        args,
        env,
    };
    Ok((input, drv))
}

/// `,"path","method and algorithm","hash"` of the output `output_name`, whose
/// entry began at `start`.
fn output<'a>(
    drv_name: &str,
    output_name: &str,
    start: Input<'a>,
    input: Input<'a>,
) -> Parsed<'a, Output> {
    let (at_path, ()) = comma(input)?;
    let (input, path) = text(at_path, "a store path")?;
    let (at_algo, ()) = comma(input)?;
    let (input, algo) = text(at_algo, "a hash algorithm")?;
    let (at_hash, ()) = comma(input)?;
    let (input, hash) = text(at_hash, "a hash")?;

    if algo.is_empty() {
        if !hash.is_empty() {
            return Failure::fail(
                at_algo,
                Cause::Expected("a hash algorithm, since there is a hash"),
            );
        }
        if path.is_empty() {
            return Ok((input, Output::Deferred));
        }
        let (_, path) = store_path(at_path)?;
        return Ok((input, Output::InputAddressed(path)));
    }

    let (method, algo) = match ContentAddressMethod::parse_prefix(&algo) {
        Ok(parsed) => parsed,
        Err(error) => return Failure::fail(at_algo, Cause::ContentAddress(error)),
    };
    let algo: HashAlgo = match algo.parse() {
        Ok(algo) => algo,
        Err(error) => return Failure::fail(at_algo, Cause::Hash(error)),
    };
    if hash.is_empty() || hash == "impure" {
        if !path.is_empty() {
            return Failure::fail(
                at_path,
                Cause::Expected("no path, since the output's hash is not known before the build"),
            );
        }
        let output = match &*hash {
            "" => Output::Floating { method, algo },
            _ => Output::Impure { method, algo },
        };
        return Ok((input, output));
    }
    let hash = match Hash::parse_bare(&hash, algo) {
        Ok(hash) => hash,
        Err(error) => return Failure::fail(at_hash, Cause::Hash(error)),
    };
    let (_, path) = store_path(at_path)?;
    let output = match Output::fixed(drv_name, output_name, method, hash) {
        Ok(output) => output,
        Err(error) => return Failure::fail(start, Cause::StorePath(error)),
    };
    match output.path() {
        Some(expected) if *expected != path => Failure::fail(
            start,
            Cause::FixedPath {
                output: output_name.to_owned(),
                found: path.to_string(),
                expected: expected.to_string(),
            },
        ),
        _ => Ok((input, output)),
    }
}

/// A quoted string, unescaped; borrowed if there was nothing to unescape.
fn string(input: Input<'_>) -> Parsed<'_, Cow<'_, [u8]>> {
    let (start, ()) = token(b"\"", "a string")(input)?;
    let plain = |input| take_while(|byte| byte != b'"' && byte != b'\\').parse(input);
    let (mut rest, head): (_, &[u8]) = plain(start)?;
    let mut owned = Vec::new();
    loop {
        match rest {
            [b'"', rest @ ..] if owned.is_empty() && head.len() == start.len() - rest.len() - 1 => {
                return Ok((rest, Cow::Borrowed(head)));
            }
            [b'"', rest @ ..] => return Ok((rest, Cow::Owned(owned))),
            [b'\\', escaped, after @ ..] => {
                if owned.is_empty() {
                    owned.extend_from_slice(head);
                }
                owned.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    &other => other,
                });
                let (after, more) = plain(after)?;
                owned.extend_from_slice(more);
                rest = after;
            }
            _ => return Failure::fail(rest, Cause::Expected("'\"' at the end of a string")),
        }
    }
}

/// A string that must be UTF-8.
fn text<'a>(input: Input<'a>, what: &'static str) -> Parsed<'a, String> {
    let (rest, bytes) = string(input)?;
    match String::from_utf8(bytes.into_owned()) {
        Ok(text) => Ok((rest, text)),
        Err(_) => Failure::fail(input, Cause::Expected(what)),
    }
}

fn store_path(input: Input<'_>) -> Parsed<'_, StorePath> {
    let (rest, path) = string(input)?;
    let Ok(path) = std::str::from_utf8(&path) else {
        return Failure::fail(input, Cause::Expected("a store path"));
    };
    match StorePath::parse(path) {
        Ok(path) => Ok((rest, path)),
        Err(error) => Failure::fail(input, Cause::StorePath(error)),
    }
}

/// `[item,item,…]`.
fn list<'a>(input: Input<'a>, mut item: impl FnMut(Input<'a>) -> Parsed<'a, ()>) -> Parsed<'a, ()> {
    let (mut input, ()) = token(b"[", "'['")(input)?;
    if let [b']', rest @ ..] = input {
        return Ok((rest, ()));
    }
    loop {
        (input, ()) = item(input)?;
        match input {
            [b',', rest @ ..] => input = rest,
            [b']', rest @ ..] => return Ok((rest, ())),
            _ => return Failure::fail(input, Cause::Expected("',' or ']'")),
        }
    }
}

/// A list of strings without duplicates.
fn set_of<'a, T: Ord + Key>(
    input: Input<'a>,
    what: &'static str,
    mut item: impl FnMut(Input<'a>) -> Parsed<'a, T>,
) -> Parsed<'a, BTreeSet<T>> {
    let mut set = BTreeSet::new();
    let (input, ()) = list(input, |start| {
        let (input, value) = item(start)?;
        if set.contains(&value) {
            return Failure::fail(
                start,
                Cause::Duplicate {
                    what,
                    key: value.show(),
                },
            );
        }
        set.insert(value);
        Ok((input, ()))
    })?;
    Ok((input, set))
}

/// A list of `(key,…)` without duplicate keys; `item` reads what is between
/// the parentheses.
fn map_of<'a, K: Ord + Key, V>(
    input: Input<'a>,
    what: &'static str,
    mut item: impl FnMut(Input<'a>) -> Parsed<'a, (K, V)>,
) -> Parsed<'a, BTreeMap<K, V>> {
    let mut map = BTreeMap::new();
    let (input, ()) = list(input, |input| {
        let (start, ()) = token(b"(", "'('")(input)?;
        let (input, (key, value)) = item(start)?;
        let (input, ()) = token(b")", "')'")(input)?;
        if map.contains_key(&key) {
            return Failure::fail(
                start,
                Cause::Duplicate {
                    what,
                    key: key.show(),
                },
            );
        }
        map.insert(key, value);
        Ok((input, ()))
    })?;
    Ok((input, map))
}

fn comma(input: Input<'_>) -> Parsed<'_, ()> {
    token(b",", "','")(input)
}

fn token<'a>(bytes: &'static [u8], expected: &'static str) -> impl Fn(Input<'a>) -> Parsed<'a, ()> {
    move |input| match tag::<_, _, Failure<'a>>(bytes).parse(input) {
        Ok((rest, _)) => Ok((rest, ())),
        Err(_) => Failure::fail(input, Cause::Expected(expected)),
    }
}

/// A key of a list, for messages.
trait Key {
    fn show(&self) -> String;
}

impl Key for String {
    fn show(&self) -> String {
        self.clone()
    }
}

impl Key for BStr {
    fn show(&self) -> String {
        self.escape_ascii().to_string()
    }
}

impl Key for StorePath {
    fn show(&self) -> String {
        self.to_string()
    }
}

/// What was wrong, and the input that was left there: how much it is tells
/// the offset.
struct Failure<'a> {
    rest: Input<'a>,
    cause: Cause,
}

enum Cause {
    Expected(&'static str),
    Duplicate {
        what: &'static str,
        key: String,
    },
    StorePath(StorePathError),
    Hash(HashError),
    ContentAddress(ContentAddressError),
    FixedPath {
        output: String,
        found: String,
        expected: String,
    },
    Version {
        version: String,
    },
}

impl<'a> Failure<'a> {
    fn expected(rest: Input<'a>, what: &'static str) -> Failure<'a> {
        Failure {
            rest,
            cause: Cause::Expected(what),
        }
    }

    /// Gives up at `rest`.
    fn fail<T>(rest: Input<'a>, cause: Cause) -> Parsed<'a, T> {
        Err(Err::Failure(Failure { rest, cause }))
    }

    fn into_error(self, total: usize) -> AtermError {
        let offset = total - self.rest.len();
        match self.cause {
            Cause::Expected(expected) => AtermError::Expected {
                offset,
                expected,
                found: found(self.rest),
            },
            Cause::Duplicate { what, key } => AtermError::Duplicate { offset, what, key },
            Cause::StorePath(error) => AtermError::StorePath { offset, error },
            Cause::Hash(error) => AtermError::Hash { offset, error },
            Cause::ContentAddress(error) => AtermError::ContentAddress { offset, error },
            Cause::FixedPath {
                output,
                found,
                expected,
            } => AtermError::FixedPath {
                offset,
                output,
                found,
                expected,
            },
            Cause::Version { version } => AtermError::Version { offset, version },
        }
    }
}

impl<'a> ParseError<Input<'a>> for Failure<'a> {
    fn from_error_kind(rest: Input<'a>, _: ErrorKind) -> Self {
        Failure::expected(rest, "something else")
    }

    fn append(_: Input<'a>, _: ErrorKind, inner: Self) -> Self {
        inner
    }
}

/// What a message shows of the input.
fn found(rest: &[u8]) -> String {
    if rest.is_empty() {
        return "the end of the file".to_owned();
    }
    let dots = if rest.len() > SHOWN { "…" } else { "" };
    // Quotes are part of the format and easier to read as they are.
    let text: String = rest[..rest.len().min(SHOWN)]
        .iter()
        .flat_map(|&byte| match byte {
            b'"' => vec!['"'],
            _ => std::ascii::escape_default(byte).map(char::from).collect(),
        })
        .collect();
    format!("'{text}{dots}'")
}
