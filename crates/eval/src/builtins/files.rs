//! Builtins that read files, directories and the environment.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use xbuild_store_model::references::RefScanner;
use xbuild_store_model::{STORE_DIR, StorePath};

use crate::Evaluator;
use crate::attrs::AttrsBuilder;
use crate::derivation::FETCHURL_PATH;
use crate::error::{EvalError, Result};
use crate::eval::{Coercion, FileError, Links};
use crate::host::{FileType, Host};
use crate::position::Pos;
use crate::settings::SearchPathEntry;
use crate::string::{ContextElem, ContextSet, Str};
use crate::value::{Builtin, Value};

pub(super) static TABLE: &[Builtin] = &[
    Builtin {
        name: "__findFile",
        arity: 2,
        run: find_file,
    },
    Builtin {
        name: "__getEnv",
        arity: 1,
        run: get_env,
    },
    Builtin {
        name: "__pathExists",
        arity: 1,
        run: path_exists,
    },
    Builtin {
        name: "__readDir",
        arity: 1,
        run: read_dir,
    },
    Builtin {
        name: "__readFile",
        arity: 1,
        run: read_file,
    },
    Builtin {
        name: "__readFileType",
        arity: 1,
        run: read_file_type,
    },
];

/// What messages say about a path argument.
const REALISING: &str = "while realising the context of a path";

impl Evaluator {
    /// The file that a path argument names, which may be read, and its contents.
    pub(super) fn read_path(&mut self, path: Value, pos: Pos) -> Result<(PathBuf, Vec<u8>)> {
        let path = self.readable_path(path, pos)?;
        match self.with_file(&path, Links::All, Host::read_file) {
            Ok(contents) => Ok((path, contents)),
            Err(error) => Err(self.unreadable(&path, error, pos)),
        }
    }

    /// A path argument, which may be read.
    fn readable_path(&mut self, path: Value, pos: Pos) -> Result<PathBuf> {
        let path = self.coerce_to_real_path(path, pos, REALISING)?;
        self.check_readable(&path, pos)?;
        Ok(path)
    }

    /// The error of a directory that could not be read.
    fn unreadable_dir(&self, path: &Path, error: FileError, pos: Pos) -> EvalError {
        let real = self.without_links(path);
        match self.host.file_type(&real) {
            Ok(Some(FileType::Regular)) => EvalError::new(
                pos,
                format!(
                    "cannot read directory \"{}\": Not a directory",
                    self.shown_file(&real)
                ),
            ),
            _ => self.unreadable(path, error, pos),
        }
    }
}

fn read_file(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let (path, contents) = ev.read_path(args[0], pos)?;
    if memchr::memchr(0, &contents).is_some() {
        let message = format!(
            "the contents of the file '{}' cannot be represented as a Nix string",
            path.display()
        );
        return Err(EvalError::new(pos, message));
    }
    let mut context = ContextSet::new();
    if path.starts_with(STORE_DIR) {
        for reference in references_in(ev, &path, &contents) {
            let reference = ev.intern(reference.to_string().as_bytes());
            context.insert(ContextElem::Opaque(reference));
        }
    }
    Ok(ev.string_with(&contents, &context))
}

/// Those references of the store path around a file that the file has in it.
fn references_in(ev: &Evaluator, path: &Path, contents: &[u8]) -> Vec<StorePath> {
    let store_path = path
        .to_str()
        .and_then(|path| StorePath::parse_prefix(path).ok());
    // A path that is not valid has no references; this is not the place to complain.
    let references = store_path
        .and_then(|(path, _)| ev.host.references(&path).ok())
        .unwrap_or_default();
    let mut scanner = RefScanner::new(&references);
    scanner.update(contents);
    scanner.found().into_iter().collect()
}

fn read_file_type(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let path = ev.coerce_to_real_path(args[0], pos, REALISING)?;
    ev.check_link_readable(&path, pos)?;
    match ev.with_file(&path, Links::BeforeLast, Host::file_type) {
        Ok(Some(kind)) => Ok(ev.string(kind.name().as_bytes())),
        Ok(None) => Err(EvalError::new(pos, ev.missing_file(&path))),
        Err(error) => Err(EvalError::new(pos, error.into_reason().to_string())),
    }
}

