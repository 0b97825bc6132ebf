//! What the dynamic linker would do with a file on the target: find its interpreter, its libraries and their versions.
//!
//! The search is glibc's (ld.so(8)): for a library without `DT_RUNPATH`, the `DT_RPATH` of the file that needs it, of
//! the one that loaded that, and so on up to the program; then its own `DT_RUNPATH`. The system's default directories do
//! not exist on a target that runs from the store, so they are not looked into. A library that is loaded already is found
//! by its name.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use object::read::ReadCache;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::closure::{Lookup, NotFound, locate};
use crate::object::{Broken, Kind, Object};
use crate::rule::Rule;

/// Reads libraries of the closure, each once.
pub(crate) struct Linker<'a> {
    lookup: &'a Lookup<'a>,
    read: Mutex<FxHashMap<PathBuf, Arc<Result<Object, Broken>>>>,
}

/// A file in the process that the dynamic linker would make.
struct Loaded {
    name: String,
    directory: PathBuf,
    object: Arc<Result<Object, Broken>>,
    loader: Option<usize>,
}

impl Loaded {
    fn object(&self) -> Option<&Object> {
        self.object.as_ref().as_ref().ok()
    }
}

impl<'a> Linker<'a> {
    pub(crate) fn new(lookup: &'a Lookup<'a>) -> Self {
        Self {
            lookup,
            read: Mutex::default(),
        }
    }

    /// Checks `object`, the file `logical` of an output.
    pub(crate) fn check(
        &self,
        logical: &Path,
        object: &Object,
        found: &mut dyn FnMut(Rule, String),
    ) {
        if object.kind == Kind::Relocatable || !object.dynamic {
            return;
        }
        self.check_search_path(logical, object, found);
        let program = object.kind == Kind::Executable || object.pie;
        let interpreter = self.check_interpreter(object, program, found);
        self.check_libraries(logical, object, interpreter, found);
    }

    fn check_search_path(
        &self,
        logical: &Path,
        object: &Object,
        found: &mut dyn FnMut(Rule, String),
    ) {
        let origin = logical.parent().unwrap_or(Path::new("/"));
        // The dynamic linker ignores an RPATH beside a RUNPATH, but a later tool may not.
        for entry in object.rpath.iter().chain(object.runpath.iter().flatten()) {
            let shown = String::from_utf8_lossy(entry);
            if entry.is_empty() {
                found(
                    Rule::Rpath,
                    "the RPATH has an empty entry, which means the current directory".to_owned(),
                );
                continue;
            }
            let path = match expand(entry, origin) {
                Ok(path) => path,
                Err(token) => {
                    found(
                        Rule::Rpath,
                        format!(
                            "the RPATH entry `{shown}` uses {token}, whose meaning depends on the C library"
                        ),
                    );
                    continue;
                }
            };
            if !path.is_absolute() {
                found(
                    Rule::Rpath,
                    format!("the RPATH entry `{shown}` is not absolute"),
                );
            } else if let Err(
                why @ (NotFound::OutsideStore(_) | NotFound::OutsideClosure(_) | NotFound::Loop),
            ) = locate(&path, self.lookup)
            {
                found(
                    Rule::Rpath,
                    format!("the RPATH entry `{shown}` leads out of the closure: {why}"),
                );
            }
        }
    }

    fn check_interpreter(
        &self,
        object: &Object,
        program: bool,
        found: &mut dyn FnMut(Rule, String),
    ) -> Option<(PathBuf, Arc<Result<Object, Broken>>)> {
        let Some(interpreter) = &object.interpreter else {
            if program && !object.needed.is_empty() {
                found(
                    Rule::Interpreter,
                    "the program needs libraries but names no interpreter to load them".to_owned(),
                );
            }
            return None;
        };
        let shown = String::from_utf8_lossy(interpreter);
        let located = match locate(Path::new(OsStr::from_bytes(interpreter)), self.lookup) {
            Ok(located) => located,
            Err(why) => {
                found(
                    Rule::Interpreter,
                    format!("the interpreter is {shown}: {why}"),
                );
                return None;
            }
        };
        let read = self.read(&located.physical);
        if let Err((_, reason)) = read.as_ref() {
            found(
                Rule::Interpreter,
                format!("the interpreter {shown} is not genuine: {reason}"),
            );
        }
        Some((PathBuf::from(OsStr::from_bytes(interpreter)), read))
    }

