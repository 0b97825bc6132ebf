//! The hash of a derivation *modulo* fixed-output derivations, and the output
//! paths that follow from it.
//!
//! Format: Nix manual, "Input-addressing derivation outputs". The hash is
//! that of the ATerm with each input derivation's path replaced by that
//! input's own hash modulo; a fixed-output derivation is hashed as
//! `fixed:out:<method><algo>:<base-16>:<path>` alone, so that how a fixed
//! output is fetched does not change what depends on it.

use std::collections::{BTreeMap, BTreeSet};

use xbuild_store_model::store_path::{hash_placeholder, make_output_path};
use xbuild_store_model::{Hash, HashAlgo, StorePath};

use crate::error::{Error, Result};
use crate::{Derivation, Output, aterm};

/// What stands for a derivation in the hash of those that use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DrvHash {
    /// An input-addressed derivation: one hash.
    Regular(Hash),
    /// A fixed-output derivation: one hash for each output.
    Fixed(BTreeMap<String, Hash>),
    /// A derivation with an output whose path is not known before the build,
    /// or one that depends on such: its hash gives no paths, but names its
    /// outputs in realisations.
    Deferred(Hash),
}

/// A derivation with its output paths filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    /// What [`hash_modulo`] is of it.
    pub hash: DrvHash,
    /// What [`Derivation::to_aterm`] is of it.
    pub aterm: Vec<u8>,
}

/// The hash modulo of `drv`, whose output paths must be filled in already.
/// `resolver` gives that of each input derivation; it should remember what it
/// computed, since every derivation of a graph is asked for many times.
///
/// # Errors
/// Those of `resolver`; and when an input lacks an output that is needed, or
/// the outputs do not go together.
pub fn hash_modulo<E: From<Error>>(
    drv: &Derivation,
    resolver: &mut dyn FnMut(&StorePath) -> Result<DrvHash, E>,
) -> Result<DrvHash, E> {
    let kind = Kind::of(drv)?;
    if kind == Kind::Fixed {
        return Ok(fixed_hashes(drv));
    }
    let inputs = input_hashes(drv, resolver)?;
    Ok(whole_hash(kind, &inputs, &aterm::write(drv, false)))
}

/// The hashes that, with the outputs' names, stand for the outputs in
/// realisations: those of the ATerm as [`hash_modulo`] takes it, but without
/// the outputs' paths, since an output must be found before its path is known.
///
/// # Errors
/// As [`hash_modulo`].
pub fn output_hashes<E: From<Error>>(
    drv: &Derivation,
    resolver: &mut dyn FnMut(&StorePath) -> Result<DrvHash, E>,
) -> Result<BTreeMap<String, Hash>, E> {
    if Kind::of(drv)? == Kind::Fixed
        && let DrvHash::Fixed(hashes) = fixed_hashes(drv)
    {
        return Ok(hashes);
    }
    let inputs = input_hashes(drv, resolver)?;
    let hash = aterm::write(drv, true).hash_with_inputs(&inputs.list);
    Ok(drv
        .outputs
        .keys()
        .map(|name| (name.clone(), hash))
        .collect())
}

/// The hash modulo of a derivation that is not a fixed-output one, from its
/// ATerm.
fn whole_hash(kind: Kind, inputs: &Inputs, aterm: &aterm::Text) -> DrvHash {
    let hash = aterm.hash_with_inputs(&inputs.list);
    if kind == Kind::InputAddressed && !inputs.deferred {
        DrvHash::Regular(hash)
    } else {
        DrvHash::Deferred(hash)
    }
}

fn fixed_hashes(drv: &Derivation) -> DrvHash {
    let hashes = drv
        .outputs
        .iter()
        .filter_map(|(name, output)| match output {
            Output::Fixed { path, method, hash } => {
                let text = format!(
                    "fixed:out:{}{}:{}:{path}",
                    method.prefix(),
                    hash.algo(),
                    hash.to_base16()
                );
                Some((name.clone(), Hash::of(HashAlgo::Sha256, text.as_bytes())))
            }
            _ => None,
        });
    DrvHash::Fixed(hashes.collect())
}

/// Computes the paths of the outputs and puts them into `outputs` and into
/// the environment variables named after the outputs, as `derivationStrict`
/// does. Outputs to be computed are [`Output::Deferred`]; they stay so, with
/// an empty variable, if an input's path is not known before its build. The
/// variables of floating outputs get Nix's placeholder.
///
/// # Errors
/// Those of `resolver`; and when a path that is already there is wrong, the
/// outputs do not go together, or a name is not valid.
pub fn fill_outputs<E: From<Error>>(
    drv: &mut Derivation,
    resolver: &mut dyn FnMut(&StorePath) -> Result<DrvHash, E>,
) -> Result<Filled, E> {
    let filled = |kind, inputs: &Inputs, drv: &Derivation| {
        let text = aterm::write(drv, false);
        Filled {
            hash: whole_hash(kind, inputs, &text),
            aterm: text.bytes,
        }
    };
    match Kind::of(drv)? {
        Kind::Fixed => {
            fill_fixed(drv)?;
            Ok(Filled {
                hash: fixed_hashes(drv),
                aterm: drv.to_aterm(),
            })
        }
        Kind::Floating => {
            for name in drv.outputs.keys() {
                drv.env
                    .insert(name.clone().into(), hash_placeholder(name).into());
            }
            let inputs = input_hashes(drv, resolver)?;
            Ok(filled(Kind::Floating, &inputs, drv))
        }
        Kind::InputAddressed | Kind::Deferred => {
            let inputs = input_hashes(drv, resolver)?;
            // The variables count as present and empty in the hash, and stay
            // so where the paths must wait.
            if inputs.deferred {
                refuse_known_paths(drv)?;
            }
            for name in drv.outputs.keys() {
                drv.env.insert(name.clone().into(), Vec::new());
            }
            if inputs.deferred {
                return Ok(filled(Kind::Deferred, &inputs, drv));
            }
            let masked = aterm::write(drv, true).hash_with_inputs(&inputs.list);
            fill_input_addressed(drv, &masked)?;
            Ok(filled(Kind::InputAddressed, &inputs, drv))
        }
    }
}

