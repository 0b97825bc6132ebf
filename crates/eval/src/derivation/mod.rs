//! `derivationStrict` and `derivation`: sets of attributes become store derivations.

mod env;

use xbuild_derivation::{Derivation, DrvHash, Output};
use xbuild_store_model::store_path::{check_name, downstream_placeholder};
use xbuild_store_model::{ContentAddressMethod, Hash, HashAlgo, StorePath};
use xbuild_syntax::symbol::Symbol;

use crate::Evaluator;
use crate::attrs::{Attrs, AttrsBuilder};
use crate::error::{EvalError, Result};
use crate::position::Pos;
use crate::string::{ContextElem, ContextSet};
use crate::value::{Builtin, Value};
use env::Collected;

pub(crate) static TABLE: &[Builtin] = &[Builtin {
    name: "derivationStrict",
    arity: 1,
    run: derivation_strict,
}];

/// Where the files are that come with the language.
pub const INTERNAL_FILES: &str = "/__corepkgs__";

/// Where `<nix/fetchurl.nix>` is.
pub(crate) const FETCHURL_PATH: &str = "/__corepkgs__/fetchurl.nix";

/// The text of `<nix/fetchurl.nix>`, which is in no file.
pub(crate) const FETCHURL_TEXT: &str = include_str!("fetchurl.nix");
/// The text of the function `derivation`.
const DERIVATION_TEXT: &str = include_str!("derivation.nix");

/// The global `derivation`.
pub(crate) fn derivation_function(ev: &mut Evaluator, _: &[Value], _: Pos) -> Result<Value> {
    ev.eval_internal("«nix-internal»/derivation-internal.nix", DERIVATION_TEXT)
}

fn derivation_strict(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let attrs = ev.force_attrs(
        args[0],
        pos,
        "while evaluating the argument passed to builtins.derivationStrict",
    )?;
    let Some(name_attr) = attrs.get(ev.known.name) else {
        return Err(ev.missing_attr(attrs, ev.known.name, Pos::NONE).context(
            Pos::NONE,
            "in the attrset passed as argument to builtins.derivationStrict",
        ));
    };
    let name = ev
        .force_string_no_context(
            name_attr.value,
            pos,
            "while evaluating the `name` attribute passed to builtins.derivationStrict",
        )
        .map_err(|error| {
            error.context(
                name_attr.pos,
                "while evaluating the derivation attribute 'name'",
            )
        })?;
    let name = String::from_utf8_lossy(name.bytes()).into_owned();
    ev.make_derivation(&name, attrs, pos).map_err(|error| {
        let place = ev.show_position(name_attr.pos);
        error.context_always(
            Pos::NONE,
            format!(
                "while evaluating derivation '{name}'\n  whose name attribute is located at {place}"
            ),
        )
    })
}

impl From<xbuild_derivation::Error> for EvalError {
    fn from(error: xbuild_derivation::Error) -> Self {
        Self::new(Pos::NONE, error.to_string())
    }
}

impl Evaluator {
    fn make_derivation(&mut self, name: &str, attrs: Attrs, pos: Pos) -> Result<Value> {
        if let Err(error) = check_name(name) {
            return Err(EvalError::new(
                Pos::NONE,
                format!("invalid derivation name: {error}. Please pass a different 'name'."),
            ));
        }
        let collected = self.collect_attributes(name, attrs, pos)?;
        let mut drv = self.assemble(name, collected)?;
        let mut resolver = |path: &StorePath| self.drv_hash(path);
        let filled = xbuild_derivation::fill_outputs(&mut drv, &mut resolver)?;
        let path = if self.settings.read_only {
            drv.drv_path_of(&filled.aterm)?
        } else {
            self.host
                .add_derivation(&drv, filled.aterm)
                .map_err(|error| EvalError::new(Pos::NONE, error.to_string()))?
        };
        self.drv_hashes.insert(path.clone(), filled.hash);

        let text = path.to_string();
        let symbol = self.symbols.intern(text.as_bytes());
        let mut result = AttrsBuilder::with_capacity(drv.outputs.len() + 1);
        let mut context = ContextSet::new();
        context.insert(ContextElem::DrvDeep(symbol));
        result.insert(
            self.known.drv_path,
            self.string_with(text.as_bytes(), &context),
            Pos::NONE,
        );
        for (output, kind) in &drv.outputs {
            let value = self.output_value(symbol, &path, output, kind.path());
            result.insert(self.symbols.intern(output.as_bytes()), value, Pos::NONE);
        }
        Ok(self.attrs(result))
    }

    /// The string that stands for an output: its path, or a placeholder where that is not known before the build.
    pub(crate) fn output_value(
        &mut self,
        drv: Symbol,
        drv_path: &StorePath,
        output: &str,
        path: Option<&StorePath>,
    ) -> Value {
        let mut context = ContextSet::new();
        context.insert(ContextElem::Built {
            drv,
            output: self.symbols.intern(output.as_bytes()),
        });
        let text = match path {
            Some(path) => path.to_string(),
            None => downstream_placeholder(drv_path, output),
        };
        self.string_with(text.as_bytes(), &context)
    }

