//! What happens to finished outputs before they are registered: fixed hashes, canonical form, references, validation.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use xbuild_derivation::{Derivation, Output};
use xbuild_elf::{Exceptions, Root, Target};
use xbuild_store::{FileHashes, NewPath, Realisation, Scanned, Store};
use xbuild_store_model::content_address::{
    ContentAddress, ContentAddressMethod, FileIngestionMethod,
};
use xbuild_store_model::{Hash, HashAlgo, StorePath, nar};

use crate::addressing::{
    Addressing, Made, canonical, in_output, referred_first, require_plain_file,
};
use crate::error::{Error, FailureReason};
use crate::options::{Options, attribute};
use crate::output_checks::{self, Registered, requisites};
use crate::plan::read_derivation;

/// Output paths by name, and the realisations of them that hold.
pub(crate) type Finished = (BTreeMap<String, StorePath>, Vec<Realisation>);

/// What is realised by output paths.
type Realise<'a> =
    dyn Fn(&BTreeMap<String, StorePath>) -> Result<Vec<Realisation>, FailureReason> + 'a;

/// What finishing the outputs of a build needs.
pub(crate) struct Finishing<'a> {
    pub(crate) store: &'a Store,
    pub(crate) drv_path: &'a StorePath,
    pub(crate) drv: &'a Derivation,
    pub(crate) options: &'a Options,
    /// The closure of the inputs: what outputs can refer to, beside each other.
    pub(crate) inputs: &'a BTreeSet<StorePath>,
    /// Where the builder found all outputs, those that are valid already as well.
    pub(crate) places: &'a BTreeMap<String, StorePath>,
    /// A directory on the store's file system.
    pub(crate) scratch: &'a Path,
    /// What is realised when all outputs have these paths.
    pub(crate) realisations: &'a Realise<'a>,
}

/// What checked outputs are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// They become valid.
    Register,
    /// They take the place of damaged ones.
    Repair,
}

