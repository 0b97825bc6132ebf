//! What two closures differ in, by the names and versions of their packages.

use std::collections::{BTreeMap, BTreeSet};

use xbuild_store_model::store_path::StorePath;

use crate::error::Result;
use crate::store::Store;

/// How a package changed from one closure to the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageChange {
    /// The package: its name without version.
    pub name: String,
    /// Versions that only the first closure has. A package may have an empty one.
    pub removed: BTreeSet<String>,
    /// Versions that only the second closure has.
    pub added: BTreeSet<String>,
    /// By how many bytes of NAR its paths grew.
    pub size_delta: i64,
}

/// Changes of size below this, in bytes, are none.
const NOTABLE: u64 = 8 << 10;

impl Store {
    /// The packages whose versions or sizes differ in two closures, as `nix store diff-closures` sees them.
    pub fn diff_closures(
        &self,
        before: &StorePath,
        after: &StorePath,
    ) -> Result<Vec<PackageChange>> {
        let before = self.packages(before)?;
        let after = self.packages(after)?;
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let nothing = BTreeMap::new();
        let mut changes = Vec::new();
        for name in names {
            let before = before.get(name).unwrap_or(&nothing);
            let after = after.get(name).unwrap_or(&nothing);
            let only = |these: &BTreeMap<String, u64>, others: &BTreeMap<String, u64>| {
                these
                    .keys()
                    .filter(|&version| !others.contains_key(version))
                    .cloned()
                    .collect::<BTreeSet<String>>()
            };
            let size = |versions: &BTreeMap<String, u64>| {
                i64::try_from(versions.values().sum::<u64>()).unwrap_or(i64::MAX)
            };
            let change = PackageChange {
                name: name.clone(),
                removed: only(before, after),
                added: only(after, before),
                size_delta: size(after) - size(before),
            };
            if change.is_size_notable() || !change.removed.is_empty() || !change.added.is_empty() {
                changes.push(change);
            }
        }
        Ok(changes)
    }

    /// The packages of a closure: name → version → bytes of NAR.
    fn packages(&self, top: &StorePath) -> Result<BTreeMap<String, BTreeMap<String, u64>>> {
        let mut packages: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for path in self.closure(std::slice::from_ref(top))? {
            let size = self.query_path_info(&path)?.map_or(0, |info| info.nar_size);
            let (name, version) = name_and_version(without_output(path.name()));
            *packages
                .entry(name.to_owned())
                .or_default()
                .entry(version.to_owned())
                .or_default() += size;
        }
        Ok(packages)
    }
}

impl PackageChange {
    /// Whether the change of size is worth telling.
    pub fn is_size_notable(&self) -> bool {
        self.size_delta.unsigned_abs() >= NOTABLE
    }
}

/// A name without what looks like the name of an output behind its last dash.
fn without_output(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((rest, output))
            if matches!(output, "lib32" | "lib64")
                || (!output.is_empty() && output.bytes().all(|byte| byte.is_ascii_lowercase())) =>
        {
            rest
        }
        _ => name,
    }
}

/// Name and version of a package: the version begins behind the first dash that no letter follows (Nix manual, `nix-env`).
fn name_and_version(name: &str) -> (&str, &str) {
    let bytes = name.as_bytes();
    let dash = (0..bytes.len().saturating_sub(1))
        .find(|&at| bytes[at] == b'-' && !bytes[at + 1].is_ascii_alphabetic());
    match dash {
        Some(at) => (&name[..at], &name[at + 1..]),
        None => (name, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_versions_and_outputs() {
        for (name, expected) in [
            ("hello-2.10", ("hello", "2.10")),
            ("apache-httpd-2.0.48-dev", ("apache-httpd", "2.0.48")),
            ("glibc-2.36-lib64", ("glibc", "2.36")),
            ("source", ("source", "")),
            ("a-", ("a-", "")),
            ("libfoo-dev", ("libfoo", "")),
            ("x-1-Y", ("x", "1-Y")),
        ] {
            assert_eq!(name_and_version(without_output(name)), expected, "{name}");
        }
    }
}
