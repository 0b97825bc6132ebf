//! Builtins that fetch trees: `fetchTree`, `fetchGit`, `fetchMercurial`.

use std::path::Path;

use xbuild_flake_ref::{AttrValue, Attrs as InputAttrs, FINAL, Input, Scheme, Url, fix_git_url};
use xbuild_store_model::StorePath;

use super::fetch::check_uri;
use super::flake_refs::ref_error;
use crate::Evaluator;
use crate::attrs::AttrsBuilder;
use crate::error::{EvalError, Result};
use crate::eval::Coercion;
use crate::host::{FetchedTree, HostResult, Registries};
use crate::position::Pos;
use crate::string::ContextSet;
use crate::value::{Builtin, Value, ValueKind};

pub(super) static TABLE: &[Builtin] = &[
    Builtin {
        name: "fetchGit",
        arity: 1,
        run: |ev, args, pos| fetch_tree(ev, args[0], pos, GIT),
    },
    Builtin {
        name: "fetchMercurial",
        arity: 1,
        run: fetch_mercurial,
    },
    Builtin {
        name: "fetchTree",
        arity: 1,
        run: |ev, args, pos| fetch_tree(ev, args[0], pos, TREE),
    },
];

/// `fetchTree`, of the inputs of a locked flake: there is nothing to find out about them. It is in no scope.
pub static FETCH_FINAL_TREE: Builtin = Builtin {
    name: "fetchFinalTree",
    arity: 1,
    run: |ev, args, pos| fetch_tree(ev, args[0], pos, FINAL_TREE),
};

/// What the fetchers differ in.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    git: bool,
    is_final: bool,
}

const TREE: Kind = Kind {
    name: "fetchTree",
    git: false,
    is_final: false,
};
const GIT: Kind = Kind {
    name: "fetchGit",
    git: true,
    is_final: false,
};
const FINAL_TREE: Kind = Kind {
    name: "fetchTree",
    git: false,
    is_final: true,
};

/// The commit of what has none, as `fetchGit` tells it.
const NO_REV: &str = "0000000000000000000000000000000000000000";

fn fetch_tree(ev: &mut Evaluator, argument: Value, pos: Pos, kind: Kind) -> Result<Value> {
    let mut input = input_of(ev, argument, pos, kind)?;
    let flakes = ev.settings.has_feature("flakes");
    input
        .require_features(flakes)
        .map_err(|error| ref_error(&error))?;
    let failed = |error: crate::host::HostError| EvalError::host(Pos::NONE, &error);
    if !ev.settings.pure && !input.is_direct() && flakes {
        input = ev
            .host
            .resolve_input(&input, Registries::Limited)
            .map_err(failed)?
            .0;
    }
    let shown = input
        .to_url()
        .map_err(|error| ref_error(&error))?
        .to_string();
    if ev.settings.pure && !input.is_locked() {
        if input.text("narHash").is_none() {
            return Err(EvalError::new(
                pos,
                format!(
                    "in pure evaluation mode, '{}' doesn't fetch unlocked input '{shown}'",
                    kind.name
                ),
            ));
        }
        ev.host.message(format!("warning: Input '{shown}' is unlocked (e.g. lacks a Git revision) but is checked by NAR hash. This is not reproducible and will break after garbage collection or when shared.").as_bytes());
    }
    check_uri(ev, &shown, pos)?;
    if kind.is_final {
        input.set(FINAL, true);
    } else if input.is_final() {
        return Err(EvalError::new(
            Pos::NONE,
            format!("input '{shown}' is not allowed to use the '__final' attribute"),
        ));
    }
    let fetched = ev.fetch_tree(&input).map_err(|error| {
        let what = format!("while fetching the input '{}'", input.show());
        failed(error).context(Pos::NONE, what)
    })?;
    Ok(ev.tree_value(&fetched.path, &fetched.input, kind.git, false))
}

