//! Builtins that download.

use xbuild_flake_ref::Url;
use xbuild_store_model::Hash;
use xbuild_store_model::store_path::check_name;

use super::path_text;
use crate::Evaluator;
use crate::error::{EvalError, Result};
use crate::eval::{as_path, canonical_path};
use crate::host::FetchUrl;
use crate::position::Pos;
use crate::value::{Builtin, Value};

pub(super) static TABLE: &[Builtin] = &[
    Builtin {
        name: "__fetchurl",
        arity: 1,
        run: |ev, args, pos| fetch(ev, args, pos, "fetchurl", false),
    },
    Builtin {
        name: "fetchTarball",
        arity: 1,
        run: |ev, args, pos| fetch(ev, args, pos, "fetchTarball", true),
    },
];

fn fetch(ev: &mut Evaluator, args: &[Value], pos: Pos, who: &str, unpack: bool) -> Result<Value> {
    const URL: &str = "while evaluating the url we should fetch";
    let argument = ev.force(args[0], pos)?;
    let mut url = None;
    let mut hash: Option<Hash> = None;
    let mut name = None;
    let attrs = argument.as_attrs();
    if let Some(attrs) = attrs {
        for attr in attrs.iter() {
            match ev.symbols.name(attr.name) {
                b"url" => url = Some(ev.force_string_no_context(attr.value, attr.pos, URL)?),
                b"sha256" => {
                    let what = "while evaluating the sha256 of the content we should fetch";
                    let text = ev.force_string_no_context(attr.value, attr.pos, what)?;
                    hash = Some(ev.parse_hash_or_empty(text.bytes(), attr.pos)?);
                }
                b"name" => {
                    let what = "while evaluating the name of the content we should fetch";
                    name = Some(ev.force_string_no_context(attr.value, attr.pos, what)?);
                }
                other => {
                    let other = String::from_utf8_lossy(other);
                    return Err(EvalError::new(
                        pos,
                        format!("unsupported argument '{other}' to '{who}'"),
                    ));
                }
            }
        }
    } else {
        url = Some(ev.force_string_no_context(argument, pos, URL)?);
    }
    let Some(url) = url else {
        return Err(EvalError::new(pos, "'url' argument required"));
    };
    let mut url = String::from_utf8_lossy(url.bytes()).into_owned();
    if unpack {
        url = crate::eval::channel_url(&url);
    }
    check_uri(ev, &url, pos)?;

    let name_given = name.is_some();
    let mut store_name = match name {
        Some(name) => String::from_utf8_lossy(name.bytes()).into_owned(),
        None if unpack => "source".to_owned(),
        None => String::new(),
    };
    if store_name.is_empty() {
        store_name = String::from_utf8_lossy(path_text::base_name(url.as_bytes())).into_owned();
    }
    if let Err(error) = check_name(&store_name) {
        let resolution = if name_given {
            format!(
                "Please change the value for the 'name' attribute passed to '{who}', so that it can create a valid store path."
            )
        } else if attrs.is_some() {
            format!(
                "Please add a valid 'name' attribute to the argument for '{who}', so that it can create a valid store path."
            )
        } else {
            format!(
                "Please pass an attribute set with 'url' and 'name' attributes to '{who}',  so that it can create a valid store path."
            )
        };
        let message =
            format!("invalid store path name when fetching URL '{url}': {error}. {resolution}");
        return Err(EvalError::new(pos, message));
    }
    if ev.settings.pure && hash.is_none() {
        let message = format!("in pure evaluation mode, '{who}' requires a 'sha256' argument");
        return Err(EvalError::new(pos, message));
    }
    if url.starts_with('/') || !url.contains(':') {
        let what = if unpack { "" } else { "URL " };
        let message = format!("{what}'{url}' doesn't have a scheme");
        return Err(EvalError::new(Pos::NONE, message));
    }
    let request = FetchUrl {
        url,
        name: store_name,
        hash,
        unpack,
        executable: false,
    };
    let path = ev
        .host
        .fetch_url(&request)
        .map_err(|error| EvalError::host(Pos::NONE, &error))?;
    Ok(ev.store_path_value(&path))
}

/// `restrict-eval` allows only the URIs below those of `allowed-uris`, and files that may be read.
pub(super) fn check_uri(ev: &mut Evaluator, uri: &str, pos: Pos) -> Result<()> {
    let allowed = |prefix: &String| {
        uri.strip_prefix(prefix.as_str()).is_some_and(|rest| {
            rest.is_empty()
                || rest.starts_with('/')
                || prefix.ends_with('/')
                || prefix.ends_with(':')
        })
    };
    if !ev.settings.restrict || ev.settings.allowed_uris.iter().any(allowed) {
        return Ok(());
    }
    let file = match Url::parse(uri) {
        _ if uri.starts_with('/') => Some(uri.to_owned()),
        Ok(url) if url.scheme == "file" => Some(url.path.join("/")),
        _ => None,
    };
    if let Some(file) = file {
        return ev.check_named(as_path(&canonical_path(file.as_bytes())), pos);
    }
    Err(EvalError::new(
        pos,
        format!("access to URI '{uri}' is forbidden in restricted mode"),
    ))
}