    /// What stands for a derivation in the hashes of those that use it; computed once.
    fn drv_hash(&mut self, path: &StorePath) -> Result<DrvHash> {
        if let Some(hash) = self.drv_hashes.get(path) {
            return Ok(hash.clone());
        }
        if crate::stack::is_exhausted(self.stack_limit) {
            return Err(self.stack_overflow(Pos::NONE));
        }
        let drv = self
            .host
            .read_derivation(path)
            .map_err(|error| EvalError::new(Pos::NONE, error.to_string()))?;
        let hash =
            xbuild_derivation::hash_modulo(&drv, &mut |path: &StorePath| self.drv_hash(path))?;
        self.drv_hashes.insert(path.clone(), hash.clone());
        Ok(hash)
    }

    fn assemble(&mut self, name: &str, collected: Collected) -> Result<Derivation> {
        let fail = |message: String| Err(EvalError::new(Pos::NONE, message));
        let mut drv = Derivation {
            name: name.to_owned(),
            outputs: std::collections::BTreeMap::new(),
            input_drvs: std::collections::BTreeMap::new(),
            input_srcs: std::collections::BTreeSet::new(),
            system: collected.system,
            builder: collected.builder,
            args: collected.args,
            env: collected.env,
        };
        for elem in collected.context.elements() {
            self.add_input(&mut drv, elem)?;
        }
        if drv.builder.is_empty() {
            return fail("required attribute 'builder' missing".into());
        }
        if drv.system.is_empty() {
            return fail("required attribute 'system' missing".into());
        }
        let only_out = collected.outputs.len() == 1 && collected.outputs.contains("out");
        if name.ends_with(".drv")
            && !(collected.method == Some(ContentAddressMethod::Text) && only_out)
        {
            return fail(
                "derivation names are allowed to end in '.drv' only if they produce a single derivation file".into(),
            );
        }
        if let Some(hash) = &collected.hash {
            if !only_out {
                return fail(
                    "multiple outputs are not supported in fixed-output derivations".into(),
                );
            }
            let hash = self.output_hash(hash, collected.hash_algo)?;
            let method = collected.method.unwrap_or(ContentAddressMethod::FLAT);
            let output = Output::fixed(name, "out", method, hash)
                .map_err(|error| EvalError::new(Pos::NONE, error.to_string()))?;
            drv.outputs.insert("out".into(), output);
            return Ok(drv);
        }
        if collected.content_addressed && collected.impure {
            return fail("derivation cannot be both content-addressed and impure".into());
        }
        let method = collected
            .method
            .unwrap_or(ContentAddressMethod::NIX_ARCHIVE);
        let algo = collected.hash_algo.unwrap_or(HashAlgo::Sha256);
        for output in collected.outputs {
            let kind = if collected.content_addressed {
                Output::Floating { method, algo }
            } else if collected.impure {
                Output::Impure { method, algo }
            } else {
                // An attribute of the same name does not get through.
                drv.env.insert(output.clone().into_bytes(), Vec::new());
                Output::Deferred
            };
            drv.outputs.insert(output, kind);
        }
        Ok(drv)
    }

    fn output_hash(&mut self, text: &str, algo: Option<HashAlgo>) -> Result<Hash> {
        if text.is_empty() {
            let Some(algo) = algo else {
                return Err(EvalError::new(
                    Pos::NONE,
                    "empty hash requires explicit hash algorithm",
                ));
            };
            let zero = Hash::zero(algo);
            self.host.message(
                format!("warning: found empty hash, assuming '{}'", zero.to_sri()).as_bytes(),
            );
            return Ok(zero);
        }
        let hash = Hash::parse_any(text, algo)
            .map_err(|error| EvalError::new(Pos::NONE, error.to_string()))?;
        if hash.algo() == HashAlgo::Blake3 {
            self.require_feature("blake3-hashes")?;
        }
        Ok(hash)
    }

    /// Makes what a string depends on an input of the derivation.
    fn add_input(&mut self, drv: &mut Derivation, elem: ContextElem) -> Result<()> {
        match elem {
            ContextElem::Opaque(path) => {
                drv.input_srcs.insert(self.store_path(path, Pos::NONE)?);
            }
            ContextElem::Built { drv: path, output } => {
                let output = self.name(output).into_owned();
                drv.input_drvs
                    .entry(self.store_path(path, Pos::NONE)?)
                    .or_default()
                    .insert(output);
            }
            ContextElem::DrvDeep(path) => {
                let path = self.store_path(path, Pos::NONE)?;
                let failed =
                    |error: crate::host::HostError| EvalError::new(Pos::NONE, error.to_string());
                for member in self.host.closure(&path).map_err(failed)? {
                    if member.is_derivation() {
                        let outputs = self.host.read_derivation(&member).map_err(failed)?.outputs;
                        drv.input_drvs
                            .entry(member.clone())
                            .or_default()
                            .extend(outputs.into_keys());
                    }
                    drv.input_srcs.insert(member);
                }
            }
        }
        Ok(())
    }
}
