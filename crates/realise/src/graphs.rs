//! `exportReferencesGraph`: the closures that a builder is told about.

use std::collections::BTreeSet;

use xbuild_store::Store;
use xbuild_store_model::StorePath;

use crate::environment::{GraphPath, Graphs};
use crate::error::{Error, FailureReason};
use crate::options::Options;
use crate::plan::read_derivation;

/// Looks up the graphs that `options` ask for. `inputs` is the closure of the derivation's inputs, which must hold every path that
/// is asked about: else the build would depend on what happens to be in the store.
pub(crate) fn graphs(
    store: &Store,
    options: &Options,
    inputs: &BTreeSet<StorePath>,
) -> Result<Graphs, FailureReason> {
    let mut graphs = Graphs::new();
    for (name, words) in &options.graphs {
        let mut closure = BTreeSet::new();
        for word in words {
            let wrong = |why: &str| {
                FailureReason::Unsupported(format!("`exportReferencesGraph` names `{word}`, {why}"))
            };
            let (path, _) = StorePath::parse_prefix(word)
                .map_err(|error| wrong(&format!("which is no store path: {error}")))?;
            if !inputs.contains(&path) {
                return Err(wrong(
                    "which is not in the closure of the derivation's inputs",
                ));
            }
            closure.extend(store.closure(&[path]).map_err(Error::from)?);
        }
        // The outputs of derivations in the graph belong to it: so one gets all that is needed to build something.
        let mut outputs = Vec::new();
        for drv_path in closure.iter().filter(|path| path.is_derivation()) {
            let drv = read_derivation(store, drv_path)?;
            for (name, path) in drv.output_paths() {
                // As in Nix: what such a graph holds would depend on what happens to be built.
                outputs.push(path.cloned().ok_or_else(|| {
                    FailureReason::Unsupported(format!(
                        "`exportReferencesGraph` reaches {drv_path}, the path of whose output `{name}` is only known after its build"
                    ))
                })?);
            }
        }
        closure.extend(store.closure(&outputs).map_err(Error::from)?);
        let mut graph = Vec::with_capacity(closure.len());
        for path in closure {
            let Some(info) = store.query_path_info(&path).map_err(Error::from)? else {
                return Err(Error::Missing {
                    path,
                    by: " by exportReferencesGraph".to_owned(),
                }
                .into());
            };
            let mut closure_size = 0;
            // Only the JSON tells it, and to find it out is work.
            if options.structured.is_some() {
                for path in store
                    .closure(std::slice::from_ref(&info.path))
                    .map_err(Error::from)?
                {
                    closure_size += store
                        .query_path_info(&path)
                        .map_err(Error::from)?
                        .map_or(0, |info| info.nar_size);
                }
            }
            graph.push(GraphPath { info, closure_size });
        }
        graphs.insert(name.clone(), graph);
    }
    Ok(graphs)
}
