//! `xbuild store cat` and `ls`

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use xbuild_store::{Depth, Node};
use xbuild_store_model::StorePath;

use crate::args::Ls;
use crate::failure::Failure;
use crate::installable;
use crate::output;
use crate::session::Session;

/// The store path that something is in, and where.
fn within(session: &Session, path: &Path) -> Result<(StorePath, PathBuf), Failure> {
    installable::in_store(session, path).ok_or_else(|| {
        Failure::text(format!(
            "`{}` is not in the store, and no link into {}",
            path.display(),
            session.store.root().display()
        ))
    })
}

pub(super) fn cat(session: &Session, path: &Path) -> Result<(), Failure> {
    let (path, rest) = within(session, path)?;
    let mut file = session.store.open_file(&path, &rest)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => output::bytes(&buffer[..count])?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(Failure::text(format!("cannot read {path}: {error}")));
            }
        }
    }
}

pub(super) fn ls(session: &Session, args: &Ls) -> Result<(), Failure> {
    let (path, rest) = within(session, &args.path)?;
    let depth = match (args.recursive, args.directory) {
        (true, _) => Depth::All,
        (false, true) => Depth::Itself,
        (false, false) => Depth::Entries,
    };
    let node = session.store.list(&path, &rest, depth)?;
    if args.json {
        return output::line(describe(&node, args.recursive).to_string());
    }
    let mut lines = Vec::new();
    match &node {
        Node::Directory {
            entries: Some(entries),
        } if !args.directory => {
            for (name, entry) in entries {
                line(entry, &[b"./", name.as_slice()].concat(), args, &mut lines);
            }
        }
        Node::Directory { .. } => line(&node, b".", args, &mut lines),
        _ => {
            let name = rest.file_name().unwrap_or_default();
            line(&node, name.as_encoded_bytes(), args, &mut lines);
        }
    }
    output::bytes(&lines)
}

/// Lines as `nix store ls` prints them.
fn line(node: &Node, name: &[u8], args: &Ls, lines: &mut Vec<u8>) {
    if args.long {
        let (kind, size) = match node {
            Node::Regular {
                size,
                executable: true,
            } => ("-r-xr-xr-x", *size),
            Node::Regular { size, .. } => ("-r--r--r--", *size),
            Node::Symlink { .. } => ("lrwxrwxrwx", 0),
            Node::Directory { .. } => ("dr-xr-xr-x", 0),
        };
        // Writing to memory does not fail.
        let _ = write!(lines, "{kind} {size:>20} ");
    }
    lines.extend_from_slice(name);
    if let (true, Node::Symlink { target }) = (args.long, node) {
        lines.extend_from_slice(b" -> ");
        lines.extend_from_slice(target.as_os_str().as_encoded_bytes());
    }
    lines.push(b'\n');
    if let (
        true,
        Node::Directory {
            entries: Some(entries),
        },
    ) = (args.recursive, node)
    {
        for (child, entry) in entries {
            line(entry, &[name, b"/", child.as_slice()].concat(), args, lines);
        }
    }
}

/// The form of `nix store ls --json`: without `recursive`, what is in a directory is named only.
fn describe(node: &Node, recursive: bool) -> Value {
    match node {
        Node::Regular {
            size,
            executable: true,
        } => json!({ "executable": true, "size": size, "type": "regular" }),
        Node::Regular { size, .. } => json!({ "size": size, "type": "regular" }),
        Node::Symlink { target } => {
            json!({ "target": target.to_string_lossy(), "type": "symlink" })
        }
        Node::Directory { entries } => {
            let mut described = Map::new();
            for (name, entry) in entries.iter().flatten() {
                let value = if recursive {
                    describe(entry, true)
                } else {
                    json!({})
                };
                described.insert(String::from_utf8_lossy(name).into_owned(), value);
            }
            json!({ "entries": described, "type": "directory" })
        }
    }
}