fn fill_fixed(drv: &mut Derivation) -> Result<()> {
    for (name, output) in &drv.outputs {
        if let Output::Fixed { path, method, hash } = output {
            let right = Output::fixed(&drv.name, name, *method, *hash)?;
            if let Some(expected) = right.path()
                && expected != path
            {
                return Err(wrong_path(&drv.name, name, path, expected));
            }
            drv.env.insert(name.clone().into(), path.to_string().into());
        }
    }
    Ok(())
}

fn fill_input_addressed(drv: &mut Derivation, hash: &Hash) -> Result<()> {
    for (name, output) in &mut drv.outputs {
        let expected = make_output_path(hash, name, &drv.name)?;
        if let Output::InputAddressed(found) = output
            && *found != expected
        {
            return Err(wrong_path(&drv.name, name, found, &expected));
        }
        drv.env
            .insert(name.clone().into(), expected.to_string().into());
        *output = Output::InputAddressed(expected);
    }
    Ok(())
}

/// An output cannot have a path while an input has none.
fn refuse_known_paths(drv: &Derivation) -> Result<()> {
    for (name, output) in &drv.outputs {
        if let Output::InputAddressed(found) = output {
            return Err(Error::MustBeDeferred {
                name: drv.name.clone(),
                output: name.clone(),
                found: found.clone(),
            });
        }
    }
    Ok(())
}

fn wrong_path(name: &str, output: &str, found: &StorePath, expected: &StorePath) -> Error {
    Error::WrongOutputPath {
        name: name.to_owned(),
        output: output.to_owned(),
        found: found.clone(),
        expected: expected.clone(),
    }
}

/// The input derivations of a derivation, as they stand in its hash.
struct Inputs {
    /// The list in the ATerm that is hashed.
    list: Vec<u8>,
    /// Whether one of them is [`DrvHash::Deferred`].
    deferred: bool,
}

/// The inputs with their paths replaced by hashes.
fn input_hashes<E: From<Error>>(
    drv: &Derivation,
    resolver: &mut dyn FnMut(&StorePath) -> Result<DrvHash, E>,
) -> Result<Inputs, E> {
    let mut by_hash: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut deferred = false;
    for (path, outputs) in &drv.input_drvs {
        let input = resolver(path)?;
        deferred |= matches!(input, DrvHash::Deferred(_));
        match input {
            DrvHash::Regular(hash) | DrvHash::Deferred(hash) => {
                by_hash
                    .entry(hash.to_base16())
                    .or_default()
                    .extend(outputs.iter().cloned());
            }
            DrvHash::Fixed(hashes) => {
                for output in outputs {
                    let hash = hashes.get(output).ok_or_else(|| Error::NoSuchOutput {
                        name: drv.name.clone(),
                        input: path.clone(),
                        output: output.clone(),
                    })?;
                    by_hash
                        .entry(hash.to_base16())
                        .or_default()
                        .insert("out".to_owned());
                }
            }
        }
    }
    Ok(Inputs {
        list: aterm::input_list(&by_hash),
        deferred,
    })
}

/// What all outputs of a derivation have in common.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    InputAddressed,
    Deferred,
    Fixed,
    /// Floating or impure.
    Floating,
}

impl Kind {
    fn of(drv: &Derivation) -> Result<Kind> {
        let kind = |output: &Output| match output {
            Output::InputAddressed(_) => Kind::InputAddressed,
            Output::Deferred => Kind::Deferred,
            Output::Fixed { .. } => Kind::Fixed,
            Output::Floating { .. } | Output::Impure { .. } => Kind::Floating,
        };
        let name = || drv.name.clone();
        let mut outputs = drv.outputs.iter();
        let Some((first_name, first)) = outputs.next() else {
            return Err(Error::NoOutputs { name: name() });
        };
        for (second_name, second) in outputs {
            if std::mem::discriminant(first) != std::mem::discriminant(second) {
                return Err(Error::MixedOutputs {
                    name: name(),
                    first: first_name.clone(),
                    first_kind: first.kind(),
                    second: second_name.clone(),
                    second_kind: second.kind(),
                });
            }
            match (first, second) {
                (Output::Fixed { .. }, _) => {
                    return Err(Error::FixedOutputName {
                        name: name(),
                        output: second_name.clone(),
                    });
                }
                (Output::Floating { algo: a, .. }, Output::Floating { algo: b, .. })
                | (Output::Impure { algo: a, .. }, Output::Impure { algo: b, .. })
                    if a != b =>
                {
                    return Err(Error::MixedAlgorithms { name: name() });
                }
                _ => {}
            }
        }
        if matches!(first, Output::Fixed { .. }) && first_name != "out" {
            return Err(Error::FixedOutputName {
                name: name(),
                output: first_name.clone(),
            });
        }
        Ok(kind(first))
    }
}