fn read_dir(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let path = ev.readable_path(args[0], pos)?;
    let state = ev.host.dir_state(&path);
    if let Some(state) = state
        && let Some((then, entries)) = ev.builtin_state.directories.get(&path)
        && *then == state
    {
        return Ok(*entries);
    }
    let entries = match ev.with_file(&path, Links::All, Host::read_dir) {
        Ok(entries) => entries,
        Err(error) => return Err(ev.unreadable_dir(&path, error, pos)),
    };
    let mut attrs = AttrsBuilder::with_capacity(entries.len());
    let mut all = true;
    for (name, kind) in entries {
        if !ev.can_see(&path.join(&name)) {
            all = false;
            continue;
        }
        let kind = ev.intern(kind.name().as_bytes());
        let kind = ev.name_value(kind);
        attrs.insert(ev.intern(name.as_bytes()), kind, Pos::NONE);
    }
    let found = ev.attrs(attrs);
    // What may be seen only grows.
    if all && let Some(state) = state {
        ev.builtin_state.directories.insert(path, (state, found));
    }
    Ok(found)
}

fn path_exists(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let argument = ev.force(args[0], pos)?;
    let text = argument.as_string().map(Str::bytes).unwrap_or_default();
    let directory = text.ends_with(b"/") || text.ends_with(b"/.");
    let path = ev.coerce_to_real_path(argument, pos, REALISING)?;
    if path == Path::new(FETCHURL_PATH) {
        return Ok(Value::TRUE);
    }
    // What may not be looked at does not exist.
    let readable = if directory {
        ev.check_readable(&path, pos)
    } else {
        ev.check_link_readable(&path, pos)
    };
    if readable.is_err() {
        return Ok(Value::FALSE);
    }
    let found = if directory {
        ev.with_file(&path, Links::All, |host, path| {
            let found = host.file_type(path)?;
            match found {
                Some(FileType::Symlink) => match host.canonicalise(path) {
                    Ok(target) => host.file_type(&target),
                    // It leads nowhere, or on and on.
                    Err(error) => Err(error),
                },
                _ => Ok(found),
            }
        })
    } else {
        ev.with_file(&path, Links::BeforeLast, Host::file_type)
    };
    match found {
        Ok(found) => Ok(Value::bool(match directory {
            true => found == Some(FileType::Directory),
            false => found.is_some(),
        })),
        Err(FileError::Path(error)) => Err(ev.misleading(&path, &error)),
        Err(FileError::File(error)) => Err(EvalError::new(pos, error.to_string())),
    }
}

fn get_env(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument passed to builtins.getEnv";
    let name = ev.force_string_no_context(args[0], pos, what)?;
    if ev.settings.pure || ev.settings.restrict {
        return Ok(ev.string(b""));
    }
    let value = ev
        .host
        .env(OsStr::from_bytes(name.bytes()))
        .unwrap_or_default();
    Ok(ev.string(value.as_bytes()))
}

fn find_file(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let list = ev.force_list(
        args[0],
        pos,
        "while evaluating the first argument passed to builtins.findFile",
    )?;
    let mut entries = Vec::with_capacity(list.len());
    for &element in list.as_slice() {
        let what = "while evaluating an element of the list passed to builtins.findFile";
        let entry = ev.force_attrs(element, pos, what)?;
        let prefix = match entry.get(ev.known.prefix) {
            Some(prefix) => {
                let what = "while evaluating the `prefix` attribute of an element of the list passed to builtins.findFile";
                let prefix = ev.force_string_no_context(prefix.value, pos, what)?;
                String::from_utf8_lossy(prefix.bytes()).into_owned()
            }
            None => String::new(),
        };
        let path = ev.required_attr(entry, ev.known.path, pos, "in an element of the __nixPath")?;
        let mut context = ContextSet::new();
        let what = "while evaluating the `path` attribute of an element of the list passed to builtins.findFile";
        let path = ev.coerce_to_string(path.value, pos, &mut context, Coercion::PLAIN, what)?;
        let path = ev.realise_text(path.bytes(), &context, pos)?;
        entries.push(SearchPathEntry {
            prefix,
            path: String::from_utf8_lossy(&path).into_owned(),
        });
    }
    let what = "while evaluating the second argument passed to builtins.findFile";
    let name = ev.force_string_no_context(args[1], pos, what)?;
    ev.find_file(&entries, name.bytes(), pos)
}
