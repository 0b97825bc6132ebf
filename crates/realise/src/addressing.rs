//! The path of an output that is named by its contents: the hash of these, without the places where they hold the path itself
//! (Nix manual, "Content-addressing store objects").

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use xbuild_store::{NewPath, Rewrites, Rewritten, Scanned, Store, remove_tree};
use xbuild_store_model::content_address::{
    ContentAddress, ContentAddressMethod, FileIngestionMethod,
};
use xbuild_store_model::store_path::{make_content_addressed_path, output_path_name};
use xbuild_store_model::{HashAlgo, StorePath};

use crate::error::{Error, FailureReason};

/// An output that lies in a scratch directory.
pub(crate) struct Made {
    pub(crate) name: String,
    /// Where the builder found it: its path, if that was known.
    pub(crate) path: StorePath,
    pub(crate) physical: PathBuf,
}

/// What addressing an output needs to know of the others.
pub(crate) struct Addressing<'a> {
    pub(crate) store: &'a Store,
    /// The name of the derivation.
    pub(crate) drv_name: &'a str,
    /// Where the builder found all outputs.
    pub(crate) places: &'a BTreeMap<String, StorePath>,
    /// The paths of all outputs to which this one refers, and others.
    pub(crate) outputs: &'a BTreeMap<String, StorePath>,
    /// A directory on the store's file system.
    pub(crate) scratch: &'a Path,
}

impl Addressing<'_> {
    /// What to replace so that a tree with these references refers to other outputs by their paths.
    fn rewrites(&self, references: &BTreeSet<StorePath>) -> Rewrites {
        let mut rewrites = Rewrites::default();
        for (name, place) in self.places {
            if let Some(path) = self.outputs.get(name)
                && path != place
                && references.contains(place)
            {
                rewrites.add(place, path);
            }
        }
        rewrites
    }

    /// Computes path, content address and references of an output from its contents, and brings it to its final form.
    pub(crate) fn address(
        &self,
        output: &Made,
        new: &mut NewPath,
        (method, algo): (ContentAddressMethod, HashAlgo),
        discard: bool,
    ) -> Result<(), FailureReason> {
        let ingestion = match method {
            ContentAddressMethod::Fixed(FileIngestionMethod::NixArchive) => {
                FileIngestionMethod::NixArchive
            }
            ContentAddressMethod::Fixed(FileIngestionMethod::Flat) | ContentAddressMethod::Text => {
                require_plain_file(output)?;
                FileIngestionMethod::Flat
            }
        };
        let found = std::mem::take(&mut new.references);
        let refers_to_itself = found.contains(&output.path);
        let mut rewrites = self.rewrites(&found);
        let hash = if ingestion == FileIngestionMethod::NixArchive
            && algo == new.nar_hash.algo()
            && !refers_to_itself
            && rewrites.is_empty()
        {
            new.nar_hash
        } else {
            self.store
                .hash_modulo(&output.physical, ingestion, algo, &output.path, &rewrites)
                .map_err(|error| in_output(output, &Error::from(error)))?
        };
        let mut references = BTreeSet::new();
        if !discard {
            for reference in found {
                let name = self.places.iter().find(|(_, place)| **place == reference);
                let path = name.and_then(|(name, _)| self.outputs.get(name));
                references.insert(path.unwrap_or(&reference).clone());
            }
            references.remove(&output.path);
        }
        let itself = refers_to_itself && !discard;
        if itself && method == ContentAddressMethod::Text {
            return Err(FailureReason::Unsupported(format!(
                "the output `{}`: self-reference not allowed with text hashing",
                output.name
            )));
        }
        let ca = ContentAddress::new(method, hash);
        let name = output_path_name(self.drv_name, &output.name);
        new.path =
            make_content_addressed_path(&name, &ca, &references, itself).map_err(|error| {
                FailureReason::Unsupported(format!("the output `{}`: {error}", output.name))
            })?;
        if itself {
            references.insert(new.path.clone());
        }
        new.references = references;
        new.ca = Some(ca);
        if refers_to_itself {
            rewrites.add(&output.path, &new.path);
        }
        if !rewrites.is_empty() {
            let (copy, rewritten) = rewrite(
                self.store,
                &output.physical,
                self.scratch,
                &output.name,
                &rewrites,
            )?;
            remove_tree(&output.physical).map_err(Error::from)?;
            new.physical = copy;
            new.nar_hash = rewritten.nar_hash;
            new.nar_size = rewritten.nar_size;
        }
        Ok(())
    }
}

/// The order in which paths can be computed: an output that others refer to first.
pub(crate) fn referred_first(
    made: &[Made],
    scanned: &[Scanned],
) -> Result<Vec<usize>, FailureReason> {
    let mut order: Vec<usize> = Vec::with_capacity(made.len());
    while order.len() < made.len() {
        let waits = |index: usize| {
            let references = &scanned[index].references;
            (0..made.len()).find(|other| {
                *other != index && !order.contains(other) && references.contains(&made[*other].path)
            })
        };
        let mut left = (0..made.len()).filter(|index| !order.contains(index));
        let Some(next) = left.find(|index| waits(*index).is_none()) else {
            // Each that is left waits for another one, so following them leads into the circle.
            let follow = |index: usize| waits(index).unwrap_or(index);
            let first = (0..made.len()).find(|index| !order.contains(index));
            let from = (0..made.len()).fold(first.unwrap_or_default(), |at, _| follow(at));
            return Err(FailureReason::OutputCycle {
                from: made[from].name.clone(),
                to: made[follow(from)].name.clone(),
            });
        };
        order.push(next);
    }
    Ok(order)
}

/// Writes a rewritten copy of the tree of the output `name` into a scratch directory.
pub(crate) fn rewrite(
    store: &Store,
    tree: &Path,
    scratch: &Path,
    name: &str,
    rewrites: &Rewrites,
) -> Result<(PathBuf, Rewritten), FailureReason> {
    let copy = scratch.join(format!("rewritten-{name}"));
    // The directory may have been used before.
    if fs::symlink_metadata(&copy).is_ok() {
        remove_tree(&copy).map_err(Error::from)?;
    }
    let rewritten = store.rewrite(tree, &copy, rewrites).map_err(Error::from)?;
    Ok((copy, rewritten))
}

/// A problem with a file of an output, told by the name the output will have and not by that of a scratch directory.
pub(crate) fn in_output(output: &Made, error: &Error) -> FailureReason {
    let text = error.to_string();
    FailureReason::Internal(text.replace(
        &output.physical.display().to_string(),
        &output.path.to_string(),
    ))
}

/// Brings an output into the form in which the store keeps it.
pub(crate) fn canonical(store: &Store, output: &Made) -> Result<(), FailureReason> {
    if fs::symlink_metadata(&output.physical).is_err() {
        return Err(FailureReason::MissingOutput {
            output: output.name.clone(),
            path: output.path.clone(),
        });
    }
    store
        .canonicalise(&output.physical)
        .map_err(|error| in_output(output, &Error::from(error)))
}

/// Refuses what a flat hash is not defined for.
pub(crate) fn require_plain_file(output: &Made) -> Result<(), FailureReason> {
    let metadata =
        fs::symlink_metadata(&output.physical).map_err(Error::io("read", &output.physical))?;
    if metadata.is_file() && metadata.permissions().mode() & 0o111 == 0 {
        return Ok(());
    }
    Err(FailureReason::Unsupported(format!(
        "the output {} must be a regular file that is not executable, since its hash is flat\n\
         hint: `outputHashMode = \"recursive\"` allows anything",
        output.path
    )))
}