impl Finishing<'_> {
    /// Checks `made`, the outputs that are not valid yet (or damaged), and registers them or puts them in their places.
    pub(crate) fn finish(
        &self,
        made: &[Made],
        purpose: Purpose,
    ) -> Result<Finished, FailureReason> {
        let mut candidates = self.inputs.clone();
        // A new output may refer to one that was valid before this build.
        candidates.extend(self.places.values().cloned());
        let mut scanned = Vec::with_capacity(made.len());
        for output in made {
            canonical(self.store, output)?;
            let found = self.store.scan_and_hash(&output.physical, &candidates);
            scanned.push(found.map_err(|error| in_output(output, &Error::from(error)))?);
        }
        let mut outputs = self.places.clone();
        let mut new = Vec::with_capacity(made.len());
        let mut files = Vec::with_capacity(made.len());
        let order = if self.drv.has_known_paths() {
            (0..made.len()).collect()
        } else {
            referred_first(made, &scanned)?
        };
        for index in order {
            let path = self.settle(&made[index], &scanned[index], &outputs)?;
            outputs.insert(made[index].name.clone(), path.path.clone());
            files.push(self.files(&made[index], &scanned[index], &path)?);
            new.push((made[index].name.as_str(), path));
        }
        let named: Vec<(&str, &NewPath)> = new.iter().map(|(name, new)| (*name, new)).collect();
        output_checks::check(&self.options.checks, &outputs, &named, &InStore(self.store))?;
        validate(self.store, self.drv, &named)?;
        let realisations = (self.realisations)(&outputs)?;
        let new: Vec<NewPath> = new.into_iter().map(|(_, new)| new).collect();
        // Not locked yet are those whose paths follow from their contents; another build may make the same.
        let found: Vec<StorePath> = new
            .iter()
            .map(|new| new.path.clone())
            .filter(|path| !self.places.values().any(|place| place == path))
            .collect();
        // Not before: what fails a check must leave nothing in the store.
        for (output, hashes) in new.iter().zip(&files) {
            self.store
                .share_files(&output.physical, hashes, purpose == Purpose::Repair)
                .map_err(Error::from)?;
        }
        let _locks = self.store.lock_paths(&found).map_err(Error::from)?;
        if purpose == Purpose::Repair {
            self.replace(&new)?;
            return Ok((outputs, Vec::new()));
        }
        let registered = self.store.register_realised(&new, &realisations);
        Ok((outputs, registered.map_err(Error::from)?))
    }

    /// Puts new outputs in the places of damaged ones.
    fn replace(&self, new: &[NewPath]) -> Result<(), FailureReason> {
        for output in new {
            if !self.store.is_valid(&output.path).map_err(Error::from)? {
                return Err(FailureReason::NotDeterministic {
                    differences: format!(
                        "  {}: other contents than what is to be repaired, and so another path",
                        output.path
                    ),
                });
            }
            self.store.replace(output).map_err(Error::from)?;
        }
        Ok(())
    }

    /// The hashes of the files of an output that was settled at `new`.
    fn files(
        &self,
        output: &Made,
        scanned: &Scanned,
        new: &NewPath,
    ) -> Result<FileHashes, FailureReason> {
        if new.physical == output.physical || scanned.files == FileHashes::default() {
            return Ok(scanned.files.clone());
        }
        // It was rewritten.
        let again = self.store.scan_and_hash(&new.physical, []);
        Ok(again.map_err(Error::from)?.files)
    }

    /// Gives an output its path and final form. `outputs` are the paths of all outputs, as far as they are known.
    fn settle(
        &self,
        output: &Made,
        scanned: &Scanned,
        outputs: &BTreeMap<String, StorePath>,
    ) -> Result<NewPath, FailureReason> {
        let mut new = NewPath {
            path: output.path.clone(),
            physical: output.physical.clone(),
            nar_hash: scanned.nar_hash,
            nar_size: scanned.nar_size,
            references: scanned.references.clone(),
            deriver: Some(self.drv_path.clone()),
            ca: None,
            ultimate: true,
            sigs: Vec::new(),
        };
        let discard = self.options.discard_references.contains(&output.name);
        match self.drv.outputs.get(&output.name) {
            Some(Output::InputAddressed(_)) if discard => new.references.clear(),
            Some(Output::InputAddressed(_)) => {}
            Some(Output::Fixed { method, hash, .. }) => {
                new.ca = Some(check_fixed(output, *method, hash, &new.nar_hash, self.drv)?);
                if !new.references.is_empty() {
                    return Err(FailureReason::FixedReferences {
                        path: new.path,
                        references: new.references.into_iter().collect(),
                    });
                }
            }
            Some(Output::Floating { method, algo } | Output::Impure { method, algo }) => {
                let addressing = Addressing {
                    store: self.store,
                    drv_name: &self.drv.name,
                    places: self.places,
                    outputs,
                    scratch: self.scratch,
                };
                addressing.address(output, &mut new, (*method, *algo), discard)?;
            }
            Some(Output::Deferred) | None => {
                return Err(FailureReason::Internal(format!(
                    "the output {} has no checkable kind",
                    output.path
                )));
            }
        }
        Ok(new)
    }
}

/// What the store knows.
struct InStore<'a>(&'a Store);

impl Registered for InStore<'_> {
    fn closure(&self, paths: &[StorePath]) -> Result<Vec<StorePath>, FailureReason> {
        Ok(self.0.closure(paths).map_err(Error::from)?)
    }

    fn nar_size(&self, path: &StorePath) -> Result<u64, FailureReason> {
        let info = self.0.query_path_info(path).map_err(Error::from)?;
        Ok(info.map_or(0, |info| info.nar_size))
    }
}

