//! `xbuild flake archive` and `xbuild flake prefetch`: trees brought into the store.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use xbuild_eval::host::Registries;
use xbuild_eval::{Evaluator, Result};
use xbuild_flake_ref::{FINAL, FlakeRef, Scheme, attrs_to_json};
use xbuild_store_model::store_path::make_fixed_output_path;
use xbuild_store_model::{FileIngestionMethod, StorePath};

use crate::flake_nix::error;
use crate::flakes::Flakes;
use crate::lock::LockedFlake;
use crate::lock_file::{Edge, LockFile, NodeId};
use crate::place::tree_root;

fn object(fields: BTreeMap<String, Json>) -> Json {
    Json::Object(fields.into_iter().collect())
}

/// A tree that was fetched.
#[derive(Debug, Clone)]
pub struct Prefetched {
    /// What was asked for.
    pub original: FlakeRef,
    /// What that is now.
    pub locked: FlakeRef,
    /// Its NAR hash, in SRI form.
    pub hash: String,
    /// Where it is.
    pub path: StorePath,
}

impl Prefetched {
    /// As stock Nix prints it.
    #[must_use]
    pub fn to_json(&self) -> Json {
        object(BTreeMap::from([
            ("hash".to_owned(), Json::from(self.hash.as_str())),
            ("locked".to_owned(), attrs_to_json(&self.locked.to_attrs())),
            (
                "original".to_owned(),
                attrs_to_json(&self.original.to_attrs()),
            ),
            ("storePath".to_owned(), Json::from(self.path.to_string())),
        ]))
    }
}

impl Flakes {
    /// Fetches the tree of a reference, which need not be a flake.
    ///
    /// # Errors
    /// If it cannot be fetched.
    pub fn prefetch(&self, ev: &mut Evaluator, original: &FlakeRef) -> Result<Prefetched> {
        let (resolved, fetched) = self.fetch_resolved(ev, original, Registries::All)?;
        let mut locked = FlakeRef {
            input: fetched.input,
            ..resolved.clone()
        };
        let hash = locked.input.text("narHash").unwrap_or_default().to_owned();
        locked.input.attrs.remove(FINAL);
        // Of what has a hash of its own, that is part of the lock.
        let hashed = matches!(locked.input.scheme(), Some(Scheme::Tarball | Scheme::File));
        if !hashed && resolved.input.text("narHash").is_none() {
            locked.input.attrs.remove("narHash");
        }
        Ok(Prefetched {
            original: original.clone(),
            locked,
            hash,
            path: fetched.path,
        })
    }

    /// Brings all inputs of a flake into the store, and says where they are, as stock Nix does. With `dry_run`, they are only named.
    ///
    /// # Errors
    /// If one cannot be fetched.
    pub fn archive(&self, ev: &mut Evaluator, locked: &LockedFlake, dry_run: bool) -> Result<Json> {
        let mut visit = Visit {
            flakes: self,
            ev,
            file: &locked.lock_file,
            dry_run,
            done: BTreeMap::new(),
        };
        let inputs = visit.inputs(LockFile::ROOT, &mut BTreeSet::new())?;
        let root = tree_root(&locked.flake.path).display().to_string();
        Ok(object(BTreeMap::from([
            ("inputs".to_owned(), inputs),
            ("path".to_owned(), Json::from(root)),
        ])))
    }
}

struct Visit<'a> {
    flakes: &'a Flakes,
    ev: &'a mut Evaluator,
    file: &'a LockFile,
    dry_run: bool,
    /// The paths that are known.
    done: BTreeMap<NodeId, Option<String>>,
}

impl Visit<'_> {
    /// The inputs of a node, but for those that follow others. `above` are the nodes that lead to it.
    fn inputs(&mut self, node: NodeId, above: &mut BTreeSet<NodeId>) -> Result<Json> {
        let mut inputs = BTreeMap::new();
        for (name, edge) in self.file.inputs(node).clone() {
            let Edge::Node(child) = edge else { continue };
            if !above.insert(child) {
                return Err(error(format!("the input '{name}' is an input of itself")));
            }
            let mut fields = BTreeMap::new();
            if let Some(path) = self.path(child)? {
                fields.insert("path".to_owned(), Json::from(path));
            }
            fields.insert("inputs".to_owned(), self.inputs(child, above)?);
            above.remove(&child);
            inputs.insert(name, object(fields));
        }
        Ok(object(inputs))
    }

    /// Where the tree of a node is; one that is part of another tree has no path of its own.
    fn path(&mut self, node: NodeId) -> Result<Option<String>> {
        if let Some(known) = self.done.get(&node) {
            return Ok(known.clone());
        }
        let path = match self.file.locked(node) {
            Some(locked) if locked.locked.input.relative_path().is_none() => {
                let input = &locked.locked.input;
                let hash = input.nar_hash().ok().flatten().filter(|_| self.dry_run);
                Some(match hash {
                    Some(hash) => make_fixed_output_path(
                        FileIngestionMethod::NixArchive,
                        &hash,
                        input.name(),
                        &BTreeSet::new(),
                        false,
                    )
                    .map_err(|failed| error(failed.to_string()))?,
                    None => self.flakes.fetch(self.ev, input)?.path,
                })
            }
            _ => None,
        };
        let path = path.map(|path| path.to_string());
        self.done.insert(node, path.clone());
        Ok(path)
    }
}
