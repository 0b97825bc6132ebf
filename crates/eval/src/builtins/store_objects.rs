//! Builtins that add files to the store, or name store paths.

use std::collections::BTreeSet;
use std::path::Path;

use xbuild_store_model::store_path::{hash_placeholder, make_fixed_output_path, make_text_path};
use xbuild_store_model::{FileIngestionMethod, Hash, HashAlgo, STORE_DIR, StorePath};

use crate::error::{EvalError, Result};
use crate::eval::{Links, directory_contents};
use crate::host::{FileType, HostError, Requisite};
use crate::position::Pos;
use crate::string::{ContextElem, ContextSet};
use crate::value::{Builtin, Value};
use crate::{Evaluator, ResultExt};

use super::path_text;

pub(super) static TABLE: &[Builtin] = &[
    Builtin {
        name: "__filterSource",
        arity: 2,
        run: filter_source,
    },
    Builtin {
        name: "__path",
        arity: 1,
        run: path,
    },
    Builtin {
        name: "placeholder",
        arity: 1,
        run: placeholder,
    },
    Builtin {
        name: "__storePath",
        arity: 1,
        run: store_path,
    },
    Builtin {
        name: "__toFile",
        arity: 2,
        run: to_file,
    },
];

impl Evaluator {
    /// A store path as a string that depends on it.
    pub fn store_path_value(&mut self, path: &StorePath) -> Value {
        let text = path.to_string();
        self.allow(Path::new(&text));
        let mut context = ContextSet::new();
        context.insert(self.opaque(&text));
        self.string_with(text.as_bytes(), &context)
    }

    /// A hash argument. Nix takes an empty one for zeros, so that users can learn the right one from the error.
    pub(super) fn parse_hash_or_empty(&mut self, text: &[u8], pos: Pos) -> Result<Hash> {
        if text.is_empty() {
            let zero = Hash::zero(HashAlgo::Sha256);
            self.host.message(
                format!("warning: found empty hash, assuming '{}'", zero.to_sri()).as_bytes(),
            );
            return Ok(zero);
        }
        Hash::parse_any(&String::from_utf8_lossy(text), Some(HashAlgo::Sha256))
            .map_err(|error| EvalError::new(pos, error.to_string()))
    }
}

fn placeholder(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument passed to builtins.placeholder";
    let output = ev.force_string_no_context(args[0], pos, what)?;
    Ok(ev.string(hash_placeholder(&String::from_utf8_lossy(output.bytes())).as_bytes()))
}

fn store_path(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    if ev.settings.pure {
        return Err(EvalError::new(
            pos,
            "'builtins.storePath' is not allowed in pure evaluation mode",
        ));
    }
    let mut context = ContextSet::new();
    let what = "while evaluating the first argument passed to 'builtins.storePath'";
    let path = ev.coerce_to_path(args[0], pos, &mut context, what)?;
    let mut text = String::from_utf8_lossy(&path).into_owned();
    // A symlink to a store path, such as the result of a build, stands for what it points to.
    if StorePath::parse(&text).is_err()
        && let Ok(target) = ev.host.canonicalise(Path::new(&text))
    {
        text = target.to_string_lossy().into_owned();
    }
    let (store_path, _) = StorePath::parse_prefix(&text).map_err(|error| {
        let base = text
            .strip_prefix(STORE_DIR)
            .and_then(|rest| rest.strip_prefix('/'));
        let message = match base {
            Some(base) if !base.is_empty() => error.to_string(),
            _ => format!("path '{text}' is not in the Nix store"),
        };
        EvalError::new(pos, message)
    })?;
    if ev.settings.needs_store_paths() {
        ev.host
            .realise(&[Requisite::Path(store_path.clone())])
            .map_err(|error| EvalError::host(Pos::NONE, &error))?;
    }
    context.insert(ev.opaque(&store_path.to_string()));
    Ok(ev.string_with(text.as_bytes(), &context))
}