fn check_fixed(
    output: &Made,
    method: ContentAddressMethod,
    wanted: &Hash,
    nar_hash: &Hash,
    drv: &Derivation,
) -> Result<ContentAddress, FailureReason> {
    let got = match method {
        ContentAddressMethod::Fixed(FileIngestionMethod::Flat) | ContentAddressMethod::Text => {
            require_plain_file(output)?;
            hash_file(&output.physical, wanted.algo())?
        }
        // Known already.
        ContentAddressMethod::Fixed(FileIngestionMethod::NixArchive)
            if wanted.algo() == nar_hash.algo() =>
        {
            *nar_hash
        }
        ContentAddressMethod::Fixed(FileIngestionMethod::NixArchive) => {
            nar::hash_path(&output.physical, wanted.algo())
                .map_err(|e| FailureReason::Internal(e.to_string()))?
                .0
        }
    };
    if got != *wanted {
        let url = drv
            .env
            .get(b"url".as_slice())
            .or_else(|| drv.env.get(b"urls".as_slice()));
        return Err(FailureReason::HashMismatch {
            url: url
                .map(|url| String::from_utf8_lossy(url).into_owned())
                .filter(|url| !url.is_empty()),
            wanted: wanted.to_sri(),
            got: got.to_sri(),
        });
    }
    Ok(ContentAddress::new(method, *wanted))
}

fn hash_file(path: &Path, algo: HashAlgo) -> Result<Hash, FailureReason> {
    let mut file = fs::File::open(path).map_err(Error::io("read", path))?;
    let mut hasher = xbuild_store_model::Hasher::new(algo);
    std::io::copy(&mut file, &mut hasher).map_err(Error::io("read", path))?;
    Ok(hasher.finish())
}

/// Runs the validator on the outputs of a cross derivation: one with `xbuildTarget`.
fn validate(
    store: &Store,
    drv: &Derivation,
    new: &[(&str, &NewPath)],
) -> Result<(), FailureReason> {
    let compatible = attribute(drv, "xbuildCompatible");
    let Some(name) = attribute(drv, "xbuildTarget") else {
        return compatible.map_or(Ok(()), |_| {
            Err(FailureReason::Unsupported(
                "xbuildCompatible: there is no xbuildTarget beside it, so nothing would be checked"
                    .to_owned(),
            ))
        });
    };
    let target = Target::by_name(&name).ok_or_else(|| {
        let known: Vec<_> = Target::names().collect();
        FailureReason::Unsupported(format!(
            "xbuildTarget: there is no target `{name}`; known are {}",
            known.join(", ")
        ))
    })?;
    let target = target.with_compatible(&compatible.unwrap_or_default());
    let exceptions = Exceptions::parse(&attribute(drv, "xbuildExceptions").unwrap_or_default())
        .map_err(|error| FailureReason::Unsupported(error.to_string()))?;
    let mut closure: BTreeMap<StorePath, PathBuf> = BTreeMap::new();
    for (_, output) in new {
        for path in requisites(output, new, &InStore(store))? {
            let physical = store.physical(&path);
            closure.insert(path, physical);
        }
    }
    // Outputs still lie in the scratch directory.
    for (_, output) in new {
        closure.insert(output.path.clone(), output.physical.clone());
    }
    let lookup = |path: &StorePath| closure.get(path).cloned();
    let roots: Vec<Root> = new
        .iter()
        .map(|(_, output)| Root {
            logical: output.path.clone(),
            physical: output.physical.clone(),
        })
        .collect();
    let mut report = xbuild_elf::check(&roots, &lookup, &target, &exceptions);
    if attribute(drv, "xbuildCheckClosure").is_some() {
        let mut others = Vec::new();
        for (path, physical) in &closure {
            let is_output = new.iter().any(|(_, output)| output.path == *path);
            if !is_output && !was_validated(store, path)? {
                others.push(Root {
                    logical: path.clone(),
                    physical: physical.clone(),
                });
            }
        }
        // How these are packaged is not for this derivation to say.
        let others = xbuild_elf::check(&others, &lookup, &target, &exceptions);
        let foreign = others.findings.into_iter();
        report
            .findings
            .extend(foreign.filter(|finding| finding.rule.is_of_processor()));
    }
    if report.is_genuine() {
        Ok(())
    } else {
        Err(FailureReason::Invalid {
            target: name,
            report: report.to_string().trim_end().to_owned(),
        })
    }
}

