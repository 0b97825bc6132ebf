//! Deleting chosen store paths.

use std::collections::BTreeSet;

use xbuild_store_model::store_path::StorePath;

use crate::error::{Error, Result};
use crate::gc::{GcOptions, GcReport, foreign_owner, referrers_first};
use crate::leftovers::Leftover;
use crate::store::Store;

impl Store {
    /// Deletes exactly these paths. Refuses if a root reaches one of them, or a path that is not to be deleted refers to one.
    pub fn delete(&self, paths: &[StorePath]) -> Result<GcReport> {
        self.delete_chosen(paths, false)
    }

    /// The same, but only what running processes have asked for counts as a root.
    pub fn delete_ignoring_liveness(&self, paths: &[StorePath]) -> Result<GcReport> {
        self.delete_chosen(paths, true)
    }

    fn delete_chosen(&self, paths: &[StorePath], ignore_liveness: bool) -> Result<GcReport> {
        self.check_writable("delete paths")?;
        let options = GcOptions {
            keep_derivations: false,
            keep_outputs: false,
            ignore_liveness,
            ..GcOptions::default()
        };
        let mut report = GcReport::default();
        self.with_collector(|collector| {
            let (graph, mut alive) = collector.mark(&options)?;
            let wanted: BTreeSet<&StorePath> = paths.iter().collect();
            let mut nodes = vec![false; graph.paths.len()];
            for &path in &wanted {
                if let Some(owner) = foreign_owner(&self.physical(path))? {
                    return Err(Error::OwnedByOther {
                        path: path.clone(),
                        owner,
                    });
                }
                if collector.shared.is_needed(path.hash_part()) {
                    let root = alive.roots.iter().find(|(root, _)| root == path);
                    let root = root.map_or_else(|| "{temp}".to_owned(), |(_, root)| root.clone());
                    return Err(Error::Alive {
                        path: path.clone(),
                        root,
                        target: path.clone(),
                    });
                }
                match graph.index.get(path) {
                    Some(&node) => nodes[node as usize] = true,
                    // Something left there without being valid.
                    None if self.physical(path).symlink_metadata().is_ok() => {}
                    None => return Err(Error::NotValid(path.clone())),
                }
            }
            for (referrer, references) in graph.references.iter().enumerate() {
                let Some(&node) = references.iter().find(|&&node| nodes[node as usize]) else {
                    continue;
                };
                if !nodes[referrer] && alive.reached_by[referrer].is_none() {
                    let path = graph.paths[node as usize].clone();
                    return Err(Error::Referenced {
                        path,
                        referrer: graph.paths[referrer].clone(),
                    });
                }
            }
            for (node, _) in nodes.iter().enumerate().filter(|&(_, &wanted)| wanted) {
                if let Some(root) = alive.reached_by[node] {
                    let (target, root) = alive.roots[root as usize].clone();
                    return Err(Error::Alive {
                        path: graph.paths[node].clone(),
                        root,
                        target,
                    });
                }
            }
            let order = referrers_first(&graph, |node| nodes[node as usize]);
            collector.delete_paths(&graph, &mut alive, &options, &order, &mut report)?;
            for path in wanted
                .into_iter()
                .filter(|path| !graph.index.contains_key(path))
            {
                collector.delete_leftover(
                    &Leftover {
                        path: self.physical(path),
                        is_scratch: false,
                    },
                    &mut report,
                )?;
            }
            collector.delete_links(&mut report)
        })?;
        Ok(report)
    }
}