    fn check_libraries(
        &self,
        logical: &Path,
        object: &Object,
        interpreter: Option<(PathBuf, Arc<Result<Object, Broken>>)>,
        found: &mut dyn FnMut(Rule, String),
    ) {
        let directory = |path: &Path| path.parent().unwrap_or(Path::new("/")).to_owned();
        let mut loaded = vec![Loaded {
            name: String::new(),
            directory: directory(logical),
            object: Arc::new(Ok(object.clone())),
            loader: None,
        }];
        let mut by_name: FxHashMap<Vec<u8>, usize> = FxHashMap::default();
        if let Some(soname) = &object.soname {
            by_name.insert(soname.clone(), 0);
        }
        let mut is_musl = false;
        if let Some((path, object)) = interpreter {
            is_musl = path
                .file_name()
                .is_some_and(|name| name.as_bytes().starts_with(b"ld-musl-"));
            let base = path
                .file_name()
                .map(|name| name.as_bytes().to_vec())
                .unwrap_or_default();
            let soname = object
                .as_ref()
                .as_ref()
                .ok()
                .and_then(|o| o.soname.clone())
                .unwrap_or_else(|| base.clone());
            by_name.insert(base, 1);
            by_name.insert(soname, 1);
            // Mapped before everything else, and its own dependencies are none.
            loaded.push(Loaded {
                name: path.display().to_string(),
                directory: directory(&path),
                object,
                loader: Some(0),
            });
        }
        let mut missing: FxHashSet<Vec<u8>> = FxHashSet::default();
        let mut next = 0;
        while next < loaded.len() {
            let needed = loaded[next]
                .object()
                .map(|object| object.needed.clone())
                .unwrap_or_default();
            for name in needed {
                if by_name.contains_key(&name)
                    || missing.contains(&name)
                    || (is_musl && is_part_of_musl(&name))
                {
                    continue;
                }
                match self.find(&name, next, &loaded) {
                    Ok((path, library)) => {
                        let index = loaded.len();
                        if let Ok(Object {
                            soname: Some(soname),
                            ..
                        }) = library.as_ref()
                        {
                            by_name.insert(soname.clone(), index);
                        }
                        by_name.insert(name, index);
                        loaded.push(Loaded {
                            name: path.display().to_string(),
                            directory: directory(&path),
                            object: library,
                            loader: Some(next),
                        });
                    }
                    Err(why) => {
                        let by = if next == 0 {
                            String::new()
                        } else {
                            format!(" (by {})", loaded[next].name)
                        };
                        found(
                            Rule::Needed,
                            format!("the library {}{by} {why}", String::from_utf8_lossy(&name)),
                        );
                        missing.insert(name);
                    }
                }
            }
            next += 1;
        }
        for user in &loaded {
            for (library, version) in user
                .object()
                .map(|o| o.requires.as_slice())
                .unwrap_or_default()
            {
                let Some(provider) = by_name.get(library).map(|index| &loaded[*index]) else {
                    continue;
                };
                let provides = provider
                    .object()
                    .map(|o| o.provides.as_slice())
                    .unwrap_or_default();
                // A library without any versions is accepted by the dynamic linker, with a warning.
                if !provides.is_empty() && !provides.contains(version) {
                    let by = if user.loader.is_none() {
                        String::new()
                    } else {
                        format!(" (by {})", user.name)
                    };
                    found(
                        Rule::SymbolVersion,
                        format!(
                            "version {} is needed{by}, but {} does not have it",
                            String::from_utf8_lossy(version),
                            provider.name
                        ),
                    );
                }
            }
        }
    }