/// What is to be fetched.
fn input_of(ev: &mut Evaluator, argument: Value, pos: Pos, kind: Kind) -> Result<Input> {
    let argument = ev.force(argument, pos)?;
    let mut context = ContextSet::new();
    let who = kind.name;
    let Some(given) = argument.as_attrs() else {
        let what = format!("while evaluating the first argument passed to '{who}'");
        let url = ev.coerce_to_string(argument, pos, &mut context, Coercion::PLAIN, &what)?;
        let url = url.to_str_lossy();
        if kind.git {
            let mut attrs = InputAttrs::new();
            attrs.insert("type".to_owned(), "git".into());
            let url = fix_git_url(&url).map_err(|error| ref_error(&error))?;
            attrs.insert("url".to_owned(), url.to_string().into());
            attrs.insert("exportIgnore".to_owned(), true.into());
            return Input::from_attrs(attrs).map_err(|error| ref_error(&error));
        }
        if !ev.settings.has_feature("flakes") {
            return Err(EvalError::new(
                pos,
                format!(
                    "passing a string argument to '{who}' requires the 'flakes' experimental feature"
                ),
            ));
        }
        return Url::parse(&url)
            .and_then(|url| Input::from_url(&url, true))
            .map_err(|error| ref_error(&error));
    };
    let mut attrs = InputAttrs::new();
    let kind_attr = given.get(ev.known.kind);
    let input_kind = match kind_attr {
        Some(_) if kind.git => {
            return Err(EvalError::new(pos, "unexpected argument 'type'"));
        }
        Some(attr) => {
            let what = format!("while evaluating the `type` argument passed to '{who}'");
            let text = ev.force_string_no_context(attr.value, attr.pos, &what)?;
            String::from_utf8_lossy(text.bytes()).into_owned()
        }
        None if kind.git => "git".to_owned(),
        None => {
            return Err(EvalError::new(
                pos,
                format!("argument 'type' is missing in call to '{who}'"),
            ));
        }
    };
    for attr in given.iter() {
        if attr.name == ev.known.kind {
            continue;
        }
        let name = ev.name(attr.name).into_owned();
        let value = ev.force(attr.value, attr.pos)?;
        let value = match value.kind() {
            ValueKind::Path(_) | ValueKind::String(_) => {
                let text =
                    ev.coerce_to_string(value, attr.pos, &mut context, Coercion::PLAIN, "")?;
                let text = text.to_str_lossy().into_owned();
                AttrValue::Str(if kind.git && name == "url" {
                    fix_git_url(&text)
                        .map_err(|error| ref_error(&error))?
                        .to_string()
                } else {
                    text
                })
            }
            ValueKind::Bool(value) => AttrValue::Bool(value),
            ValueKind::Int(number) => AttrValue::Int(u64::try_from(number).map_err(|_| {
                EvalError::new(
                    pos,
                    format!("negative value given for '{who}' argument '{name}': {number}"),
                )
            })?),
            _ if name == "publicKeys" => AttrValue::Str(String::new()),
            other => {
                return Err(EvalError::new(
                    Pos::NONE,
                    format!(
                        "argument '{name}' to '{who}' is {} while a string, Boolean or integer is expected",
                        other.type_name()
                    ),
                ));
            }
        };
        attrs.insert(name, value);
    }
    attrs.insert("type".to_owned(), input_kind.as_str().into());
    let submodules = attrs.get("submodules") == Some(&AttrValue::Bool(true));
    if kind.git && !submodules {
        attrs
            .entry("exportIgnore".to_owned())
            .or_insert(true.into());
    }
    if input_kind == "git" && !kind.git {
        attrs.entry("shallow".to_owned()).or_insert(true.into());
    }
    if !kind.git && attrs.contains_key("name") {
        return Err(EvalError::new(
            pos,
            format!("argument 'name' isn’t supported in call to '{who}'"),
        ));
    }
    Input::from_attrs(attrs).map_err(|error| ref_error(&error))
}

impl Evaluator {
    /// Fetches an input; the evaluation may read it then.
    ///
    /// # Errors
    ///
    /// If the host cannot fetch it.
    pub fn fetch_tree(&mut self, input: &Input) -> HostResult<FetchedTree> {
        let fetched = self.host.fetch_tree(input)?;
        let tree = fetched.path.to_string();
        self.allow(Path::new(&tree));
        self.remember_origin(&tree, fetched.origin.clone());
        Ok(fetched)
    }

