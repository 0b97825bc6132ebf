//! The emulator that comes with xbuild: `qemu-user` out of the toolchains' lock, as a derivation that is built when it is needed.
//!
//! The derivations that run in it do not refer to it, so that their outputs have the same paths as on a machine that needs none.
//! `toolchains/emulator.nix` makes the same derivation.

use std::collections::{BTreeMap, BTreeSet};

use xbuild_derivation::{Derivation, DrvHash, Output, fill_outputs, hash_modulo};
use xbuild_store::Store;
use xbuild_store_model::{ContentAddressMethod, Hash, HashAlgo, StorePath};

use crate::error::{Error, Result};

/// The lock of Debian packages.
const LOCK: &str = include_str!("../../../toolchains/lock.json");
/// The package of the emulator.
const PACKAGE: &str = "qemu-user-static:amd64";
/// The emulator in its output.
pub(crate) const PROGRAM: &str = "usr/bin/qemu-aarch64-static";

/// The derivations of an emulator: what fetches its package, and what unpacks it.
#[derive(Debug)]
pub(crate) struct EmulatorDerivations {
    fetch: Derivation,
    unpack: Derivation,
}

impl EmulatorDerivations {
    pub(crate) fn new() -> Result<Self> {
        Self::of_lock(LOCK).map_err(|error| Error::Internal(format!("the emulator: {error}")))
    }

    fn of_lock(lock: &str) -> std::result::Result<Self, Box<dyn std::error::Error>> {
        let lock: serde_json::Value = serde_json::from_str(lock)?;
        let field = |name: &str| {
            lock["packages"][PACKAGE][name]
                .as_str()
                .ok_or_else(|| format!("the lock has no {name} of {PACKAGE}"))
        };
        let fetch = fetch(field("path")?, field("sha256")?)?;
        let mut unpack = plain("qemu-aarch64", "x86_64-linux", "builtin:unpack-debs");
        let fetch_path = fetch.drv_path()?;
        let deb = fetch.outputs["out"].path().ok_or("no output path")?;
        unpack.input_drvs = BTreeMap::from([(fetch_path, BTreeSet::from(["out".to_owned()]))]);
        unpack.outputs = BTreeMap::from([("out".to_owned(), Output::Deferred)]);
        set(&mut unpack, "debs", &deb.to_string());
        set(&mut unpack, "only", PROGRAM);
        fill_outputs::<xbuild_derivation::Error>(&mut unpack, &mut |_| {
            hash_modulo(&fetch, &mut no_inputs)
        })?;
        Ok(Self { fetch, unpack })
    }

    /// The output's path.
    pub(crate) fn output(&self) -> Result<&StorePath> {
        let output = self.unpack.outputs.get("out").and_then(Output::path);
        output.ok_or_else(|| Error::Internal("the emulator has no output".to_owned()))
    }

    /// Writes the derivations to the store; returns the path of the one to build.
    pub(crate) fn add_to(&self, store: &Store) -> Result<StorePath> {
        let add = |drv: &Derivation| {
            let name = format!("{}.drv", drv.name);
            store.add_text(&name, &drv.to_aterm(), &drv.references())
        };
        add(&self.fetch)?;
        Ok(add(&self.unpack)?)
    }
}

/// For derivations without inputs.
fn no_inputs(path: &StorePath) -> std::result::Result<DrvHash, xbuild_derivation::Error> {
    unreachable!("a fetch has no input {path}")
}

fn set(drv: &mut Derivation, name: &str, value: &str) {
    drv.env.insert(name.into(), value.into());
}

/// A derivation with the variables that all have.
fn plain(name: &str, system: &str, builder: &str) -> Derivation {
    let mut drv = Derivation {
        name: name.to_owned(),
        outputs: BTreeMap::new(),
        input_drvs: BTreeMap::new(),
        input_srcs: BTreeSet::new(),
        system: system.into(),
        builder: builder.into(),
        args: Vec::new(),
        env: BTreeMap::new(),
    };
    for (variable, value) in [("name", name), ("system", system), ("builder", builder)] {
        set(&mut drv, variable, value);
    }
    drv
}

/// The fetch of a package, as `toolchains/fetch.nix` makes it.
fn fetch(path: &str, sha256: &str) -> std::result::Result<Derivation, Box<dyn std::error::Error>> {
    // A store path's name may not contain `~`, which Debian uses in versions.
    let file = path.rsplit('/').next().unwrap_or(path).replace('~', "-");
    let url = format!("mirror://debian/{path}");
    let mut drv = plain(&file, "builtin", "builtin:fetchurl");
    let hash = Hash::parse_bare(sha256, HashAlgo::Sha256)?;
    let output = Output::fixed(&file, "out", ContentAddressMethod::FLAT, hash)?;
    drv.outputs = BTreeMap::from([("out".to_owned(), output)]);
    for (name, value) in [
        ("executable", ""),
        (
            "impureEnvVars",
            "http_proxy https_proxy ftp_proxy all_proxy no_proxy",
        ),
        ("outputHash", sha256),
        ("outputHashAlgo", "sha256"),
        ("outputHashMode", "flat"),
        ("preferLocalBuild", "1"),
        ("unpack", ""),
        ("url", &url),
        ("urls", &url),
    ] {
        set(&mut drv, name, value);
    }
    fill_outputs::<xbuild_derivation::Error>(&mut drv, &mut no_inputs)?;
    Ok(drv)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_has_the_emulator() {
        let emulator = EmulatorDerivations::new().unwrap();
        assert_eq!(emulator.output().unwrap().name(), "qemu-aarch64");
        let broken = EmulatorDerivations::of_lock("{}").unwrap_err().to_string();
        assert_eq!(broken, "the lock has no path of qemu-user-static:amd64");
    }
}