/// Whether the validator saw a valid path when it was made: its derivation, as far as it is still there, has `xbuildTarget`.
fn was_validated(store: &Store, path: &StorePath) -> Result<bool, FailureReason> {
    let info = store.query_path_info(path)?;
    let Some(deriver) = info.and_then(|info| info.deriver) else {
        return Ok(false);
    };
    if !store.is_valid(&deriver)? {
        return Ok(false);
    }
    let drv = read_derivation(store, &deriver)?;
    Ok(attribute(&drv, "xbuildTarget").is_some())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use xbuild_store::StoreOptions;

    use super::*;
    use crate::environment::tests::derivation;

    /// Each path has a hash part of its own: by that, references are found.
    fn path(name: &str) -> StorePath {
        let hash = Hash::of(HashAlgo::Sha256, name.as_bytes()).to_base32();
        StorePath::from_base_name(&format!("{}-{name}", &hash[..32])).unwrap()
    }

    /// `text` without the hash parts.
    fn short(text: &str) -> String {
        ["out", "dev"].iter().fold(text.to_owned(), |text, name| {
            text.replace(&path(name).to_string(), &format!("/nix/store/{name}"))
        })
    }

    /// A store, and a directory for outputs on the same file system.
    struct Fixture {
        dir: tempfile::TempDir,
        store: Store,
        drv: Derivation,
    }

    impl Fixture {
        fn new(env: &[(&str, &str)]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(&dir.path().join("store"), StoreOptions::default()).unwrap();
            let mut drv = derivation();
            drv.outputs = ["dev", "out"]
                .map(|o| (o.to_owned(), Output::InputAddressed(path(o))))
                .into();
            drv.env.extend(
                env.iter()
                    .map(|(k, v)| (k.as_bytes().to_vec(), v.as_bytes().to_vec())),
            );
            Self { dir, store, drv }
        }

        /// Makes the derivation a fixed-output one.
        fn fixed(mut self, method: ContentAddressMethod, hash: Hash) -> Self {
            let fixed = Output::Fixed {
                path: path("out"),
                method,
                hash,
            };
            self.drv.outputs = BTreeMap::from([("out".to_owned(), fixed)]);
            self
        }

        fn made(&self, name: &str, make: &dyn Fn(&Path)) -> Made {
            let physical = self.dir.path().join(format!("made-{name}"));
            make(&physical);
            Made {
                name: name.to_owned(),
                path: path(name),
                physical,
            }
        }

        fn finish(&self, made: &[Made]) -> Result<BTreeMap<String, StorePath>, String> {
            self.finish_with(made, &BTreeSet::new())
        }

        fn finish_with(
            &self,
            made: &[Made],
            inputs: &BTreeSet<StorePath>,
        ) -> Result<BTreeMap<String, StorePath>, String> {
            let options = Options::of(&self.drv).unwrap();
            let places = self.drv.outputs.keys();
            let finishing = Finishing {
                store: &self.store,
                drv_path: &path("x.drv"),
                drv: &self.drv,
                options: &options,
                inputs,
                places: &places.map(|name| (name.clone(), path(name))).collect(),
                scratch: self.dir.path(),
                realisations: &|_| Ok(Vec::new()),
            };
            finishing
                .finish(made, Purpose::Register)
                .map(|(outputs, _)| outputs)
                .map_err(|error| short(&error.to_string()))
        }

        fn references(&self, name: &str) -> Vec<StorePath> {
            self.store
                .references(&path(name))
                .unwrap()
                .into_iter()
                .collect()
        }
    }

    fn writes(text: impl AsRef<[u8]>) -> impl Fn(&Path) {
        move |file| fs::write(file, &text).unwrap()
    }

    #[test]
    fn outputs_refer_to_themselves_and_to_each_other() {
        let f = Fixture::new(&[]);
        // A symbolic link, too, has references.
        let out = f.made("out", &|link| {
            symlink(path("dev").to_string(), link).unwrap();
        });
        let dev = f.made("dev", &writes(path("dev").to_string()));
        f.finish(&[out, dev]).unwrap();
        assert_eq!(f.references("out"), [path("dev")]);
        assert_eq!(f.references("dev"), [path("dev")]);
    }

    /// `dev` was valid before (from another machine, say): the new `out` still refers to it.
    #[test]
    fn a_new_output_refers_to_one_that_was_valid_already() {
        let f = Fixture::new(&[("allowedReferences", "dev")]);
        f.finish(&[f.made("dev", &writes(""))]).unwrap();
        f.finish(&[f.made("out", &writes(path("dev").to_string()))])
            .unwrap();
        assert_eq!(f.references("out"), [path("dev")]);
    }

    #[test]
    fn outputs_in_a_circle_are_refused() {
        let f = Fixture::new(&[]);
        let out = f.made("out", &writes(path("dev").to_string()));
        let dev = f.made("dev", &writes(path("out").to_string()));
        assert!(f.finish(&[out, dev]).unwrap_err().contains("cycle"));
        assert!(!f.store.is_valid(&path("out")).unwrap());
    }

    #[test]
    fn references_can_be_discarded() {
        let f = Fixture::new(&[("__json", r#"{"unsafeDiscardReferences":{"out":true}}"#)]);
        let self_reference = |name: &str| f.made(name, &writes(path(name).to_string()));
        f.finish(&[self_reference("out"), self_reference("dev")])
            .unwrap();
        assert_eq!(f.references("out"), []);
        assert_eq!(f.references("dev"), [path("dev")]);
    }

    #[test]
    fn structured_checks_apply_to_their_output() {
        let f = Fixture::new(&[("__json", r#"{"outputChecks":{"out":{"maxSize":10}}}"#)]);
        let big = |name: &str| f.made(name, &writes("more than ten bytes"));
        assert_eq!(
            f.finish(&[big("out"), big("dev")]).unwrap_err(),
            "the output /nix/store/out is too large: 136 bytes, of which 10 are allowed"
        );
        f.finish(&[big("dev")]).unwrap();
    }

    #[test]
    fn fixed_outputs() {
        let hash = Hash::of(HashAlgo::Sha1, b"right");
        let flat =
            || Fixture::new(&[("url", "http://h/f")]).fixed(ContentAddressMethod::FLAT, hash);
        let f = flat();
        f.finish(&[f.made("out", &writes("right"))]).unwrap();
        let info = f.store.query_path_info(&path("out")).unwrap().unwrap();
        assert_eq!(
            info.ca,
            Some(ContentAddress::Fixed(FileIngestionMethod::Flat, hash))
        );

        let f = flat();
        let message = f.finish(&[f.made("out", &writes("wrong"))]).unwrap_err();
        let (wanted, got) = (hash.to_sri(), Hash::of(HashAlgo::Sha1, b"wrong").to_sri());
        assert!(message.starts_with(&format!(
            "hash mismatch in what came from 'http://h/f'\n  wanted: {wanted}\n  got:    {got}\n"
        )));
        assert!(!f.store.is_valid(&path("out")).unwrap());

        let f = flat();
        let executable = |file: &Path| {
            fs::write(file, "right").unwrap();
            fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
        };
        assert!(
            f.finish(&[f.made("out", &executable)])
                .unwrap_err()
                .contains("that is not executable")
        );
        let f = flat();
        let directory = |file: &Path| fs::create_dir(file).unwrap();
        assert!(
            f.finish(&[f.made("out", &directory)])
                .unwrap_err()
                .contains("must be a regular file")
        );
    }

    #[test]
    fn fixed_trees_by_any_algorithm() {
        for algo in [HashAlgo::Sha256, HashAlgo::Sha512] {
            let tree = |file: &Path| executable_tree(file);
            let model = tempfile::tempdir().unwrap();
            tree(&model.path().join("t"));
            let (hash, _) = nar::hash_path(&model.path().join("t"), algo).unwrap();
            let f = Fixture::new(&[]).fixed(ContentAddressMethod::NIX_ARCHIVE, hash);
            f.finish(&[f.made("out", &tree)]).unwrap();
            let f = Fixture::new(&[]).fixed(ContentAddressMethod::NIX_ARCHIVE, hash);
            assert!(
                f.finish(&[f.made("out", &writes("x"))])
                    .unwrap_err()
                    .starts_with("hash mismatch")
            );
        }
    }

    fn executable_tree(at: &Path) {
        fs::create_dir(at).unwrap();
        fs::write(at.join("f"), "x").unwrap();
        fs::set_permissions(at.join("f"), fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_fixed_output_must_not_refer_to_anything() {
        let text = path("out").to_string();
        let f = Fixture::new(&[]).fixed(
            ContentAddressMethod::FLAT,
            Hash::of(HashAlgo::Sha256, text.as_bytes()),
        );
        let message = f.finish(&[f.made("out", &writes(&text))]).unwrap_err();
        assert!(message.starts_with("output /nix/store/out has a fixed hash, so it must not refer to store paths, but it refers to /nix/store/out\n"));
    }

    #[test]
    fn what_cannot_be_in_a_store_is_told_by_the_name_it_would_have() {
        let f = Fixture::new(&[]);
        let fifo = |at: &Path| {
            fs::create_dir(at).unwrap();
            rustix::fs::mknodat(
                rustix::fs::CWD,
                at.join("pipe"),
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::RUSR,
                0,
            )
            .unwrap();
        };
        let message = f.finish(&[f.made("out", &fifo)]).unwrap_err();
        assert!(
            message.starts_with(
                "file '/nix/store/out/pipe' has an unsupported type\nhint: it is a FIFO"
            ),
            "{message}"
        );
        let message = f.finish(&[f.made("dev", &|_| ())]).unwrap_err();
        assert_eq!(
            message,
            "the builder ended with code 0 but did not make its output `dev` (/nix/store/dev)"
        );
    }

    /// The head of a program for the wrong machine.
    fn x86() -> Vec<u8> {
        [
            b"\x7fELF\x02\x01\x01".as_slice(),
            &[0; 9],
            &[2, 0, 62, 0],
            &[0; 44],
        ]
        .concat()
    }

    #[test]
    fn a_closure_is_validated_where_that_is_asked_for() {
        for (check, genuine) in [("", true), ("1", false)] {
            let f = Fixture::new(&[
                ("xbuildTarget", "aarch64-linux"),
                ("xbuildCheckClosure", check),
            ]);
            let tool = f.store.add_text("tool", &x86(), &BTreeSet::new()).unwrap();
            let out = f.made("out", &writes(tool.to_string()));
            let result = f.finish_with(&[out], &BTreeSet::from([tool.clone()]));
            assert_eq!(result.is_ok(), genuine, "{result:?}");
            if let Err(message) = result {
                assert!(
                    message.contains(&format!("{tool}: the machine is x86-64, expected AArch64")),
                    "{message}"
                );
            }
        }
    }

    #[test]
    fn a_cross_derivation_is_validated_with_structured_attributes_too() {
        let x86 = x86();
        for env in [
            ("xbuildTarget", "aarch64-linux"),
            ("__json", r#"{"xbuildTarget":"aarch64-linux"}"#),
        ] {
            let f = Fixture::new(&[env]);
            let message = f.finish(&[f.made("out", &writes(&x86))]).unwrap_err();
            assert!(
                message.contains("the machine is x86-64, expected AArch64"),
                "{message}"
            );
            assert!(!f.store.is_valid(&path("out")).unwrap());
        }
        let f = Fixture::new(&[("xbuildTarget", "vax")]);
        assert!(
            f.finish(&[f.made("out", &writes(""))])
                .unwrap_err()
                .starts_with("xbuildTarget: there is no target `vax`")
        );
    }

    #[test]
    fn device_trees_are_for_the_board_that_the_derivation_names() {
        let kernel = |path: &Path| {
            fs::create_dir(path).unwrap();
            fs::write(path.join("board.dtb"), "text").unwrap();
        };
        let f = Fixture::new(&[
            ("xbuildTarget", "cortex-a53"),
            ("xbuildCompatible", "a,b c,d"),
        ]);
        let message = f.finish(&[f.made("out", &kernel)]).unwrap_err();
        assert!(message.contains("[device-tree]"), "{message}");
        let f = Fixture::new(&[("xbuildCompatible", "a,b")]);
        assert_eq!(
            f.finish(&[f.made("out", &kernel)]).unwrap_err(),
            "xbuildCompatible: there is no xbuildTarget beside it, so nothing would be checked"
        );
    }
}
