//! Resolving a derivation: its input derivations replaced by the store paths that they made.
//!
//! Format: Nix manual, "Derivation resolution". Two derivations whose inputs turned out to be the same paths resolve to
//! the same derivation, so what one has built is not built for the other.

use std::collections::BTreeMap;

use xbuild_store_model::StorePath;
use xbuild_store_model::store_path::downstream_placeholder;

use crate::error::{Error, Result};
use crate::{BStr, Derivation, DrvHash, Output, fill_outputs};

impl Derivation {
    /// Whether this is built as the derivation that it resolves to: if it has input derivations, and it or an input has
    /// outputs whose paths are not known before the build. Stock Nix resolves fixed-output derivations in any case (as
    /// long as `ca-derivations` is on).
    #[must_use]
    pub fn should_resolve(&self) -> bool {
        !self.input_drvs.is_empty()
            && !self
                .outputs
                .values()
                .any(|output| matches!(output, Output::InputAddressed(_)))
    }

    /// The derivation that this resolves to: it has no input derivations, the paths of its inputs stand where their
    /// placeholders stood, and deferred outputs have their paths. `path_of` gives the path of an input's output.
    ///
    /// # Errors
    /// Those of `path_of`; and as [`fill_outputs`].
    pub fn resolve<E: From<Error>>(
        &self,
        path_of: &mut dyn FnMut(&StorePath, &str) -> Result<StorePath, E>,
    ) -> Result<Derivation, E> {
        let mut resolved = Derivation {
            input_drvs: BTreeMap::new(),
            ..self.clone()
        };
        let mut rewrites = Vec::new();
        for (drv, outputs) in &self.input_drvs {
            for output in outputs {
                let path = path_of(drv, output)?;
                rewrites.push((downstream_placeholder(drv, output), path.to_string()));
                resolved.input_srcs.insert(path);
            }
        }
        resolved.rewrite(&rewrites);
        if resolved
            .outputs
            .values()
            .any(|output| matches!(output, Output::Deferred))
        {
            // There is no input derivation left whose hash could be asked for.
            let mut no_inputs = |_: &StorePath| -> Result<DrvHash> {
                unreachable!("a resolved derivation has no input derivations")
            };
            fill_outputs(&mut resolved, &mut no_inputs)?;
        }
        Ok(resolved)
    }

    /// Replaces texts wherever a builder could see them.
    fn rewrite(&mut self, rewrites: &[(String, String)]) {
        let apply = |text: &BStr| replace_all(text, rewrites);
        self.builder = apply(&self.builder);
        self.args = self.args.iter().map(apply).collect();
        self.env = self
            .env
            .iter()
            .map(|(name, value)| (apply(name), apply(value)))
            .collect();
    }
}

/// `text` with each first text of `rewrites` replaced by its second.
#[must_use]
pub fn replace_all(text: &[u8], rewrites: &[(String, String)]) -> Vec<u8> {
    let mut text = text.to_vec();
    for (from, to) in rewrites {
        let mut at = 0;
        let finder = memchr::memmem::Finder::new(from.as_bytes());
        while let Some(found) = finder.find(&text[at..]) {
            let start = at + found;
            text.splice(start..start + from.len(), to.bytes());
            at = start + to.len();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use xbuild_store_model::ContentAddressMethod;
    use xbuild_store_model::HashAlgo;

    use super::*;

    fn path(name: &str) -> StorePath {
        StorePath::from_base_name(&format!("{}-{name}", "0".repeat(32))).expect("a valid name")
    }

    /// One that uses the `dev` output of `dep.drv`.
    fn user(output: Output) -> Derivation {
        let used = downstream_placeholder(&path("dep.drv"), "dev");
        Derivation {
            name: "user".to_owned(),
            outputs: [("out".to_owned(), output)].into(),
            input_drvs: [(path("dep.drv"), BTreeSet::from(["dev".to_owned()]))].into(),
            input_srcs: BTreeSet::from([path("source")]),
            system: b"x86_64-linux".to_vec(),
            builder: format!("{used}/bin/sh").into_bytes(),
            args: vec![format!("{used}{used}").into_bytes()],
            env: [
                (b"out".to_vec(), Vec::new()),
                (format!("{used}x").into_bytes(), used.into_bytes()),
            ]
            .into(),
        }
    }

    fn resolve(drv: &Derivation) -> Derivation {
        drv.resolve(&mut |drv, output| -> Result<StorePath> {
            assert_eq!((drv, output), (&path("dep.drv"), "dev"));
            Ok(path("found"))
        })
        .expect("it resolves")
    }

    #[test]
    fn paths_stand_where_placeholders_stood() {
        let floating = Output::Floating {
            method: ContentAddressMethod::NIX_ARCHIVE,
            algo: HashAlgo::Sha256,
        };
        let resolved = resolve(&user(floating.clone()));
        let found = path("found").to_string();
        assert!(resolved.input_drvs.is_empty());
        assert_eq!(
            resolved.input_srcs,
            BTreeSet::from([path("found"), path("source")])
        );
        assert_eq!(resolved.builder, format!("{found}/bin/sh").into_bytes());
        assert_eq!(resolved.args, [format!("{found}{found}").into_bytes()]);
        assert_eq!(
            resolved.env[format!("{found}x").as_bytes()],
            found.into_bytes()
        );
        assert_eq!(resolved.outputs["out"], floating);
        assert!(!resolved.should_resolve(), "it is resolved");
    }

    #[test]
    fn deferred_outputs_get_their_paths() {
        let resolved = resolve(&user(Output::Deferred));
        let out = resolved.outputs["out"].path().expect("a path").to_string();
        assert_eq!(resolved.env[b"out".as_slice()], out.into_bytes());
    }
}
