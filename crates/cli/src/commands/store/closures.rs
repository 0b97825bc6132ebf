//! `xbuild store du`, `diff-closures` and `why-depends`

use std::collections::BTreeSet;
use std::sync::Arc;

use xbuild_store::{Dependency, Occurrence, PackageChange};
use xbuild_store_model::StorePath;

use crate::args::{Du, WhyDepends};
use crate::failure::Failure;
use crate::installable;
use crate::output;
use crate::progress::size;
use crate::session::Session;

pub(super) fn du(session: &Arc<Session>, args: &Du) -> Result<(), Failure> {
    let paths: Vec<StorePath> = if args.paths.is_empty() {
        session.store.all_valid()?.into_iter().collect()
    } else {
        let named = installable::valid_paths(session, &args.paths)?;
        if args.no_recursive {
            let unique: BTreeSet<StorePath> = named.into_iter().collect();
            unique.into_iter().collect()
        } else {
            session.store.closure(&named)?
        }
    };
    let mut usages = session.store.usage(&paths)?;
    usages.sort_by(|a, b| (a.nar_size, &a.path).cmp(&(b.nar_size, &b.path)));
    let (contents, disk) = usages.iter().fold((0, 0), |(contents, disk), usage| {
        (contents + usage.nar_size, disk + usage.disk)
    });
    if args.json {
        let of_path = |usage: &xbuild_store::DiskUsage| {
            serde_json::json!({
                "path": usage.path.to_string(),
                "narSize": usage.nar_size,
                "closureSize": usage.closure_size,
                "diskSize": usage.disk,
            })
        };
        let paths: Vec<_> = if args.summarize {
            Vec::new()
        } else {
            usages.iter().map(of_path).collect()
        };
        let object = serde_json::json!({ "paths": paths, "narSize": contents, "diskSize": disk });
        return output::line(object.to_string());
    }
    let show = |bytes: u64| {
        if args.human_readable {
            size(bytes)
        } else {
            bytes.to_string()
        }
    };
    if !args.summarize {
        for usage in &usages {
            output::line(format!(
                "{:>11}\t{:>11}\t{}",
                show(usage.nar_size),
                show(usage.closure_size),
                usage.path
            ))?;
        }
    }
    output::line(format!(
        "{:>11}\t{:>11} on disk\t{}",
        show(contents),
        show(disk),
        output::count(usages.len(), "store path", "store paths")
    ))
}

pub(super) fn diff(
    session: &Arc<Session>,
    before: &str,
    after: &str,
    json: bool,
) -> Result<(), Failure> {
    let (before, after) = (one(session, before)?, one(session, after)?);
    let changes = session.store.diff_closures(&before, &after)?;
    if json {
        let mut object = serde_json::Map::new();
        for change in &changes {
            let value = serde_json::json!({
                "removed": change.removed,
                "added": change.added,
                "sizeDelta": change.size_delta,
            });
            object.insert(change.name.clone(), value);
        }
        return output::line(serde_json::Value::Object(object).to_string());
    }
    for change in &changes {
        output::line(describe(change))?;
    }
    Ok(())
}

/// The one store path that an argument means.
fn one(session: &Arc<Session>, name: &str) -> Result<StorePath, Failure> {
    let mut paths = installable::valid_paths(session, &[name.to_owned()])?;
    match paths.pop() {
        Some(path) if paths.is_empty() => Ok(path),
        _ => Err(Failure::text(format!(
            "`{name}` means several store paths; choose one output (`{name}^out`)"
        ))),
    }
}

/// A line as `nix store diff-closures` prints it.
fn describe(change: &PackageChange) -> String {
    let versions = |versions: &BTreeSet<String>| {
        if versions.is_empty() {
            return "∅".to_owned();
        }
        let shown: BTreeSet<&str> = versions
            .iter()
            .map(|version| if version.is_empty() { "ε" } else { version })
            .collect();
        shown.into_iter().collect::<Vec<_>>().join(", ")
    };
    let mut items = Vec::new();
    if !change.removed.is_empty() || !change.added.is_empty() {
        items.push(format!(
            "{} → {}",
            versions(&change.removed),
            versions(&change.added)
        ));
    }
    if change.is_size_notable() {
        items.push(signed_size(change.size_delta));
    }
    format!("{}: {}", change.name, items.join(", "))
}

