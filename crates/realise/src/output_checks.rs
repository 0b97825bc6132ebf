//! What a derivation demands of the references and sizes of its outputs (manual, "Advanced attributes": `allowedReferences`,
//! `allowedRequisites`, their opposites, `outputChecks`).

use std::collections::{BTreeMap, BTreeSet};

use xbuild_store::NewPath;
use xbuild_store_model::StorePath;

use crate::error::FailureReason;
use crate::options::{Checks, OutputChecks};

/// What is asked of the store about paths that are valid.
pub(crate) trait Registered {
    /// The paths and everything they refer to.
    fn closure(&self, paths: &[StorePath]) -> Result<Vec<StorePath>, FailureReason>;
    /// The NAR bytes of a path.
    fn nar_size(&self, path: &StorePath) -> Result<u64, FailureReason>;
}

/// Checks `new`, the outputs (with their names) that are about to be registered. `outputs` are all outputs of the derivation.
pub(crate) fn check(
    checks: &Checks,
    outputs: &BTreeMap<String, StorePath>,
    new: &[(&str, &NewPath)],
    registered: &dyn Registered,
) -> Result<(), FailureReason> {
    for (name, output) in new {
        if let Some(checks) = checks.of(name) {
            check_sizes(checks, output, new, registered)?;
            check_references(checks, outputs, output, new, registered)?;
        }
    }
    Ok(())
}

fn check_sizes(
    checks: &OutputChecks,
    output: &NewPath,
    new: &[(&str, &NewPath)],
    registered: &dyn Registered,
) -> Result<(), FailureReason> {
    let too_large = |what, size, limit| FailureReason::TooLarge {
        path: output.path.clone(),
        what,
        size,
        limit,
    };
    if let Some(limit) = checks.max_size
        && output.nar_size > limit
    {
        return Err(too_large("output", output.nar_size, limit));
    }
    if let Some(limit) = checks.max_closure_size {
        let mut size = output.nar_size;
        for path in requisites(output, new, registered)?
            .into_iter()
            .filter(|path| *path != output.path)
        {
            size += match new.iter().find(|(_, other)| other.path == path) {
                Some((_, sibling)) => sibling.nar_size,
                None => registered.nar_size(&path)?,
            };
        }
        if size > limit {
            return Err(too_large("closure", size, limit));
        }
    }
    Ok(())
}

fn check_references(
    checks: &OutputChecks,
    outputs: &BTreeMap<String, StorePath>,
    output: &NewPath,
    new: &[(&str, &NewPath)],
    registered: &dyn Registered,
) -> Result<(), FailureReason> {
    for (rule, list, allow, closure) in [
        ("allowedReferences", &checks.allowed_references, true, false),
        ("allowedRequisites", &checks.allowed_requisites, true, true),
        (
            "disallowedReferences",
            &checks.disallowed_references,
            false,
            false,
        ),
        (
            "disallowedRequisites",
            &checks.disallowed_requisites,
            false,
            true,
        ),
    ] {
        let Some(list) = list else { continue };
        let named = named(rule, list, outputs)?;
        let mut reached = output.references.clone();
        if closure {
            reached = requisites(output, new, registered)?;
            // An output is in its own closure, whether it refers to itself or not.
            if checks.ignore_self {
                reached.remove(&output.path);
            } else {
                reached.insert(output.path.clone());
            }
        }
        reached.retain(|path| named.contains(path) != allow);
        if !reached.is_empty() {
            let references = reached.into_iter().collect();
            return Err(FailureReason::References {
                path: output.path.clone(),
                references,
                rule,
            });
        }
    }
    Ok(())
}

/// The store paths that a list means.
fn named(
    rule: &str,
    list: &[String],
    outputs: &BTreeMap<String, StorePath>,
) -> Result<BTreeSet<StorePath>, FailureReason> {
    let path = |word: &String| {
        if let Ok(path) = StorePath::parse(word) {
            return Ok(path);
        }
        outputs.get(word).cloned().ok_or_else(|| {
            let known = outputs.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            FailureReason::Unsupported(format!(
                "`{rule}` names `{}`, which is neither a store path nor an output; the outputs are {known}",
                word.escape_debug()
            ))
        })
    };
    list.iter().map(path).collect()
}

/// The closure of an output that is not registered yet; without the output itself, unless something in it refers to it.
pub(crate) fn requisites(
    output: &NewPath,
    new: &[(&str, &NewPath)],
    registered: &dyn Registered,
) -> Result<BTreeSet<StorePath>, FailureReason> {
    let mut reached: BTreeSet<StorePath> = BTreeSet::new();
    let mut waiting = vec![output];
    let mut valid = BTreeSet::new();
    while let Some(output) = waiting.pop() {
        for reference in &output.references {
            match new.iter().find(|(_, other)| other.path == *reference) {
                Some((_, sibling)) => {
                    if reached.insert(reference.clone()) {
                        waiting.push(sibling);
                    }
                }
                None => {
                    valid.insert(reference.clone());
                }
            }
        }
    }
    let valid: Vec<StorePath> = valid.into_iter().collect();
    reached.extend(registered.closure(&valid)?);
    Ok(reached)
}