fn to_file(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument passed to builtins.toFile";
    let name = ev.force_string_no_context(args[0], pos, what)?;
    let name = String::from_utf8_lossy(name.bytes());
    let contents = ev.force_string(
        args[1],
        pos,
        "while evaluating the second argument passed to builtins.toFile",
    )?;
    let mut references = BTreeSet::new();
    let (paths, derivations): (Vec<ContextElem>, Vec<ContextElem>) = contents
        .context()
        .unwrap_or_default()
        .iter()
        .partition(|elem| matches!(elem, ContextElem::Opaque(_)));
    if let Some(elem) = ev.first_shown(&derivations) {
        let shown = ev
            .show_context_elem(elem)
            .replace(&format!("{STORE_DIR}/"), "");
        let message = format!(
            "files created by builtins.toFile may not reference derivations, but {name} references {shown}"
        );
        return Err(EvalError::new(pos, message));
    }
    for elem in paths {
        if let ContextElem::Opaque(path) = elem {
            let path = StorePath::parse(&ev.name(path))
                .map_err(|error| EvalError::new(pos, error.to_string()))?;
            references.insert(path);
        }
    }
    let path = if ev.settings.read_only {
        make_text_path(
            &name,
            &Hash::of(HashAlgo::Sha256, contents.bytes()),
            &references,
        )
        .map_err(|error| EvalError::new(Pos::NONE, error.to_string()))?
    } else {
        let references: Vec<StorePath> = references.into_iter().collect();
        ev.host
            .add_text(&name, contents.bytes(), &references)
            .map_err(|error| EvalError::new(Pos::NONE, error.to_string()))?
    };
    Ok(ev.store_path_value(&path))
}

/// What is to be added to the store.
struct Source {
    path: Vec<u8>,
    name: String,
    context: ContextSet,
    filter: Option<Value>,
    method: FileIngestionMethod,
    expected: Option<Hash>,
}

fn filter_source(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the second argument (the path to filter) passed to 'builtins.filterSource'";
    let mut context = ContextSet::new();
    let path = ev.coerce_to_path(args[1], pos, &mut context, what)?;
    let filter = ev.force_function(
        args[0],
        pos,
        "while evaluating the first argument passed to builtins.filterSource",
    )?;
    let name = String::from_utf8_lossy(path_text::base_name(&path)).into_owned();
    let method = FileIngestionMethod::NixArchive;
    add_source(
        ev,
        &Source {
            path,
            name,
            context,
            filter: Some(filter),
            method,
            expected: None,
        },
        pos,
    )
}

fn path(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let attrs = ev.force_attrs(
        args[0],
        pos,
        "while evaluating the argument passed to 'builtins.path'",
    )?;
    let (mut path, mut name, mut filter, mut expected) = (None, String::new(), None, None);
    let mut context = ContextSet::new();
    let mut method = FileIngestionMethod::NixArchive;
    for attr in attrs.iter() {
        match ev.symbols.name(attr.name) {
            b"path" => {
                let what = "while evaluating the 'path' attribute passed to 'builtins.path'";
                path = Some(ev.coerce_to_path(attr.value, attr.pos, &mut context, what)?);
            }
            b"name" => {
                let what = "while evaluating the `name` attribute passed to builtins.path";
                let text = ev.force_string_no_context(attr.value, attr.pos, what)?;
                name = String::from_utf8_lossy(text.bytes()).into_owned();
            }
            b"filter" => {
                let what = "while evaluating the `filter` parameter passed to builtins.path";
                filter = Some(ev.force_function(attr.value, attr.pos, what)?);
            }
            b"recursive" => {
                let what = "while evaluating the `recursive` attribute passed to builtins.path";
                if !ev.force_bool(attr.value, attr.pos, what)? {
                    method = FileIngestionMethod::Flat;
                }
            }
            b"sha256" => {
                let what = "while evaluating the `sha256` attribute passed to builtins.path";
                let hash = ev.force_string_no_context(attr.value, attr.pos, what)?;
                expected = Some(ev.parse_hash_or_empty(hash.bytes(), attr.pos)?);
            }
            other => {
                let other = String::from_utf8_lossy(other);
                return Err(EvalError::new(
                    attr.pos,
                    format!("unsupported argument '{other}' to 'builtins.path'"),
                ));
            }
        }
    }
    let Some(path) = path else {
        let message = "missing required 'path' attribute in the first argument to 'builtins.path'";
        return Err(EvalError::new(pos, message));
    };
    if name.is_empty() {
        name = String::from_utf8_lossy(path_text::base_name(&path)).into_owned();
    }
    add_source(
        ev,
        &Source {
            path,
            name,
            context,
            filter,
            method,
            expected,
        },
        pos,
    )
}