    /// The attributes of a fetched tree. `empty_rev`: what has no commit has one of zeros, as with `fetchGit`. `dirty`: it is
    /// not what the commit has, although it has one.
    pub fn tree_value(
        &mut self,
        path: &StorePath,
        input: &Input,
        empty_rev: bool,
        dirty: bool,
    ) -> Value {
        let mut attrs = AttrsBuilder::new();
        let out_path = self.store_path_value(path);
        attrs.insert(self.known.out_path, out_path, Pos::NONE);
        let mut set = |ev: &mut Self, name: &str, value: Value| {
            attrs.insert(ev.intern(name.as_bytes()), value, Pos::NONE);
        };
        if let Ok(Some(hash)) = input.nar_hash() {
            let hash = self.string(hash.to_sri().as_bytes());
            set(self, "narHash", hash);
        }
        if input.scheme() == Some(Scheme::Git) {
            set(self, "submodules", Value::bool(input.flag("submodules")));
        }
        if !dirty {
            let rev = input.rev().ok().flatten();
            let rev = rev.or_else(|| empty_rev.then(|| NO_REV.to_owned()));
            if let Some(rev) = rev {
                let value = self.string(rev.as_bytes());
                set(self, "rev", value);
                let short = self.string(&rev.as_bytes()[..rev.len().min(7)]);
                set(self, "shortRev", short);
            }
            let count = input.int("revCount").or(empty_rev.then_some(0));
            if let Some(count) = count {
                let count = self.int(i64::try_from(count).unwrap_or(i64::MAX));
                set(self, "revCount", count);
            }
        }
        for name in ["dirtyRev", "dirtyShortRev"] {
            if let Some(text) = input.text(name) {
                let text = self.string(text.as_bytes());
                set(self, name, text);
            }
        }
        if let Some(seconds) = input.int("lastModified") {
            let number = self.int(i64::try_from(seconds).unwrap_or(i64::MAX));
            set(self, "lastModified", number);
            let date = self.string(date(seconds).as_bytes());
            set(self, "lastModifiedDate", date);
        }
        self.attrs(attrs)
    }
}

/// A time in seconds since 1970 as `YYYYMMDDhhmmss`, UTC.
fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = xbuild_flake_ref::civil_date(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}")
}

fn fetch_mercurial(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let argument = ev.force(args[0], pos)?;
    let mut context = ContextSet::new();
    let mut attrs = InputAttrs::new();
    attrs.insert("type".to_owned(), "hg".into());
    attrs.insert("name".to_owned(), "source".into());
    let mut url = String::new();
    if let Some(given) = argument.as_attrs() {
        for attr in given.iter() {
            let name = ev.name(attr.name).into_owned();
            let what = format!(
                "while evaluating the `{name}` attribute passed to builtins.fetchMercurial"
            );
            match name.as_str() {
                "url" => {
                    let text = ev.coerce_to_string(
                        attr.value,
                        attr.pos,
                        &mut context,
                        Coercion::PLAIN,
                        &what,
                    )?;
                    url = text.to_str_lossy().into_owned();
                }
                "rev" | "name" => {
                    let text = ev.force_string_no_context(attr.value, attr.pos, &what)?;
                    let text = String::from_utf8_lossy(text.bytes()).into_owned();
                    // Here, the revision may be a branch as well.
                    let name = match name.as_str() {
                        "rev" if !xbuild_flake_ref::is_rev(&text) => "ref".to_owned(),
                        _ => name,
                    };
                    attrs.insert(name, text.into());
                }
                _ => {
                    return Err(EvalError::new(
                        attr.pos,
                        format!("unsupported argument '{name}' to 'fetchMercurial'"),
                    ));
                }
            }
        }
        if url.is_empty() {
            return Err(EvalError::new(pos, "'url' argument required"));
        }
    } else {
        let what = "while evaluating the first argument passed to builtins.fetchMercurial";
        let text = ev.coerce_to_string(argument, pos, &mut context, Coercion::PLAIN, what)?;
        url = text.to_str_lossy().into_owned();
    }
    check_uri(ev, &url, pos)?;
    if ev.settings.pure && !attrs.contains_key("rev") {
        return Err(EvalError::new(
            Pos::NONE,
            "in pure evaluation mode, 'fetchMercurial' requires a Mercurial revision",
        ));
    }
    if !url.contains("://") {
        url.insert_str(0, "file://");
    }
    attrs.insert("url".to_owned(), url.into());
    let input = Input::from_attrs(attrs).map_err(|error| ref_error(&error))?;
    let fetched = ev
        .fetch_tree(&input)
        .map_err(|error| EvalError::new(Pos::NONE, error.to_string()))?;
    let mut result = AttrsBuilder::new();
    let out_path = ev.store_path_value(&fetched.path);
    result.insert(ev.known.out_path, out_path, Pos::NONE);
    let mut set = |ev: &mut Evaluator, name: &str, value: Value| {
        result.insert(ev.intern(name.as_bytes()), value, Pos::NONE);
    };
    if let Some(branch) = fetched.input.text("ref") {
        let branch = ev.string(branch.as_bytes());
        set(ev, "branch", branch);
    }
    let rev = fetched.input.text("rev").unwrap_or(NO_REV);
    let value = ev.string(rev.as_bytes());
    set(ev, "rev", value);
    let short = ev.string(&rev.as_bytes()[..rev.len().min(12)]);
    set(ev, "shortRev", short);
    if let Some(count) = fetched.input.int("revCount") {
        let count = ev.int(i64::try_from(count).unwrap_or(i64::MAX));
        set(ev, "revCount", count);
    }
    Ok(ev.attrs(result))
}
