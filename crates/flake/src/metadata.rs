//! `xbuild flake metadata`: what is known of a flake before anything of it is evaluated.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use xbuild_flake_ref::{Scheme, attrs_to_json, civil_date};
use xbuild_inputs::git_flags;
use xbuild_store_model::{Hash, HashAlgo};

use crate::lock::LockedFlake;
use crate::lock_file::{Edge, LockFile, NodeId, show_input_path};
use crate::place::tree_root;

/// As JSON, as stock Nix prints it.
#[must_use]
pub fn to_json(locked: &LockedFlake, fingerprint: Option<&str>) -> Value {
    let flake = &locked.flake;
    let mut json = BTreeMap::new();
    let mut set = |name: &str, value: Value| json.insert(name.to_owned(), value);
    if let Some(description) = &flake.description {
        set("description", Value::from(description.as_str()));
    }
    let input = &flake.locked.input;
    set("originalUrl", Value::from(flake.original.show()));
    set("original", attrs_to_json(&flake.original.to_attrs()));
    set("resolvedUrl", Value::from(flake.resolved.show()));
    set("resolved", attrs_to_json(&flake.resolved.to_attrs()));
    set("url", Value::from(flake.locked.show()));
    set("locked", attrs_to_json(&flake.locked.to_attrs()));
    if let Ok(Some(rev)) = input.rev() {
        set("revision", Value::from(rev));
    }
    if let Some(rev) = input.text("dirtyRev") {
        set("dirtyRevision", Value::from(rev));
    }
    for name in ["revCount", "lastModified"] {
        if let Some(number) = input.int(name) {
            set(name, Value::from(number));
        }
    }
    let path = tree_root(&flake.path);
    set("path", Value::from(path.display().to_string()));
    set("locks", locked.lock_file.to_json().0);
    if let Some(fingerprint) = fingerprint {
        set("fingerprint", Value::from(fingerprint));
    }
    Value::Object(json.into_iter().collect())
}

/// A hash of all that the outputs depend on; nothing if that is not fixed. `dirty` is the state of a work tree with changes.
#[must_use]
pub fn fingerprint(
    locked: &LockedFlake,
    dirty: Option<String>,
    hash_suffices: bool,
) -> Option<String> {
    if locked.lock_file.unlocked(hash_suffices).is_some() {
        return None;
    }
    let reference = &locked.flake.locked;
    let input = &reference.input;
    let rev = input.rev().ok().flatten();
    let nar_hash = input.nar_hash().ok().flatten().map(|hash| hash.to_sri());
    let source = match input.scheme()? {
        Scheme::Git => match rev {
            Some(rev) => rev + &git_flags(input),
            None => dirty?,
        },
        Scheme::Path => format!("path:{}", nar_hash?),
        Scheme::Tarball => nar_hash?,
        Scheme::Github | Scheme::Gitlab | Scheme::Sourcehut => rev?,
        Scheme::File | Scheme::Indirect | Scheme::Mercurial => return None,
    };
    let mut text = format!(
        "{source};{};{}",
        reference.subdir,
        locked.lock_file.to_text()
    );
    for name in ["revCount", "lastModified"] {
        if let Some(number) = input.int(name) {
            text += &format!(";{name}={number}");
        }
    }
    Some(Hash::of(HashAlgo::Sha256, text.as_bytes()).to_base16())
}

/// A time, UTC, as `YYYY-MM-DD hh:mm:ss`.
fn time(seconds: u64) -> String {
    let (year, month, day) = civil_date(seconds / 86_400);
    let rest = seconds % 86_400;
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

/// For people.
#[must_use]
pub fn to_text(locked: &LockedFlake, fingerprint: Option<&str>) -> String {
    let flake = &locked.flake;
    let input = &flake.locked.input;
    let mut lines = vec![format!("Resolved URL:  {}", flake.resolved.show())];
    if input.is_locked() {
        lines.push(format!("Locked URL:    {}", flake.locked.show()));
    }
    if let Some(description) = &flake.description {
        lines.push(format!("Description:   {description}"));
    }
    lines.push(format!(
        "Path:          {}",
        tree_root(&flake.path).display()
    ));
    if let Ok(Some(rev)) = input.rev() {
        lines.push(format!("Revision:      {rev}"));
    }
    if let Some(rev) = input.text("dirtyRev") {
        lines.push(format!("Revision:      {rev}"));
    }
    if let Some(count) = input.int("revCount") {
        lines.push(format!("Revisions:     {count}"));
    }
    if let Some(seconds) = input.int("lastModified") {
        lines.push(format!("Last modified: {}", time(seconds)));
    }
    if let Some(fingerprint) = fingerprint {
        lines.push(format!("Fingerprint:   {fingerprint}"));
    }
    let file = &locked.lock_file;
    if !file.inputs(LockFile::ROOT).is_empty() {
        lines.push("Inputs:".to_owned());
    }
    let mut seen = BTreeSet::from([LockFile::ROOT]);
    input_lines(file, LockFile::ROOT, "", &mut seen, &mut lines);
    lines.push(String::new());
    lines.join("\n")
}

fn input_lines(
    file: &LockFile,
    node: NodeId,
    prefix: &str,
    seen: &mut BTreeSet<NodeId>,
    lines: &mut Vec<String>,
) {
    let inputs = file.inputs(node);
    for (index, (name, edge)) in inputs.iter().enumerate() {
        let last = index + 1 == inputs.len();
        let branch = if last { "└───" } else { "├───" };
        match edge {
            Edge::Follows(path) => lines.push(format!(
                "{prefix}{branch}{name} follows input '{}'",
                show_input_path(path)
            )),
            Edge::Node(child) => {
                let Some(locked) = file.locked(*child) else {
                    continue;
                };
                let time = locked
                    .locked
                    .input
                    .int("lastModified")
                    .map_or_else(String::new, |seconds| format!(" ({})", time(seconds)));
                lines.push(format!(
                    "{prefix}{branch}{name}: {}{time}",
                    locked.locked.show()
                ));
                if seen.insert(*child) {
                    let more = if last { "    " } else { "│   " };
                    input_lines(file, *child, &format!("{prefix}{more}"), seen, lines);
                }
            }
        }
    }
}