/// A number of bytes as Nix prints it: at least in KiB, with one digit behind the point.
fn signed_size(bytes: i64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    #[expect(clippy::cast_precision_loss, reason = "a size for people")]
    let mut value = bytes as f64 / 1024.0;
    let mut whole = bytes.unsigned_abs() / 1024;
    let mut unit = 0;
    while whole > 1024 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        whole /= 1024;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

pub(super) fn why_depends(session: &Arc<Session>, args: &WhyDepends) -> Result<(), Failure> {
    let package = one(session, &args.package)?;
    let dependency = match installable::store_path(session, args.dependency.as_ref()) {
        // It need not be valid: then nothing depends on it.
        Some(path) => path,
        None => one(session, &args.dependency)?,
    };
    let Some(found) = session.store.why_depends(&package, &dependency)? else {
        if args.json {
            return output::line("{}");
        }
        output::note(format!(
            "'{}' does not depend on '{}'",
            args.package, args.dependency
        ));
        return Ok(());
    };
    if args.json {
        return output::line(as_json(&found, args.all).to_string());
    }
    let mut tree = Tree {
        session,
        found: &found,
        all: args.all,
        precise: args.precise,
        visited: BTreeSet::new(),
    };
    if !args.precise {
        output::line(found.package.to_string())?;
    }
    tree.node(&found.package, "", "").map(|_| ())
}

/// What each path on the way refers to on the way.
fn as_json(found: &Dependency, all: bool) -> serde_json::Value {
    let mut object = serde_json::Map::new();
    let mut todo = vec![&found.package];
    while let Some(path) = todo.pop() {
        if object.contains_key(&path.to_string())
            || (*path == found.dependency && path != &found.package)
        {
            continue;
        }
        let references = found.references.get(path).map_or(&[][..], Vec::as_slice);
        let shown = if all {
            references
        } else {
            &references[..references.len().min(1)]
        };
        let names: Vec<String> = shown.iter().map(ToString::to_string).collect();
        object.insert(path.to_string(), names.into());
        todo.extend(shown);
    }
    object.into()
}

/// The tree that `nix why-depends` prints.
struct Tree<'a> {
    session: &'a Session,
    found: &'a Dependency,
    all: bool,
    precise: bool,
    visited: BTreeSet<StorePath>,
}

const CONNECTED: &str = "├───";
const LAST: &str = "└───";
const LINE: &str = "│   ";
const NOTHING: &str = "    ";

impl Tree<'_> {
    /// Prints what `path` refers to on the way. True: one way was enough.
    fn node(&mut self, path: &StorePath, first: &str, rest: &str) -> Result<bool, Failure> {
        let found = self.found;
        if self.precise {
            let arrow = if first.is_empty() { "" } else { "→ " };
            output::line(format!("{first}{arrow}{path}"))?;
        }
        let is_itself = found.package == found.dependency;
        if *path == found.dependency && !self.all && !is_itself {
            return Ok(true);
        }
        if self.visited.contains(path) {
            return Ok(false);
        }
        if self.precise {
            self.visited.insert(path.clone());
        }
        let references = found.references.get(path).map_or(&[][..], Vec::as_slice);
        let occurrences = if self.precise {
            self.session.store.occurrences(path, references)?
        } else {
            std::collections::BTreeMap::new()
        };
        for (index, reference) in references.iter().enumerate() {
            let is_last = !self.all || index + 1 == references.len();
            let hits = occurrences.get(reference).map_or(&[][..], Vec::as_slice);
            let shown = if self.all {
                hits
            } else {
                &hits[..hits.len().min(1)]
            };
            for (number, hit) in shown.iter().enumerate() {
                let lead = match (number == 0, is_last) {
                    (true, true) => LAST,
                    (true, false) => CONNECTED,
                    (false, true) => NOTHING,
                    (false, false) => LINE,
                };
                output::line([rest.as_bytes(), lead.as_bytes(), &show(hit)].concat())?;
            }
            if !self.precise {
                let lead = if is_last { LAST } else { CONNECTED };
                output::line(format!("{first}{lead}{reference}"))?;
                self.visited.insert(path.clone());
            }
            let pad = format!("{rest}{}", if is_last { NOTHING } else { LINE });
            if self.node(reference, &pad, &pad)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn show(occurrence: &Occurrence) -> Vec<u8> {
    match occurrence {
        Occurrence::File { file, context } => {
            let mut text = file.as_os_str().as_encoded_bytes().to_vec();
            if text.is_empty() {
                text.push(b'/');
            }
            text.extend_from_slice(": …".as_bytes());
            let printable = |byte: &u8| {
                if (b' '..=b'~').contains(byte) {
                    *byte
                } else {
                    b'.'
                }
            };
            text.extend(context.iter().map(printable));
            text.extend_from_slice("…".as_bytes());
            text
        }
        Occurrence::Symlink { file, target } => {
            let mut text = file.as_os_str().as_encoded_bytes().to_vec();
            if text.is_empty() {
                text.push(b'/');
            }
            text.extend_from_slice(b" -> ");
            text.extend_from_slice(target);
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_nix_prints_them() {
        for (bytes, expected) in [
            (0, "0.0 KiB"),
            (100, "0.1 KiB"),
            (-9000, "-8.8 KiB"),
            (1 << 20, "1024.0 KiB"),
            ((1 << 20) + 1024, "1.0 MiB"),
            (3 << 40, "3.0 TiB"),
        ] {
            assert_eq!(signed_size(bytes), expected);
        }
    }
}
