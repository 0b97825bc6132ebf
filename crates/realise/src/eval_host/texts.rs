//! Texts that are derivations: `builtins.toFile "x.drv"`. One whose output paths are not those that follow from it must not get
//! into the store: what builds it would take it for something else.

use std::collections::BTreeMap;

use xbuild_derivation::{Derivation, DrvHash, Output, fill_outputs, hash_modulo};
use xbuild_eval::host::{HostError, HostResult};
use xbuild_store_model::StorePath;

use super::StoreHost;
use crate::plan::read_derivation;

impl StoreHost {
    /// Checks the text of a file `name` that is to be added. That it is no derivation at all is told by the store.
    pub(super) fn check_derivation_text(&self, name: &str, contents: &[u8]) -> HostResult<()> {
        let Some(name) = name.strip_suffix(".drv") else {
            return Ok(());
        };
        let Ok(stated) = Derivation::parse(name, contents) else {
            return Ok(());
        };
        let mut right = stated.clone();
        for output in right.outputs.values_mut() {
            if matches!(output, Output::InputAddressed(_)) {
                *output = Output::Deferred;
            }
        }
        let mut known = BTreeMap::new();
        fill_outputs(&mut right, &mut |path| self.drv_hash(path, &mut known))?;
        for (output, expected) in right.output_paths() {
            let Some(expected) = expected.map(ToString::to_string) else {
                continue;
            };
            let wrong = |what: &str, tail: &str| {
                HostError::new(format!(
                    "derivation has {what}, should be '{expected}'{tail}"
                ))
            };
            let found = stated.outputs.get(output).and_then(Output::path);
            if let Some(found) = found.map(ToString::to_string)
                && found != expected
            {
                return Err(wrong(&format!("incorrect output '{found}'"), ""));
            }
            let variable = format!("environment variable '{output}'");
            match stated.env.get(output.as_bytes()) {
                None => {
                    return Err(wrong(&format!("missing {variable}"), " but is not present"));
                }
                Some(found) if *found != expected.as_bytes() => {
                    let found = String::from_utf8_lossy(found);
                    return Err(wrong(
                        &format!("incorrect {variable}"),
                        &format!(" but is actually '{found}'"),
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// The hash modulo of a derivation in the store.
    fn drv_hash(
        &self,
        path: &StorePath,
        known: &mut BTreeMap<StorePath, DrvHash>,
    ) -> HostResult<DrvHash> {
        if let Some(hash) = known.get(path) {
            return Ok(hash.clone());
        }
        let derivation = read_derivation(&self.store, path)?;
        let hash = hash_modulo(&derivation, &mut |path| self.drv_hash(path, known))?;
        known.insert(path.clone(), hash.clone());
        Ok(hash)
    }
}