#[cfg(test)]
mod tests {
    use xbuild_store_model::{Hash, HashAlgo};

    use super::*;
    use crate::environment::tests::path;

    /// `a` refers to `b`; every path has 10 bytes.
    struct Store;

    impl Registered for Store {
        fn closure(&self, paths: &[StorePath]) -> Result<Vec<StorePath>, FailureReason> {
            let mut closure = paths.to_vec();
            if paths.contains(&path("a")) {
                closure.push(path("b"));
            }
            Ok(closure)
        }

        fn nar_size(&self, _: &StorePath) -> Result<u64, FailureReason> {
            Ok(10)
        }
    }

    fn new(name: &str, references: &[&str]) -> NewPath {
        NewPath {
            path: path(name),
            physical: "/".into(),
            nar_hash: Hash::of(HashAlgo::Sha256, b""),
            nar_size: 100,
            references: references.iter().map(|name| path(name)).collect(),
            deriver: None,
            ca: None,
            ultimate: true,
            sigs: Vec::new(),
        }
    }

    /// The outputs are `out`, which refers to itself, `dev` and `a`; and `dev`, which refers to nothing. `old` was built before.
    fn outcome(checks: OutputChecks) -> String {
        let (out, dev) = (new("out", &["out", "dev", "a"]), new("dev", &[]));
        let outputs = ["out", "dev", "old"]
            .map(|name| (name.to_owned(), path(name)))
            .into();
        let checks = Checks::Each(BTreeMap::from([("out".to_owned(), checks)]));
        match check(&checks, &outputs, &[("out", &out), ("dev", &dev)], &Store) {
            Ok(()) => "fine".to_owned(),
            Err(error) => error
                .to_string()
                .replace(&format!("/nix/store/{}-", "0".repeat(32)), "@"),
        }
    }

    fn words(words: &str) -> Option<Vec<String>> {
        Some(
            words
                .split_whitespace()
                .map(|w| w.replace('@', &format!("/nix/store/{}-", "0".repeat(32))))
                .collect(),
        )
    }

    #[test]
    fn direct_references() {
        let allowed = |list| {
            outcome(OutputChecks {
                allowed_references: words(list),
                ..Default::default()
            })
        };
        assert_eq!(allowed("out dev @a"), "fine");
        assert_eq!(
            allowed("dev @a"),
            "output @out refers to @out, which `allowedReferences` does not allow"
        );
        assert_eq!(
            allowed(""),
            "output @out refers to @a, @dev, @out, which `allowedReferences` does not allow"
        );
        assert_eq!(
            allowed("lib"),
            "`allowedReferences` names `lib`, which is neither a store path nor an output; the outputs are dev, old, out"
        );
        let disallowed = |list| {
            outcome(OutputChecks {
                disallowed_references: words(list),
                ..Default::default()
            })
        };
        assert_eq!(disallowed("old @b"), "fine");
        assert_eq!(
            disallowed("out"),
            "output @out refers to @out, which `disallowedReferences` does not allow"
        );
    }

    #[test]
    fn whole_closures() {
        let allowed = |list, ignore_self| {
            outcome(OutputChecks {
                allowed_requisites: words(list),
                ignore_self,
                ..Default::default()
            })
        };
        assert_eq!(allowed("dev @a @b", true), "fine");
        assert_eq!(
            allowed("dev @a @b", false),
            "output @out refers to @out, which `allowedRequisites` does not allow"
        );
        assert_eq!(
            allowed("dev @a", true),
            "output @out refers to @b, which `allowedRequisites` does not allow"
        );
        let disallowed = |list, ignore_self| {
            outcome(OutputChecks {
                disallowed_requisites: words(list),
                ignore_self,
                ..Default::default()
            })
        };
        assert_eq!(disallowed("out", true), "fine");
        assert_eq!(
            disallowed("@b", true),
            "output @out refers to @b, which `disallowedRequisites` does not allow"
        );
    }

    #[test]
    fn sizes() {
        let sizes = |max_size, max_closure_size| {
            outcome(OutputChecks {
                max_size,
                max_closure_size,
                ..Default::default()
            })
        };
        assert_eq!(sizes(Some(100), Some(220)), "fine");
        assert_eq!(
            sizes(Some(99), None),
            "the output @out is too large: 100 bytes, of which 99 are allowed"
        );
        assert_eq!(
            sizes(None, Some(219)),
            "the closure of @out is too large: 220 bytes, of which 219 are allowed"
        );
    }
}