    /// Finds the library `name` for `loaded[user]`.
    fn find(
        &self,
        name: &[u8],
        user: usize,
        loaded: &[Loaded],
    ) -> Result<(PathBuf, Arc<Result<Object, Broken>>), String> {
        let directory = |file: &Loaded, entry: &[u8]| expand(entry, &file.directory).ok();
        if name.contains(&b'/') {
            let path = directory(&loaded[user], name)
                .unwrap_or_else(|| PathBuf::from(OsStr::from_bytes(name)));
            if !path.is_absolute() {
                return Err("is needed by a name relative to the current directory".to_owned());
            }
            let located = locate(&path, self.lookup)
                .map_err(|why| format!("is needed by its path: {why}"))?;
            let library = self.read(&located.physical);
            if let Some(reason) = unloadable(&library) {
                return Err(format!("is at {}, but {reason}", path.display()));
            }
            return Ok((path, library));
        }
        let mut directories: Vec<PathBuf> = Vec::new();
        match loaded[user]
            .object()
            .and_then(|object| object.runpath.as_deref())
        {
            Some(runpath) => directories.extend(
                runpath
                    .iter()
                    .filter_map(|entry| directory(&loaded[user], entry)),
            ),
            None => {
                let mut chain = Some(user);
                while let Some(index) = chain {
                    let file = &loaded[index];
                    if let Some(object) = file.object()
                        && object.runpath.is_none()
                    {
                        directories.extend(
                            object
                                .rpath
                                .iter()
                                .filter_map(|entry| directory(file, entry)),
                        );
                    }
                    chain = file.loader;
                }
            }
        }
        let mut refused = None;
        for directory in &directories {
            let path = directory.join(OsStr::from_bytes(name));
            let Ok(located) = locate(&path, self.lookup) else {
                continue;
            };
            let library = self.read(&located.physical);
            match unloadable(&library) {
                None => return Ok((path, library)),
                Some(reason) => {
                    refused
                        .get_or_insert_with(|| format!("is at {}, but {reason}", path.display()));
                }
            }
        }
        Err(refused.unwrap_or_else(|| match directories.as_slice() {
            [] => "is not found: the file has no RPATH".to_owned(),
            list => format!(
                "is not found in {}",
                list.iter()
                    .map(|d| d.display().to_string())
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        }))
    }

    fn read(&self, physical: &Path) -> Arc<Result<Object, Broken>> {
        if let Some(known) = self
            .read
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(physical)
        {
            return Arc::clone(known);
        }
        let result = match File::open(physical) {
            Ok(file) if file.metadata().is_ok_and(|m| m.is_file()) => {
                let cache = ReadCache::new(file);
                match ::object::read::ReadRef::read_bytes_at(&cache, 0, 4) {
                    Ok(b"\x7fELF") => crate::object::read(&cache),
                    _ => Err((Rule::ElfMalformed, "it is not an ELF file".to_owned())),
                }
            }
            _ => Err((Rule::Unreadable, "it cannot be read".to_owned())),
        };
        let result = Arc::new(result);
        self.read
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(physical.to_owned(), Arc::clone(&result));
        result
    }
}

/// Why a file cannot be loaded as a library, if it cannot.
fn unloadable(library: &Result<Object, Broken>) -> Option<String> {
    match library {
        Err((_, reason)) => Some(reason.clone()),
        Ok(object) if object.kind != Kind::Shared => Some("it is not a shared object".to_owned()),
        Ok(_) => None,
    }
}

/// Libraries whose names musl's dynamic linker takes as its own (its `reserved` names).
fn is_part_of_musl(name: &[u8]) -> bool {
    let base = name
        .strip_prefix(b"lib")
        .and_then(|rest| rest.split(|b| *b == b'.').next());
    name.contains(&b'.')
        && base.is_some_and(|base| {
            [&b"c"[..], b"pthread", b"rt", b"m", b"dl", b"util", b"xnet"].contains(&base)
        })
}

/// Replaces the dynamic string tokens of ld.so(8), `$ORIGIN` or `${ORIGIN}`, in an entry of a search path or a library's name. `Err`
/// names another token that stands there.
fn expand(entry: &[u8], origin: &Path) -> Result<PathBuf, &'static str> {
    let mut expanded = Vec::with_capacity(entry.len());
    let mut rest = entry;
    while let Some(dollar) = memchr::memchr(b'$', rest) {
        expanded.extend_from_slice(&rest[..dollar]);
        rest = &rest[dollar..];
        if let Some(after) = token(rest, b"ORIGIN") {
            expanded.extend_from_slice(origin.as_os_str().as_bytes());
            rest = after;
        } else if token(rest, b"LIB").is_some() {
            return Err("$LIB");
        } else if token(rest, b"PLATFORM").is_some() {
            return Err("$PLATFORM");
        } else {
            expanded.push(b'$');
            rest = &rest[1..];
        }
    }
    expanded.extend_from_slice(rest);
    Ok(PathBuf::from(OsStr::from_bytes(&expanded)))
}

/// What follows `$NAME` or `${NAME}` at the beginning of `text`. Without braces, the name ends where no letter, digit or underscore
/// follows.
fn token<'t>(text: &'t [u8], name: &[u8]) -> Option<&'t [u8]> {
    let text = text.strip_prefix(b"$")?;
    if let Some(braced) = text.strip_prefix(b"{") {
        return braced.strip_prefix(name)?.strip_prefix(b"}");
    }
    let after = text.strip_prefix(name)?;
    let longer = after
        .first()
        .is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    (!longer).then_some(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        let expanded = |entry: &str| match expand(entry.as_bytes(), Path::new("/o")) {
            Ok(path) => path.display().to_string(),
            Err(token) => format!("({token})"),
        };
        for (entry, expected) in [
            ("$ORIGIN", "/o"),
            ("$ORIGIN/../lib", "/o/../lib"),
            ("${ORIGIN}x", "/ox"),
            ("/a/$ORIGIN", "/a//o"),
            ("$ORIGINAL/lib", "$ORIGINAL/lib"),
            ("${ORIGIN", "${ORIGIN"),
            ("$ORIGIN/$LIB", "($LIB)"),
            ("/a/${PLATFORM}", "($PLATFORM)"),
            ("/a/$", "/a/$"),
        ] {
            assert_eq!(expanded(entry), expected, "{entry}");
        }
    }

    #[test]
    fn musl_has_its_libraries_in_itself() {
        for name in [
            "libc.so",
            "libc.musl-aarch64.so.1",
            "libpthread.so.0",
            "libm.so.6",
        ] {
            assert!(is_part_of_musl(name.as_bytes()), "{name}");
        }
        for name in ["libcrypt.so.1", "libz.so.1", "libc", "c.so", "libmvec.so"] {
            assert!(!is_part_of_musl(name.as_bytes()), "{name}");
        }
    }
}