fn add_source(ev: &mut Evaluator, source: &Source, pos: Pos) -> Result<Value> {
    let shown = String::from_utf8_lossy(&source.path);
    add_source_inner(ev, source, pos).context(pos, || format!("while adding path '{shown}'"))
}

fn add_source_inner(ev: &mut Evaluator, source: &Source, pos: Pos) -> Result<Value> {
    let failed = |message: String| EvalError::new(Pos::NONE, message);
    let place = ev.realise_text(&source.path, &source.context, Pos::NONE)?;
    let expected = match &source.expected {
        Some(hash) => Some(
            make_fixed_output_path(source.method, hash, &source.name, &BTreeSet::new(), false)
                .map_err(|error| failed(error.to_string()))?,
        ),
        None => None,
    };
    if let Some(expected) = &expected
        && ev
            .host
            .is_valid(expected)
            .map_err(|error| failed(error.to_string()))?
    {
        return Ok(ev.store_path_value(expected));
    }
    let path = crate::eval::as_path(&place);
    ev.check_readable(path, pos)?;
    let path = ev
        .resolve_links(path, Links::All)
        .map_err(|error| failed(error.to_string()))?;
    match ev.host.file_type(&path) {
        Ok(None) => return Err(failed(ev.missing_file(&path))),
        Ok(Some(FileType::Directory)) if source.method == FileIngestionMethod::Flat => {
            return Err(failed(directory_contents(&path)));
        }
        Ok(Some(_)) => {}
        Err(error) => return Err(failed(error.to_string())),
    }
    // What lies in the store is to be known by its name there.
    let path = ev
        .host
        .canonicalise(&path)
        .map_err(|error| failed(error.to_string()))?;

    // The filter's own failure is more than the text that the host could hand back.
    let mut filter_error = None;
    let host = std::rc::Rc::clone(&ev.host);
    let added = match source.filter {
        None => host.add_path(
            &source.name,
            &path,
            source.method,
            HashAlgo::Sha256,
            None,
            source.expected,
        ),
        Some(function) => {
            let mut filter = |path: &Path, kind: FileType| {
                call_filter(ev, function, path, kind, pos).map_err(|error| {
                    filter_error = Some(error);
                    HostError::new("the filter function failed")
                })
            };
            host.add_path(
                &source.name,
                &path,
                source.method,
                HashAlgo::Sha256,
                Some(&mut filter),
                source.expected,
            )
        }
    };
    if let Some(error) = filter_error {
        return Err(error);
    }
    let added = added.map_err(|error| failed(error.to_string()))?;
    if expected.is_some_and(|expected| expected != added) {
        let shown = String::from_utf8_lossy(&source.path);
        let message =
            format!("store path mismatch in (possibly filtered) path added from '{shown}'");
        return Err(EvalError::new(pos, message));
    }
    Ok(ev.store_path_value(&added))
}

fn call_filter(
    ev: &mut Evaluator,
    function: Value,
    path: &Path,
    kind: FileType,
    pos: Pos,
) -> Result<bool> {
    let path = ev.string(path.as_os_str().as_encoded_bytes());
    let kind = ev.string(kind.name().as_bytes());
    let result = ev.call(function, &[path, kind], pos)?;
    ev.force_bool(
        result,
        pos,
        "while evaluating the return value of the path filter function",
    )
}
